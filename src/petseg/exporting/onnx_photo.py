"""An ONNX file that takes a photo as it is: resizing before and after the network is in the graph.

ONNX Runtime's Resize with antialiasing computes what Pillow's bilinear filter does, for bytes with
the same rounding, so the file does what `petseg.load(...).predict` does.
"""

import onnx

from petseg.config.tiles import Tiles
from petseg.config.types import ExportFormat
from petseg.core.errors import PetsegError
from petseg.core.geometry import PADDING_GRAY, ImageSize, Resize

_NETWORK = "network_"  # before each name of the network's own graph
_FITTED = {
    "stretch": "fitted = Identity(size)",
    # Each side by the other's scale, rounded as in core/geometry.py, but not beyond the input.
    "letterbox": """
        one = Constant <value_ints=[1]>()
        two = Constant <value_ints=[2]>()
        swap = Constant <value_ints=[1, 0]>()
        other_size = Gather(size, swap)
        other = Gather(shape, swap)
        doubled = Mul(two, other)
        product = Mul(shape, other_size)
        doubled_product = Mul(two, product)
        numerator = Add(doubled_product, other)
        rounded = Div(numerator, doubled)
        scaled = Max(rounded, one)
        fitted = Min(scaled, size)""",
}
# As Pillow does it: weights of pixels beyond the edge are left out.
_BILINEAR = 'mode="linear", antialias=1, exclude_outside=1'
_GRAPH = """
    <ir_version: {ir_version}, opset_import: ["": {opset}]>
    unet_photo (uint8[height, width, 3] image)
        => (uint8[height, width] mask, float[height, width, {num_classes}] probabilities)
    {{
        shape = Shape <start=0, end=2>(image)
        size = Constant <value_ints=[{size.height}, {size.width}]>()
        {fitted}
        first = Constant <value_ints=[0]>()
        pair = Constant <value_ints=[0, 0]>()
        half = Constant <value_ints=[2]>()
        rest = Sub(size, fitted)
        before = Div(rest, half)
        after = Sub(rest, before)
        end = Add(before, fitted)
        pads = Concat <axis=0>(pair, before, pair, after)
        gray = Constant <value=uint8 {{{gray}}}>()
        three = Constant <value_ints=[1, 3]>()
        classes = Constant <value_ints=[1, {num_classes}]>()
        sides = Constant <value_ints=[2, 3]>()
        fitted_shape = Concat <axis=0>(three, fitted)
        photo_shape = Concat <axis=0>(classes, shape)

        channels = Transpose <perm=[2, 0, 1]>(image)
        batch = Unsqueeze(channels, first)
        resized = Resize <{bilinear}>(batch, "", "", fitted_shape)
        padded = Pad(resized, pads, gray)
        pixels = Cast <to=1>(padded)
        network_image = Transpose <perm=[0, 2, 3, 1]>(pixels)

        planes = Transpose <perm=[0, 3, 1, 2]>(network_probabilities)
        inside = Slice(planes, before, end, sides)
        enlarged = Resize <{bilinear}>(inside, "", "", photo_shape)
        photo_planes = Squeeze(enlarged, first)
        probabilities = Transpose <perm=[1, 2, 0]>(photo_planes)
        best = ArgMax <axis=-1, keepdims=0>(probabilities)
        mask = Cast <to=2>(best)
    }}"""


def require_one_window(
    resize: Resize, tiles: Tiles | None, name: ExportFormat = "onnx_photo"
) -> None:
    """Raise PetsegError if the model sees a photo in several windows, which the graph doesn't."""
    if tiles or resize == "crop":
        setting = "preprocess.tiles" if tiles else "preprocess.resize: crop"
        raise PetsegError(
            f"A model with {setting} sees a photo in several windows, which no {name} file "
            f"does; remove {name} from export.formats."
        )


def with_photo_input(network: bytes, size: ImageSize, resize: Resize, num_classes: int) -> bytes:
    """Return the ONNX file for a photo (height, width, 3) uint8, from that for a batch.

    Its outputs are mask (height, width) uint8 and probabilities (height, width, N) float32.
    """
    batch = onnx.compose.add_prefix(onnx.load_model_from_string(network), _NETWORK)
    text = _GRAPH.format(
        ir_version=batch.ir_version,
        opset=batch.opset_import[0].version,
        num_classes=num_classes,
        size=size,
        fitted=_FITTED[resize],
        gray=PADDING_GRAY,
        bilinear=_BILINEAR,
    )
    photo = onnx.parser.parse_model(text)
    nodes = list(photo.graph.node)
    here = next(i for i, node in enumerate(nodes) if batch.graph.input[0].name in node.output) + 1
    del photo.graph.node[:]
    photo.graph.node.extend([*nodes[:here], *batch.graph.node, *nodes[here:]])
    photo.graph.initializer.extend(batch.graph.initializer)
    del photo.opset_import[:]
    photo.opset_import.extend(batch.opset_import)
    onnx.checker.check_model(photo)
    return bytes(photo.SerializeToString(deterministic=True))
