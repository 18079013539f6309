"""The synthetic pets as a TFDS builder. It needs neither network nor files."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from petseg.config.data_params import SyntheticPetsParams
from petseg.config.types import MAX_SYNTHETIC
from petseg.datasets.features import example_features
from petseg.datasets.synthetic.draw import draw_pet
from petseg.datasets.synthetic.pose import NUM_BREEDS, NUM_CAT_BREEDS

_TEST_START = MAX_SYNTHETIC  # index of the first test image, beyond any training image


class SyntheticPets(tfds.core.GeneratorBasedBuilder):
    """The train and test splits. The test images don't depend on the number of training images."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, params: SyntheticPetsParams, **kwargs: Any) -> None:
        self._params = params
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        breeds = [f"breed_{number:02d}" for number in range(NUM_BREEDS)]
        features = example_features(breeds, ["cat", "dog"])
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[Any]]:
        trainval, test = self._params.trainval, self._params.test
        return {
            "train": self._generate_examples(range(trainval)),
            "test": self._generate_examples(range(_TEST_START, _TEST_START + test)),
        }

    def _generate_examples(self, indices: range) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in indices:
            image, trimap, breed = draw_pet(self._params.seed, index, self._params.size)
            name = f"breed_{breed:02d}_{index}.png"
            example = {
                "image": image,
                "label": breed,
                "species": int(breed >= NUM_CAT_BREEDS),
                "file_name": name,
                "segmentation_mask": trimap[..., None],
            }
            yield name, example
