"""A trained model applied to the user's own photos."""
