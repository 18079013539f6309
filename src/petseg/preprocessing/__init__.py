"""The preprocess stage: write the shards, in one process or on Apache Beam."""
