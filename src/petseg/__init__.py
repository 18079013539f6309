"""petseg: a reproducible segmentation pipeline. Importing it imports nothing else; `stages/` shows the flow."""

__version__ = "0.1.0"
