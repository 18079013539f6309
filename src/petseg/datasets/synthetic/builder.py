"""The embedded data set: pets drawn by code as a TFDS builder. Needs no network and no file."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from petseg.config.params import SyntheticPetsParams
from petseg.config.types import MAX_SYNTHETIC
from petseg.datasets.features import example_features
from petseg.datasets.synthetic.draw import BREEDS, CAT_BREEDS, draw_pet

TEST_START = MAX_SYNTHETIC  # the first test picture's index: beyond all those of the train split


class SyntheticPets(tfds.core.GeneratorBasedBuilder):
    """Splits train and test; more training pictures leave the test split as it is."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, params: SyntheticPetsParams, **kwargs: Any) -> None:
        self._params = params
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        breeds = [f"breed_{number:02d}" for number in range(BREEDS)]
        return tfds.core.DatasetInfo(
            builder=self, features=example_features(breeds, ["cat", "dog"])
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[Any]]:
        trainval, test = self._params.trainval, self._params.test
        return {
            "train": self._generate_examples(range(trainval)),
            "test": self._generate_examples(range(TEST_START, TEST_START + test)),
        }

    def _generate_examples(self, indices: range) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in indices:
            image, trimap, breed = draw_pet(self._params.seed, index, self._params.size)
            name = f"breed_{breed:02d}_{index}.png"
            yield (
                name,
                {
                    "image": image,
                    "label": breed,
                    "species": int(breed >= CAT_BREEDS),
                    "file_name": name,
                    "segmentation_mask": trimap[..., None],
                },
            )
