"""The folder of exported files: what is read back, and damaged folders."""

import json
import shutil
from pathlib import Path

import pytest

import petseg
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import sealed_json
from petseg.exporting.exported import FILE_NAMES, SourceModel, read_exported, write_exported
from petseg.model.saved import MODEL_FILE
from petseg.pretrained import pretrained_folder
from support.predictors import TRIMAP
from support.robustness import matches
from support.tiles import TILES

SECTION = "Exported models"
CASES = {
    "exported file cut short": "exported/unet.onnx is not the file that exported/exported.json lists (sha256 differs); copy it again, or choose another model.",
    "missing exported file": "exported/unet.onnx is missing; copy it again, or choose another model.",
    "exported file without its JSON": "exported/exported.json is missing; keep it in the same folder as unet.onnx, or copy it again, or choose another model.",
    "exported file that its JSON doesn't list": "exported/exported.json doesn't list unet.onnx; choose one of unet_float32.tflite, ….",
    "exported.json edited by hand": "exported/exported.json was edited after it was written (sha256 differs); copy it again, or choose another model.",
    "exported.json of another format": "exported/exported.json has format 2, but this version of petseg reads 1; copy it again, or choose another model.",
    "exported.json with half a color": "exported/exported.json: model.classes.pet.2 is missing.",
    "exported.json for other classes": "exported/unet.onnx outputs shape (1, 32, 32, 3), but its JSON says (1, 32, 32, 2); copy it again, or choose another model.",
    "exported file that is not a network": "exported/unet.onnx can't be run (…); copy it again, or choose another model.",
}  # fmt: skip


def damage(folder):
    path = folder / "unet.onnx"
    path.write_bytes(path.read_bytes()[:-1])


def edit(folder):
    path = folder / "exported.json"
    path.write_text(path.read_text().replace('"image_size": 32', '"image_size": 64'))


def resealed(change):
    """Return a change of exported.json by somebody who also renews its checksum."""

    def change_folder(folder):
        path = folder / "exported.json"
        document = json.loads(path.read_text())
        document.pop("sha256")
        change(document, folder)
        path.write_text(sealed_json(document))

    return change_folder


def replace_network(document, folder):
    (folder / "unet.onnx").write_bytes(b"no network")
    document["files"]["unet.onnx"]["sha256"] = sha256_of(folder / "unet.onnx")


def cut_color(document, folder):
    document["model"]["classes"]["pet"] = [1, 2]


CHANGES = {
    "exported file cut short": damage,
    "missing exported file": lambda folder: (folder / "unet.onnx").unlink(),
    "exported file without its JSON": lambda folder: (folder / "exported.json").unlink(),
    "exported file that its JSON doesn't list": resealed(lambda document, _: document["files"].pop("unet.onnx")),
    "exported.json edited by hand": edit,
    "exported.json of another format": resealed(lambda document, _: document.update(format=2)),
    "exported.json with half a color": resealed(cut_color),
    "exported.json for other classes": resealed(lambda document, _: document["model"]["classes"].pop("border")),
    "exported file that is not a network": resealed(replace_network),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_exported_model_is_a_petseg_error(exported_run, tmp_path, case):
    folder = tmp_path / "exported"
    shutil.copytree(exported_run.exported, folder)
    CHANGES[case](folder)
    with pytest.raises(PetsegError) as caught:
        petseg.load(folder / "unet.onnx")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def test_only_the_pipelines_own_files_are_restored_from_dvcs_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, remedy in (
        (Path("models/exported/unet.onnx"), "restore it with dvc checkout --force, or recreate it with dvc repro export"),
        (tmp_path / "models" / "exported" / "unet.onnx", "restore it with dvc checkout --force, or recreate it with dvc repro export"),
        (Path("elsewhere/unet.onnx"), "copy it again, or choose another model"),
        (pretrained_folder("pets") / "unet.onnx", "install petseg again"),
    ):  # fmt: skip
        with pytest.raises(PetsegError) as caught:
            read_exported(path)
        assert str(caught.value) == f"{path} is missing; {remedy}."


def test_a_file_is_read_with_its_description(exported_run):
    for name, file_name in FILE_NAMES.items():
        path = exported_run.exported / file_name
        exported = read_exported(path)
        assert (exported.format, exported.image_size) == (name, (32, 32))
        assert exported.content == path.read_bytes()
        assert exported.sha256 == sha256_of(path)
        assert exported.model_sha256 == sha256_of(exported_run.model / MODEL_FILE)
        assert list(exported.classes) == ["pet", "background", "border"]


def test_an_exported_file_remembers_the_models_tiles(tmp_path):
    model = SourceModel(classes=TRIMAP, image_size=ImageSize(32, 32), sha256="0" * 64, tiles=TILES)
    write_exported(tmp_path, {"onnx": b"network"}, model)
    assert read_exported(tmp_path / "unet.onnx").tiles == TILES
    write_exported(tmp_path, {"onnx": b"network"}, model.model_copy(update={"tiles": None}))
    assert "tiles" not in (tmp_path / "exported.json").read_text()
    assert read_exported(tmp_path / "unet.onnx").tiles is None


def test_an_exported_file_of_synthetic_pets_is_not_for_photos(exported_run, capsys):
    file = exported_run.exported / "unet_float32.tflite"
    petseg.load(file)
    assert capsys.readouterr().err == (
        f"{file} was trained on synthetic pets and is wrong on photos; for those, choose petseg's "
        "own model, pets (--model pets).\n"
    )
