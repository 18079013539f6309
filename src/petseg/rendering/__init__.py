"""Pictures for people: overlays on photos, grids of them, and charts."""
