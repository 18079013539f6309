"""Read a pretrained model's weights back into a Keras network, to train it further.

Its LiteRT file has int8 kernels with a scale per channel, and batch norms folded into them.
batch_norms.npz has the batch norms' own weights, so that they can be taken out again, and
weights.json says which of the file's tensors belong to which layer. The network's inference equals
that of the trained one up to the rounding of the kernels and the biases that make up for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from petseg.config.train_params import NetworkParams
from petseg.config.types import Sha256
from petseg.config.validation import Section, validate
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import read_sealed_json
from petseg.model.folding import DepthwiseConv2D, batch_norm_of
from petseg.model.unet import convolutions

WEIGHTS_JSON, BATCH_NORMS_FILE, INT8_FILE = "weights.json", "batch_norms.npz", "unet_int8.tflite"
FORMAT = 1
_REMEDY = "install petseg again"
_KERNEL_AXES = (1, 2, 3, 0)  # LiteRT's order (O, h, w, I) in Keras's (h, w, I, O)

Array = NDArray[np.float32]


class PretrainedWeights(Section):
    """The content of weights.json."""

    format: int
    architecture: NetworkParams
    classes: list[str]  # in the order of the network's outputs
    files: dict[str, Sha256]
    tensors: dict[str, list[int]]  # of INT8_FILE: each layer's kernels and its bias


@dataclass(frozen=True)
class FoldedConv:
    """A convolution's weights with the following batch norm folded in."""

    kernels: Sequence[Array]  # Keras's shapes; a separable convolution has two
    bias: Array


def read_pretrained_weights(folder: Path) -> PretrainedWeights:
    """Read weights.json. Raises PetsegError if it or another file is missing or changed."""
    path = folder / WEIGHTS_JSON
    found = validate(PretrainedWeights, read_sealed_json(path, FORMAT, _REMEDY), str(path))
    for name, sha256 in found.files.items():
        file = folder / name
        if not file.is_file() or sha256_of(file) != sha256:
            raise PetsegError(f"{file} is missing or changed (sha256 differs); {_REMEDY}.")
    return found


def load_pretrained_weights(
    network: keras.Model, folder: Path, description: PretrainedWeights, skip: Sequence[str] = ()
) -> None:
    """Load a pretrained model's weights into a network of its architecture.

    Layers named in `skip` keep theirs.
    """
    constants = Constants((folder / INT8_FILE).read_bytes())
    with np.load(folder / BATCH_NORMS_FILE, allow_pickle=False) as batch_norms:
        for conv in convolutions(network):
            if conv.name in skip:
                continue
            *kernels, bias = map(constants.read, description.tensors[conv.name])
            folded = FoldedConv([kernel.transpose(_KERNEL_AXES) for kernel in kernels], bias)
            _unfold(conv, folded, batch_norms)


def fold(conv: Any) -> FoldedConv:
    """Return what prediction computes with."""
    *kernels, last = (
        np.asarray(weight, np.float32) for weight in conv.weights[: -1 if conv.use_bias else None]
    )
    batch_norm = batch_norm_of(conv)
    if batch_norm is None:
        return FoldedConv([*kernels, last], np.asarray(conv.bias, np.float32))
    scale, shift = map(np.asarray, batch_norm.scale_and_shift())
    return FoldedConv([*kernels, last * _per_channel(conv, scale)], shift)


def _unfold(conv: Any, folded: FoldedConv, batch_norms: Mapping[str, Array]) -> None:
    """Set the weights of a convolution and its batch norm so that `fold` returns these."""
    batch_norm = batch_norm_of(conv)
    if batch_norm is None:
        conv.set_weights([*folded.kernels, folded.bias])
        return
    gamma, mean, variance = batch_norms[batch_norm.name]
    scale = gamma / np.sqrt(variance + batch_norm.epsilon)
    *others, last = folded.kernels
    divisor = _per_channel(conv, scale)
    kernel = np.divide(last, divisor, out=np.zeros_like(last), where=divisor != 0)
    conv.set_weights([*others, kernel])
    batch_norm.set_weights([gamma, folded.bias + mean * scale, mean, variance])


def _per_channel(conv: Any, values: Array) -> Array:
    """Reshape values (C,) of the output channels to multiply the (last) kernel."""
    return values[:, None] if isinstance(conv, DepthwiseConv2D) else values


class Constants:
    """The constant tensors of a LiteRT file."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content)
        self._details = {
            details["index"]: details for details in self._interpreter.get_tensor_details()
        }

    def with_shape(self, shape: tuple[int, ...]) -> Iterator[int]:
        """Yield the indices of the constants of this shape."""
        for index, details in self._details.items():
            if tuple(details["shape"]) == shape:
                with suppress(ValueError):  # it isn't a constant
                    self._interpreter.get_tensor(index)
                    yield index

    def read(self, index: int) -> Array:
        """Return a constant's values, which each have a scale or share it with their channel."""
        stored = self._interpreter.get_tensor(index)
        quantization = self._details[index]["quantization_parameters"]
        shape = np.ones(stored.ndim, int)
        shape[quantization["quantized_dimension"]] = -1
        scales, zero_points = (
            quantization[key].reshape(shape) for key in ("scales", "zero_points")
        )
        values: Array = ((stored - zero_points) * scales).astype(np.float32)
        return values
