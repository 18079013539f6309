"""A pretrained model as the ONNX file that a browser runs; the package has only an int8 file."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from petseg.config.types import PRETRAINED
from petseg.core.errors import explain_missing, translate
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import ExportedModel, find_exported, read_exported
from petseg.pretrained import pretrained_folder


def is_pretrained(model: Path) -> bool:
    return model in map(pretrained_folder, PRETRAINED)


def pretrained_as_onnx(folder: Path) -> ExportedModel:
    """Convert a pretrained model. Raises PetsegError if TensorFlow isn't installed."""
    file = find_exported(folder)
    assert file is not None
    exported = read_exported(file)
    what = f"Converting {folder.name} to ONNX"
    with translate(partial(explain_missing, what=what)):
        import_tensorflow()
        from petseg.exporting.convert import convert
        from petseg.model.saved import SavedModel
        from petseg.model.unet import Architecture, build_unet
        from petseg.pretrained.weights import load_pretrained_weights, read_pretrained_weights

        description = read_pretrained_weights(folder)
        architecture = Architecture(
            **description.architecture.model_dump(), classes=len(description.classes)
        )
        network = build_unet(architecture)
        load_pretrained_weights(network, folder, description)
        saved = SavedModel(network, architecture, exported.classes, exported.image_size)
        content = convert(saved, "onnx", [])
        assert isinstance(content, bytes)
    digest = hashlib.sha256(content).hexdigest()
    return replace(exported, format="onnx", content=content, sha256=digest)
