"""The features of every example in data/raw, named as in TFDS's own oxford_iiit_pet."""

from collections.abc import Sequence

import tensorflow_datasets as tfds


def example_features(
    categories: Sequence[str], supercategories: Sequence[str]
) -> tfds.features.FeaturesDict:
    """Return the features of an example; `label` is the category, `species` the supercategory.

    image (H, W, 3) uint8, segmentation_mask (H, W, 1) uint8, label, species, and file_name.
    """
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(categories)),
            "species": tfds.features.ClassLabel(names=list(supercategories)),
            "file_name": tfds.features.Text(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        }
    )
