"""The stage preprocess: from data/raw to shards, in one process or on Apache Beam."""
