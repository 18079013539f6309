"""Tiles for the tiny data set, whose images have 48 x 48 pixels."""

from petseg.config.data_params import PreprocessParams
from petseg.config.params import Params
from petseg.config.tiles import Tiles

TILES = Tiles(size=32, overlap=8)


def tile_params(params: Params, tiles: Tiles = TILES) -> PreprocessParams:
    """The parameters of preprocessing, with tiles."""
    return params.preprocess.model_copy(update={"tiles": tiles})
