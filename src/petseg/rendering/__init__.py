"""Grids of images with overlays, and charts."""
