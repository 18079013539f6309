"""A trained model in the formats of other runtimes, and running the exported files."""
