"""The stage preprocess: write the shards, in one process or on Apache Beam."""
