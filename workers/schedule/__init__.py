"""Recurring audits: entries of a TOML file, their due slots, and a record that no slot fires twice."""
