"""A user's own folder: its files, annotations, classes and splits, in every common format.

Nothing here imports TensorFlow, and nothing is written. `index.index_folder` says which images and
annotations there are, `checking.scan_folder` decodes all of them and says what is wrong, and
`FolderScan.read_labels` returns one image's mask of class indices. The download stage turns that
into a TFDS data set, and `petseg data` shows it.
"""
