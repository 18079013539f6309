"""Which model is loaded: a path, the name of a pretrained model, or the default."""

from pathlib import Path

import pytest

from petseg.core.errors import PetsegError
from petseg.photos.find_model import find_model
from petseg.pretrained import pretrained_folder

SECTION = "The command line"
CASES = {
    "--model pets, next to a model in a folder of that name": "pets is petseg's own model, but there is a model in the folder pets, too; use ./pets for that one, or rename it.",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_by_default_it_is_the_model_that_was_trained_last(folder, capsys):
    Path("models/unet").mkdir(parents=True)
    assert find_model(None) == Path("models/unet")
    assert capsys.readouterr().err == ""


def test_without_one_it_is_petsegs_own_and_a_line_says_so(capsys):
    assert find_model(None) == pretrained_folder("pets")
    assert capsys.readouterr().err == "There is no models/unet; using petseg's own model, pets.\n"


def test_a_broken_link_to_a_trained_model_is_not_replaced_in_silence(capsys):
    Path("models").mkdir()
    Path("models/unet").symlink_to("nowhere")
    assert find_model(None) == Path("models/unet")


def test_a_name_means_petsegs_own_model_and_a_path_does_not(folder, capsys):
    Path("pets").mkdir()  # of photos
    assert find_model("pets") == pretrained_folder("pets")
    for path in ("./pets/", str(folder / "pets"), Path("pets"), "cats"):
        assert find_model(path) == Path(path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("file", ["model.json", "exported.json"])
def test_a_model_in_a_folder_of_that_name_is_an_error(file):
    Path("pets").mkdir()
    Path("pets", file).touch()
    with pytest.raises(PetsegError) as caught:
        find_model("pets")
    assert [str(caught.value)] == list(CASES.values())
    assert find_model("./pets") == Path("pets")
