"""A page about a run, and the model card."""
