"""One page about a run, and the model's card: for people who were not there."""
