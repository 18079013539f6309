"""Convert a trained model for other runtimes, and run the exported files."""
