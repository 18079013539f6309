"""The download stage: each data set is a TFDS builder, so later stages treat them all alike."""
