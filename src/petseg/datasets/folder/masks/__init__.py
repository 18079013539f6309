"""Masks as image files: which image each belongs to, and what labels it holds."""
