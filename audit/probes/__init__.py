"""The probes: the texts and token streams that are fed; `audit.catalog` finds the built-in ones by file."""
