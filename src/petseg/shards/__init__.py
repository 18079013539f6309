"""The TFRecord shards: example format, manifest, remote storage, tf.data options."""
