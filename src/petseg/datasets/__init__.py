"""Where pictures come from: each source is a TFDS builder, so after `download` all of them look alike."""
