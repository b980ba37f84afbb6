"""Demographic skew: whether a model attends otherwise to one group of people than to another."""
