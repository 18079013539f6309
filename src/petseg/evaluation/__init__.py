"""Prediction over a split, scores from confusion counts, and the tables made of them."""
