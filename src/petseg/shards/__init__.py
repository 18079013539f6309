"""The TFRecord shards: one example's bytes, the manifest, remote storage, tf.data."""
