"""Metrics of a model on a split, their confidence intervals, and tables per image and group."""
