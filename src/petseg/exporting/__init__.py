"""A trained model in the formats of other runtimes: for phones, browsers, and Python without TensorFlow."""
