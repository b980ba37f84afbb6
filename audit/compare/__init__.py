"""Audits held against each other: what changed, and how sure that is. Sees published results only."""
