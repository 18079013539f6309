"""Weights and model folders that are damaged, edited or hostile. docs/robustness.md says what is promised."""

import json
import shutil

import h5py
import keras
import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.labels import colors_of
from petseg.core.sealed_json import sealed_json
from petseg.model.encoder import build_encoder, load_encoder_weights
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from support.robustness import matches

SECTION = "Models"
CASES = {
    "model folder missing": "model/model.json is missing or damaged; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model weights missing": "model/model.weights.h5 is missing or not the one that model/model.json names (sha256 differs); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model weights with a changed byte": "model/model.weights.h5 is missing or not the one that model/model.json names (sha256 differs); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model weights truncated": "model/model.weights.h5 is missing or not the one that model/model.json names (sha256 differs); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model JSON cut": "model/model.json is missing or damaged; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model JSON of another format": "model/model.json is of format 1, this petseg reads 4; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model JSON edited": "model/model.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model JSON with classes renamed": "model/model.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: weights truncated": "model/model.weights.h5 doesn't fit model/model.json (it is damaged or not HDF5…); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: not HDF5": "model/model.weights.h5 doesn't fit model/model.json (it is damaged or not HDF5…); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: another network's weights": "model/model.weights.h5 doesn't fit model/model.json (…); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: weights of other classes": "model/model.weights.h5 doesn't fit model/model.json (…); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: NaN in the weights": "model/model.weights.h5 doesn't fit model/model.json (bridge_norm/gamma holds what is not a number); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: link into another file": "model/model.weights.h5 doesn't fit model/model.json ('0' is a link to elsewhere); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: link in a circle": "model/model.weights.h5 doesn't fit model/model.json ('loop' is a link to elsewhere); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: data kept in /etc/passwd": "model/model.weights.h5 doesn't fit model/model.json ('outside' keeps its data elsewhere); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: virtual data of another file": "model/model.weights.h5 doesn't fit model/model.json ('outside' keeps its data elsewhere); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: a bomb of 4 TB": "model/model.weights.h5 doesn't fit model/model.json ('bomb' is kept in chunks); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: more numbers than the network has": "model/model.weights.h5 doesn't fit model/model.json (it holds 1,000,429,315 numbers for 429,315 parameters); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: a bomb of text": "model/model.weights.h5 doesn't fit model/model.json ('bomb' holds no plain numbers); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: a bomb in one chunk": "model/model.weights.h5 doesn't fit model/model.json ('bomb' is kept in chunks); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: weights behind a filter": "model/model.weights.h5 doesn't fit model/model.json (… is kept in chunks); bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "model JSON of 100,000 brackets": "model/model.json is missing or damaged; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: a path to elsewhere": "model/model.json: weights.file is '../../x.h5', but must be 'model.weights.h5'.",
    "sealed anew: a monstrous network": "model/model.json: architecture.decoder_filters.0 is 1000000000, but must be a list of 2 to 5 whole numbers from 1 to 1024.…",
    "sealed anew: an unknown encoder": "model/model.json: architecture.encoder is 'os.system', but must be 'mobilenet_v2'.",
    "sealed anew: an unknown key": "model/model.json: run is not a parameter; known here: format, architecture, classes, ignore_label, input, weights, origin.",
    "sealed anew: classes that don't match": "model/model.json names 3 classes for 7; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "sealed anew: a color that is none": "model/model.json: classes.a.2 is 300, but must be two or more names, each with three numbers from 0 to 255.…",
    "pretrained weights truncated": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights empty": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights that are text": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (it is damaged or not HDF5…).",
    "pretrained weights of another width": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (…).",
    "pretrained weights with NaN": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (bn_Conv1/gamma holds what is not a number).",
    "pretrained weights with a link into another file": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top ('0' is a link to elsewhere).",
    "pretrained weights with a bomb": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top ('bomb' is kept in chunks).",
    "a whole model instead of an encoder": "model.weights is 'pretrained.weights.h5', which doesn't hold the weights of mobilenet_v2 with alpha 0.35 and no top (…).",
}  # fmt: skip

ARCHITECTURE = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
CLASSES = colors_of(("pet", "background", "border"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(SavedModel(build_unet(ARCHITECTURE), ARCHITECTURE, CLASSES, 64), folder)
    return folder


def weights(folder):
    return folder / "model.weights.h5"


def edit(folder, change, seal=False):
    """Change model.json, by hand or like somebody who also makes its checksums anew."""
    path = folder / "model.json"
    raw = json.loads(path.read_text())
    if seal:
        raw["weights"]["sha256"] = sha256_of(weights(folder))
        raw.pop("sha256")
    change(raw)
    path.write_text(sealed_json(raw) if seal else json.dumps(raw))


def resealed(change_weights):
    """Other weights, and checksums to match."""

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
    """Nothing is on disk, all of it would be in memory."""
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (10**9,), "f4")


def chunked(path):
    """Four numbers in a compressed chunk that takes 256 MiB to read."""
    with h5py.File(path, "r+") as file:
        file.create_dataset(
            "bomb", (4,), "f4", chunks=(2**26,), maxshape=(None,), compression="gzip"
        )


def filtered(path):
    """Bytes behind a filter that HDF5 would look for among its plugins."""
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
    "model folder missing": shutil.rmtree,
    "model weights missing": lambda f: weights(f).unlink(),
    "model weights with a changed byte": lambda f: weights(f).write_bytes(weights(f).read_bytes()[:-1] + b"x"),
    "model weights truncated": lambda f: weights(f).write_bytes(weights(f).read_bytes()[:5000]),
    "model JSON cut": lambda f: (f / "model.json").write_text('{"format": 2,'),
    "model JSON of another format": lambda f: edit(f, lambda raw: raw.update(format=1)),
    "model JSON edited": lambda f: edit(f, lambda raw: raw["architecture"].update(alpha=0.5)),
    "model JSON with classes renamed": lambda f: edit(f, lambda raw: raw.update(classes={name: [1, 2, 3] for name in "abc"})),
    "sealed anew: weights truncated": resealed(lambda p: p.write_bytes(p.read_bytes()[:5000])),
    "sealed anew: not HDF5": resealed(lambda p: p.write_bytes(b"PK\3\4")),
    "sealed anew: another network's weights": resealed(of_another_network),
    "sealed anew: weights of other classes": resealed(of_other_classes),
    "sealed anew: NaN in the weights": resealed(not_a_number),
    "sealed anew: link into another file": resealed(link_elsewhere),
    "sealed anew: link in a circle": resealed(soft_link),
    "sealed anew: data kept in /etc/passwd": resealed(external_storage),
    "sealed anew: virtual data of another file": resealed(virtual),
    "sealed anew: a bomb of 4 TB": resealed(bomb),
    "sealed anew: more numbers than the network has": resealed(too_many),
    "sealed anew: a bomb of text": resealed(bomb_of_text),
    "sealed anew: a bomb in one chunk": resealed(chunked),
    "sealed anew: weights behind a filter": resealed(filtered),
    "model JSON of 100,000 brackets": lambda f: (f / "model.json").write_text('{"format": ' + "[" * 100_000),
    "sealed anew: a path to elsewhere": lambda f: edit(f, lambda raw: raw["weights"].update(file="../../x.h5"), True),
    "sealed anew: a monstrous network": lambda f: edit(f, lambda raw: raw["architecture"].update(decoder_filters=[10**9] * 5), True),
    "sealed anew: an unknown encoder": lambda f: edit(f, lambda raw: raw["architecture"].update(encoder="os.system"), True),
    "sealed anew: an unknown key": lambda f: edit(f, lambda raw: raw.update(run="rm -r /"), True),
    "sealed anew: classes that don't match": lambda f: edit(f, lambda raw: raw["architecture"].update(classes=7), True),
    "sealed anew: a color that is none": lambda f: edit(f, lambda raw: raw.update(classes={name: [1, 2, 300] for name in "abc"}), True),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_model_folder_that_is_not_as_it_was_written_is_told(saved, tmp_path, case):
    folder = shutil.copytree(saved, tmp_path / "model")
    MODELS[case](folder)
    with pytest.raises(PetsegError) as caught:
        load_model(folder)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def pretrained(path, alpha=0.35):
    keras.applications.MobileNetV2(
        (96, 96, 3), alpha=alpha, include_top=False, weights=None
    ).save_weights(path)


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
def test_pretrained_weights_that_do_not_fit_are_told(tmp_path, case):
    path = tmp_path / "pretrained.weights.h5"
    PRETRAINED[case](path)
    encoder = build_encoder("mobilenet_v2", 0.35)
    with pytest.raises(PetsegError) as caught:
        load_encoder_weights(encoder, "mobilenet_v2", 0.35, str(path))
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def test_loading_reads_nothing_but_the_folder_and_runs_nothing(saved, tmp_path):
    """Once Python has all modules, loading a model opens its two files, and neither imports, compiles nor starts a thing.

    What HDF5 opens in C isn't seen here; the cases above show that it is given no way out.
    """
    import sys

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
