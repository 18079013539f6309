"""The stage download: each data set is a TFDS builder, so all of them look alike afterwards."""
