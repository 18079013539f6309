"""What `petseg data` says about a user's folder, as text, as JSON and as a contact sheet.

Files, labels, classes, splits and problems come from `petseg.datasets.folder`, which the download
stage uses as well, so both say the same. Nothing here imports TensorFlow.
"""
