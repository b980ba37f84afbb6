"""Scores of published data sets: whether a model finds a stereotype likelier than its opposite."""
