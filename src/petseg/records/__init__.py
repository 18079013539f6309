"""One example to bytes and back, the shards that hold them, and the manifest that vouches for the shards."""
