"""The metrics: one file, one pure function, one METRIC each; `audit.catalog` finds them by file."""
