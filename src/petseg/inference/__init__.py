"""From a trained model to people's own photos."""
