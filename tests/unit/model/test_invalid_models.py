"""Weights and model folders that are damaged, edited or hostile; docs/robustness.md lists the outcomes."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.hashing import sha256_of
from petseg.core.labels import colors_of
from petseg.core.sealed_json import sealed_json
from petseg.model.encoder import build_encoder, load_encoder_weights
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from support.encoders import construct_small_encoder, small_encoder
from support.robustness import matches

SECTION = "Models"
CASES = {
    "missing model folder": "model/model.json is missing or damaged; copy it again, or choose another model.",
    "missing model weights": "model/model.weights.h5 is missing or not the file that model/model.json names (sha256 differs); copy it again, or choose another model.",
    "model weights with a changed byte": "model/model.weights.h5 is missing or not the file that model/model.json names (sha256 differs); copy it again, or choose another model.",
    "model weights truncated": "model/model.weights.h5 is missing or not the file that model/model.json names (sha256 differs); copy it again, or choose another model.",
    "truncated model JSON": "model/model.json is missing or damaged; copy it again, or choose another model.",
    "model JSON of another format": "model/model.json has format 1, but this version of petseg reads 5; copy it again, or choose another model.",
    "edited model JSON": "model/model.json was edited after it was written (sha256 differs); copy it again, or choose another model.",
    "model JSON with classes renamed": "model/model.json was edited after it was written (sha256 differs); copy it again, or choose another model.",
    "sealed, weights truncated": "model/model.weights.h5 doesn't fit model/model.json (it is damaged or not HDF5…); copy it again, or choose another model.",
    "sealed, not HDF5": "model/model.weights.h5 doesn't fit model/model.json (it is damaged or not HDF5…); copy it again, or choose another model.",
    "sealed, another network's weights": "model/model.weights.h5 doesn't fit model/model.json (…); copy it again, or choose another model.",
    "sealed, weights of other classes": "model/model.weights.h5 doesn't fit model/model.json (…); copy it again, or choose another model.",
    "sealed, NaN in the weights": "model/model.weights.h5 doesn't fit model/model.json (projection_norm/gamma holds NaN or Inf); copy it again, or choose another model.",
    "sealed, link into another file": "model/model.weights.h5 doesn't fit model/model.json ('0' is a link); copy it again, or choose another model.",
    "sealed, circular link": "model/model.weights.h5 doesn't fit model/model.json ('loop' is a link); copy it again, or choose another model.",
    "sealed, data stored in /etc/passwd": "model/model.weights.h5 doesn't fit model/model.json ('outside' stores its data in another file); copy it again, or choose another model.",
    "sealed, virtual data from another file": "model/model.weights.h5 doesn't fit model/model.json ('outside' stores its data in another file); copy it again, or choose another model.",
    "sealed, a 4 TB decompression bomb": "model/model.weights.h5 doesn't fit model/model.json ('bomb' is stored in chunks); copy it again, or choose another model.",
    "sealed, more numbers than the network has parameters": "model/model.weights.h5 doesn't fit model/model.json (it holds … numbers for … parameters); copy it again, or choose another model.",
    "sealed, a bomb of text": "model/model.weights.h5 doesn't fit model/model.json ('bomb' doesn't hold plain numbers); copy it again, or choose another model.",
    "sealed, a bomb in one chunk": "model/model.weights.h5 doesn't fit model/model.json ('bomb' is stored in chunks); copy it again, or choose another model.",
    "sealed, weights behind a filter": "model/model.weights.h5 doesn't fit model/model.json (… is stored in chunks); copy it again, or choose another model.",
    "model JSON of 100,000 brackets": "model/model.json is missing or damaged; copy it again, or choose another model.",
    "sealed, a path outside the folder": "model/model.json: weights.file is '../../x.h5', but must be 'model.weights.h5'.",
    "sealed, an enormous network": "model/model.json: architecture.decoder_filters.0 is 1000000000, but must be a whole number from 1 to 1024.…",
    "sealed, an unknown encoder": "model/model.json: architecture.encoder is 'os.system', but must be 'mobilenet_v2', 'mobilenet_v3_large', 'efficientnet_v2_b0', 'efficientnet_lite0' or 'efficientnet_lite2'.",
    "sealed, an unknown key": "model/model.json: run is not a parameter; known here: format, architecture, classes, ignore_label, input, weights, origin.",
    "sealed, classes that don't match": "model/model.json has 3 names for 7 classes; copy it again, or choose another model.",
    "sealed, an invalid color": "model/model.json: classes.a.2 is 300, but must be a whole number from 0 to 255.…",
    "pretrained weights truncated": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights empty": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights that are text": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights of another width": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (…).",
    "pretrained weights with NaN": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (norm_2/gamma holds NaN or Inf).",
    "pretrained weights with a link into another file": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top ('0' is a link).",
    "pretrained weights with a bomb": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top ('bomb' is stored in chunks).",
    "a whole model instead of an encoder": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (…).",
}  # fmt: skip

ARCHITECTURE = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
CLASSES = colors_of(("pet", "background", "border"))


@pytest.fixture(scope="module", autouse=True)
def encoder():
    with small_encoder():
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory, encoder):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(
        SavedModel(build_unet(ARCHITECTURE), ARCHITECTURE, CLASSES, ImageSize(64, 64)), folder
    )
    return folder


def weights(folder):
    return folder / "model.weights.h5"


def edit(folder, change, seal=False):
    """Change model.json, like a careless user or, sealed, like an attacker who updates its checksums."""
    path = folder / "model.json"
    raw = json.loads(path.read_text())
    if seal:
        raw["weights"]["sha256"] = sha256_of(weights(folder))
        raw.pop("sha256")
    change(raw)
    path.write_text(sealed_json(raw) if seal else json.dumps(raw))


def resealed(change_weights):
    """Change the weights and update the checksums."""

    def change(folder):
        change_weights(weights(folder))
        edit(folder, lambda raw: None, seal=True)

    return change


def first_dataset(file):
    names = []
    file.visititems(
        lambda name, item: (
            names.append(name) if isinstance(item, h5py.Dataset) and item.ndim else None
        )
    )
    return names[0]


def not_a_number(path):
    with h5py.File(path, "r+") as file:
        file[first_dataset(file)][...] = np.nan


def link_elsewhere(path):
    with h5py.File(path.with_name("secret.h5"), "w") as secret:
        secret["x"] = np.zeros(3)
    with h5py.File(path, "r+") as file:
        name = first_dataset(file)
        del file[name]
        file[name] = h5py.ExternalLink("secret.h5", "x")


def soft_link(path):
    with h5py.File(path, "r+") as file:
        file["loop"] = h5py.SoftLink("/loop")


def external_storage(path):
    with h5py.File(path, "r+") as file:
        file.create_dataset("outside", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(path):
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/etc/hosts", "x", (4,))
        file.create_virtual_dataset("outside", layout)


def bomb(path):
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def bomb_of_text(path):
    """Eight strings of 60 MB each: few numbers, many bytes."""
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (8,), "S60000000", chunks=(1,), compression="gzip")


def too_many(path):
    """It takes no space on disk and 4 GB in memory."""
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (10**9,), "f4")


def chunked(path):
    """Four numbers in a compressed chunk that takes 256 MiB to read."""
    with h5py.File(path, "r+") as file:
        file.create_dataset(
            "bomb", (4,), "f4", chunks=(2**26,), maxshape=(None,), compression="gzip"
        )


def filtered(path):
    """Bytes behind a filter that HDF5 may load from a plugin."""
    with h5py.File(path, "r+") as file:
        name = first_dataset(file)
        data = file[name][...]
        del file[name]
        file.create_dataset(name, data=data, chunks=data.shape, fletcher32=True)


def of_another_network(path):
    build_unet(Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 16), 3)).save_weights(path)


def of_other_classes(path):
    build_unet(Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 5)).save_weights(path)


MODELS = {
    "missing model folder": shutil.rmtree,
    "missing model weights": lambda f: weights(f).unlink(),
    "model weights with a changed byte": lambda f: weights(f).write_bytes(weights(f).read_bytes()[:-1] + b"x"),
    "model weights truncated": lambda f: weights(f).write_bytes(weights(f).read_bytes()[:5000]),
    "truncated model JSON": lambda f: (f / "model.json").write_text('{"format": 2,'),
    "model JSON of another format": lambda f: edit(f, lambda raw: raw.update(format=1)),
    "edited model JSON": lambda f: edit(f, lambda raw: raw["architecture"].update(alpha=0.5)),
    "model JSON with classes renamed": lambda f: edit(f, lambda raw: raw.update(classes={name: [1, 2, 3] for name in "abc"})),
    "sealed, weights truncated": resealed(lambda p: p.write_bytes(p.read_bytes()[:5000])),
    "sealed, not HDF5": resealed(lambda p: p.write_bytes(b"PK\3\4")),
    "sealed, another network's weights": resealed(of_another_network),
    "sealed, weights of other classes": resealed(of_other_classes),
    "sealed, NaN in the weights": resealed(not_a_number),
    "sealed, link into another file": resealed(link_elsewhere),
    "sealed, circular link": resealed(soft_link),
    "sealed, data stored in /etc/passwd": resealed(external_storage),
    "sealed, virtual data from another file": resealed(virtual),
    "sealed, a 4 TB decompression bomb": resealed(bomb),
    "sealed, more numbers than the network has parameters": resealed(too_many),
    "sealed, a bomb of text": resealed(bomb_of_text),
    "sealed, a bomb in one chunk": resealed(chunked),
    "sealed, weights behind a filter": resealed(filtered),
    "model JSON of 100,000 brackets": lambda f: (f / "model.json").write_text('{"format": ' + "[" * 100_000),
    "sealed, a path outside the folder": lambda f: edit(f, lambda raw: raw["weights"].update(file="../../x.h5"), True),
    "sealed, an enormous network": lambda f: edit(f, lambda raw: raw["architecture"].update(decoder_filters=[10**9] * 5), True),
    "sealed, an unknown encoder": lambda f: edit(f, lambda raw: raw["architecture"].update(encoder="os.system"), True),
    "sealed, an unknown key": lambda f: edit(f, lambda raw: raw.update(run="rm -r /"), True),
    "sealed, classes that don't match": lambda f: edit(f, lambda raw: raw["architecture"].update(classes=7), True),
    "sealed, an invalid color": lambda f: edit(f, lambda raw: raw.update(classes={name: [1, 2, 300] for name in "abc"}), True),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_changed_model_folder_is_an_error(saved, tmp_path, case):
    folder = shutil.copytree(saved, tmp_path / "model")
    MODELS[case](folder)
    with pytest.raises(PetsegError) as caught:
        load_model(folder)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def pretrained(path, alpha=0.35):
    construct_small_encoder((96, 96, 3), alpha, False, None).save_weights(path)


def changed(change):
    def write(path):
        pretrained(path)
        change(path)

    return write


PRETRAINED = {
    "pretrained weights truncated": changed(lambda p: p.write_bytes(p.read_bytes()[:5000])),
    "pretrained weights empty": lambda p: p.write_bytes(b""),
    "pretrained weights that are text": lambda p: p.write_bytes(b"not HDF5"),
    "pretrained weights of another width": lambda p: pretrained(p, 0.5),
    "pretrained weights with NaN": changed(not_a_number),
    "pretrained weights with a link into another file": changed(link_elsewhere),
    "pretrained weights with a bomb": changed(bomb),
    "a whole model instead of an encoder": lambda p: build_unet(ARCHITECTURE).save_weights(p),
}


@pytest.mark.parametrize("case", PRETRAINED)
def test_pretrained_weights_that_do_not_fit_are_an_error(tmp_path, case):
    path = tmp_path / "pretrained.weights.h5"
    PRETRAINED[case](path)
    encoder = build_encoder("mobilenet_v2", 0.35)
    with pytest.raises(PetsegError) as caught:
        load_encoder_weights(encoder, "mobilenet_v2", 0.35, str(path))
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def test_loading_reads_nothing_but_the_folder_and_runs_nothing(saved, tmp_path):
    """With all modules imported, loading a model opens its two files and runs nothing else.

    An audit hook doesn't see what HDF5 opens in C; the cases above show that it can't reach another file.
    """
    folder = shutil.copytree(saved, tmp_path / "model")
    load_model(folder)
    events, watching = [], [True]

    def watch(event, args):
        if watching[0]:
            events.append((event, str(args[0]) if args else ""))

    sys.addaudithook(watch)
    load_model(folder)
    watching[0] = False
    forbidden = (
        "import",
        "compile",
        "exec",
        "subprocess",
        "os.system",
        "os.exec",
        "ctypes",
        "socket",
        "pickle",
    )
    assert [event for event in events if event[0].startswith(forbidden)] == []
    assert {path for event, path in events if event == "open"} == {
        str(folder / name) for name in ("model.json", "model.weights.h5")
    }
