"""The features that every source's examples have, named as in TFDS's own oxford_iiit_pet."""

from collections.abc import Sequence

import tensorflow_datasets as tfds


def example_features(breeds: Sequence[str], species: Sequence[str]) -> tfds.features.FeaturesDict:
    """image (H, W, 3) uint8, label and species as class labels, file_name, segmentation_mask (H, W, 1) uint8."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(breeds)),
            "species": tfds.features.ClassLabel(names=list(species)),
            "file_name": tfds.features.Text(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        }
    )
