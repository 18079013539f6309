"""petseg: a reproducible segmentation pipeline. Importing it imports nothing else; see `stages/` for the way of the data."""

__version__ = "0.1.0"
