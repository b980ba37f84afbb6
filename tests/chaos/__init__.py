"""Chaos: a service whose processes are killed at random must end each accepted job once, with at most one report.

`python -m tests.chaos` runs 300 different audits of BERT-tiny and 50 duplicates and prints the table; `--help` lists the rest.
"""
