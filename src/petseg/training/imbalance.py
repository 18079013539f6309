"""Class weights and the oversampling of images with rare classes.

Both follow from the pixels of each class in the training split, which the manifest counts.
"""

import math

from petseg.config.train_params import LossParams, TrainParams
from petseg.core.errors import PetsegError
from petseg.shards.manifest import Manifest

_MAX_REPEATS = 10.0  # else one image of a class with a few pixels could fill an epoch


def weigh_classes(params: LossParams, manifest: Manifest) -> LossParams:
    """Return the parameters with a weight for every class, in order, unless there are none.

    "balanced" weights are proportional to 1 / sqrt(share of the training pixels), and their mean
    over these pixels is 1. Raises PetsegError if a table names a class that doesn't exist.
    """
    if params.class_weights == "none":
        return params
    if params.class_weights == "balanced":
        roots = {name: math.sqrt(share) for name, share in _shares(manifest).items()}
        table = {name: 1 / (root * sum(roots.values())) for name, root in roots.items()}
    else:
        if unknown := [name for name in params.class_weights if name not in manifest.classes]:
            raise PetsegError(
                f"train.loss.class_weights names {', '.join(map(repr, unknown))}, but the classes "
                f"are {', '.join(manifest.classes)}; correct the names or remove them."
            )
        table = {name: params.class_weights.get(name, 1.0) for name in manifest.classes}
    return params.model_copy(update={"class_weights": table})


def class_repeats(threshold: float, manifest: Manifest) -> tuple[float, ...]:
    """Return how many times an image with each class is drawn; empty if no class is rare.

    It is sqrt(threshold / share of the training pixels), from 1 to 10, as in repeat factor sampling
    (Gupta et al., "LVIS", 2019, https://arxiv.org/abs/1908.03195) but for pixels.
    """
    repeats = tuple(
        min(max(math.sqrt(threshold / share), 1.0), _MAX_REPEATS)
        for share in _shares(manifest).values()
    )
    return repeats if max(repeats) > 1 else ()


def describe_imbalance(params: TrainParams, manifest: Manifest) -> list[str]:
    """Say what the weights and the oversampling do, one line each, for parameters that are on."""
    lines = []
    if isinstance(params.loss.class_weights, dict):
        weights = [f"{name} {weight:.3g}" for name, weight in params.loss.class_weights.items()]
        lines.append(f"Class weights: {', '.join(weights)}.")
    if params.oversample_below:
        repeats = class_repeats(params.oversample_below, manifest)
        shares = _shares(manifest)
        rare = [
            f"{name} ({shares[name]:.2%} of the pixels) {count:.1f} times"
            for name, count in zip(shares, repeats, strict=False)
            if count > 1
        ]
        below = f"{params.oversample_below:.2%} of the pixels"
        lines.append(
            f"Images with a class below {below} are drawn more often: {', '.join(rare)}."
            if rare
            else f"No class has less than {below}, so no image is drawn more often."
        )
    return lines


def _shares(manifest: Manifest) -> dict[str, float]:
    """Return each class's share of the training pixels that belong to a class, above 0."""
    pixels = manifest.splits["train"].pixels
    counts = {name: max(1, pixels[name]) for name in manifest.classes}
    return {name: count / sum(counts.values()) for name, count in counts.items()}
