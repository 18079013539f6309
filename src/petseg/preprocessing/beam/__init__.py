"""The stage preprocess on Apache Beam: the same bytes from any number of workers."""
