"""The rules: one file, one judgement, one RULE each; `audit.catalog` finds them by file."""
