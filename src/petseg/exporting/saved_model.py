"""Convert a network to a SavedModel for TensorFlow Serving: photos in, masks out.

| signature | input | outputs |
|---|---|---|
| serving_default | image_bytes: (B,) files | mask_bytes: (B,) PNGs; probabilities |
| mask | image_bytes: (B,) files | mask_bytes: (B,) PNGs |
| images | image: (B, h, w, 3) uint8 | mask: (B, h, w) uint8; probabilities |

Probabilities are (B, H, W, N) at the network's size. The weights are constants, so that the graph
is all there is. The same weights give the same bytes.
"""

import tempfile
from pathlib import Path

import tensorflow as tf

from petseg.exporting.saved_model_compat import make_canonical
from petseg.exporting.serving_graph import ServingGraph
from petseg.exporting.tflite_compat import with_constant_weights
from petseg.model.saved import SavedModel

SAVED_MODEL_VERSION = "1"  # TensorFlow Serving loads the subfolder with the highest number


def convert_to_saved_model(saved: SavedModel) -> dict[str, bytes]:
    """Return the files of the folder, for a model that sees a photo in one window."""
    network_input = tf.TensorSpec([None, *saved.image_size, 3], tf.float32, name="image")

    @tf.function(input_signature=[network_input], autograph=False)
    def predict(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(saved.network(image, training=False))

    constant = with_constant_weights(predict.get_concrete_function())
    graph = ServingGraph(
        lambda images: constant(images)[0], saved.image_size, len(saved.classes), saved.resize
    )
    of_bytes = tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    of_images = tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)]
    )
    signatures = {
        "serving_default": of_bytes(graph.from_bytes),
        "mask": of_bytes(
            lambda image_bytes: {"mask_bytes": graph.from_bytes(image_bytes)["mask_bytes"]}
        ),
        "images": of_images(graph.from_images),
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=signatures)
        make_canonical(Path(folder))
        return {
            f"{SAVED_MODEL_VERSION}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
