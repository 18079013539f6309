"""A trained model on people's own photos."""
