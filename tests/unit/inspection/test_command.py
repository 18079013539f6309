"""petseg data: what it prints and writes, and its exit code."""

import json

import fsspec
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from petseg.cli import main
from petseg.config.params import load_params, parse_params
from petseg.config.tiles import Tiles
from petseg.inspection.settings import DEFAULTS
from support.folders import MASK, draw_pairs
from support.project import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's params.yaml, and a folder of images and 0/255 masks next to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    draw_pairs(tmp_path / "mine", content=MASK * 255)
    return tmp_path


def data(*words):
    return CliRunner().invoke(main, ["data", *map(str, words)])


def without_values(text):
    """The comments and the names of a YAML file."""
    lines = [(line.split(":")[0], line.partition("#")[2]) for line in text.splitlines()]
    return [line for line in lines if any(line)]


def test_the_printed_section_pasted_into_params_yaml_is_valid(project):
    done = data("mine")
    assert done.exit_code == 0, done.output
    section = yaml.safe_load(done.output.partition("puts it there):\n")[2])
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["dataset"] = section["dataset"]
    params["preprocess"] |= section["preprocess"]
    folder = parse_params(params).dataset.folder
    assert folder.path == str(project / "mine")
    assert folder.annotations == "masks"
    assert folder.classes == {"background": (0,), "foreground": (255,)}
    assert "# images without annotation" in done.output


def test_outside_of_a_project_a_section_is_printed_too(project):
    (project / "params.yaml").unlink()
    section = yaml.safe_load(data("mine").output.partition("puts it there):\n")[2])
    assert section["dataset"]["folder"]["classes"] == {"background": 0, "foreground": 255}
    assert section["preprocess"] == {"image_size": 32, "tiles": "none"}


@pytest.mark.parametrize("section", ["[a]", "{folder: data/x}", "{folder: [a]}", "data/x"])
def test_next_to_another_projects_params_yaml_a_section_is_printed_too(project, section):
    (project / "params.yaml").write_text(f"dataset: {section}\npreprocess: fast\n")
    done = data("mine")
    assert done.exit_code == 0, done.output
    section = yaml.safe_load(done.output.partition("puts it there):\n")[2])
    assert section["dataset"]["folder"]["classes"] == {"background": 0, "foreground": 255}
    done = data("mine", "--write")
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)


def test_write_puts_the_parameters_into_params_yaml_and_keeps_comments(project):
    before = (project / "params.yaml").read_text()
    done = data("mine", "--write", "-S", "dataset.folder.test_fraction=0.4")
    assert done.exit_code == 0, done.output
    assert (
        "Wrote dataset, preprocess.image_size and preprocess.tiles to params.yaml." in done.output
    )
    params = load_params()
    assert params.dataset.name == "folder"
    assert params.dataset.folder.test_fraction == 0.4
    assert params.preprocess.image_size == (32, 32)
    after = (project / "params.yaml").read_text()
    assert without_values(after) == without_values(before)
    changed = set(after.splitlines()) - set(before.splitlines())
    assert len(changed) == 6  # name, path, annotations, classes, test_fraction, image_size


def test_write_puts_tiles_for_large_images_into_params_yaml(project):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("resize: stretch", "resize: letterbox"))
    for folder in ("images", "masks"):
        for file in (project / "mine" / folder).iterdir():
            with Image.open(file) as image:
                canvas = Image.new(image.mode, (1100, 1000))
                canvas.paste(image)
            canvas.save(file)
    proposed = json.loads(data("mine", "--json").stdout)["params"]
    assert proposed["preprocess.resize"] == "stretch"
    done = data("mine", "--write")
    assert done.exit_code == 0, done.output
    assert "preprocess.image_size: 256, preprocess.tiles: {size: 256, overlap: 32} (" in done.output
    assert "preprocess.image_size, preprocess.resize and preprocess.tiles" in done.output
    params = load_params().preprocess
    assert (params.image_size, params.resize) == ((256, 256), "stretch")
    assert params.tiles == Tiles(size=256, overlap=32)


def test_a_second_run_uses_and_keeps_what_params_yaml_has_for_the_folder(project):
    assert data("mine", "--write").exit_code == 0
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("foreground: 255", "cat: 255"))
    before = path.read_text()
    done = data("mine", "--write")
    assert "With the settings of dataset.folder in params.yaml" in done.output
    assert "cat         255" in done.output
    assert path.read_text() == before


def test_a_folder_that_cannot_be_trained_on_has_exit_code_1_and_changes_nothing(project):
    (project / "mine" / "masks" / "3.png").unlink()
    before = (project / "params.yaml").read_bytes()
    done = data("mine", "--write")
    assert done.exit_code == 1
    assert "Images without a mask or other annotation (1): images/3.png" in done.output
    assert "params.yaml was not changed." in done.output
    assert (project / "params.yaml").read_bytes() == before
    assert data("mine", "-S", "unlabeled=skip").exit_code == 0


def test_an_empty_folder_has_exit_code_1(project):
    (project / "empty").mkdir()
    done = data("empty", "--out", "check")
    assert done.exit_code == 1
    assert "The folder has no images" in done.output
    assert not (project / "check").exists()


def test_what_is_no_folder_is_said_with_what_to_do(project):
    (project / "mine.zip").write_bytes(b"PK")
    assert "not a folder; unpack it" in data("mine.zip").output
    assert "not a folder; check the path" in data("nothing").output


def test_the_folder_may_be_in_the_home_folder_which_yaml_calls_a_tilde(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project))
    assert data("~/mine/").output.startswith(f"{project / 'mine'}\n")


def test_any_path_and_class_name_can_be_written(project):
    odd = project / "no's (1), Bäder #x=[1]: ~ $y, {z}"
    (project / "mine").rename(odd)
    classes = 'classes={"no": 0, "yes: ratón": 255}'
    done = data(odd, "--write", "-S", classes)
    assert done.exit_code == 0, done.output
    folder = load_params().dataset.folder
    assert (folder.path, list(folder.classes)) == (str(odd), ["no", "yes: ratón"])


def test_a_remote_folder_is_read_and_named_by_its_url(project):
    files = fsspec.filesystem("memory")
    files.put(str(project / "mine"), "/bucket/mine", recursive=True)
    done = data("memory://bucket/mine", "--write")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("memory://bucket/mine\nAnnotations: masks")
    assert load_params().dataset.folder.path == "memory://bucket/mine"
    files.rm("/bucket/mine/masks/3.png")
    done = data("memory://bucket/mine")
    assert (done.exit_code, "Images without a mask" in done.output) == (1, True)
    assert "memory://bucket/other does not exist" in data("memory://bucket/other").output
    files.pipe("/bucket/mine.zip", b"an archive")
    assert (
        "memory://bucket/mine.zip is a file; give the folder"
        in data("memory://bucket/mine.zip").output
    )


def test_the_contact_sheet_cannot_become_an_image_of_the_folder(project):
    for out in ("mine", "mine/check"):
        assert "in the folder itself" in data("mine", "--out", out).output
    assert data("mine", "--out", "mine2").exit_code == 0


def test_json_has_everything_and_nothing_else(project):
    (project / "mine" / "masks" / "3.png").unlink()
    done = data("mine", "--json")
    assert done.exit_code == 1
    printed = json.loads(done.stdout)
    assert printed["trainable"] is False
    assert printed["annotations"] == "masks"
    assert sum(printed["splits"].values()) == 10
    assert printed["sizes"] == [{"width": 12, "height": 8, "images": 10}]
    assert [label["class"] for label in printed["labels"]] == ["background", "foreground"]
    assert printed["problems"][0]["examples"] == ["images/3.png"]
    assert printed["params"]["preprocess.image_size"] == 32
    assert "preprocess.resize" not in printed["params"]


def test_the_contact_sheet_is_written_again_but_never_over_another_file(project):
    sheet = project / "check" / "contact_sheet.png"
    for _ in range(2):
        assert data("mine", "--out", "check").exit_code == 0
    assert Image.open(sheet).width > 600
    sheet.write_bytes(b"mine")
    assert data("mine", "--out", "check").exit_code == 1
    assert sheet.read_bytes() == b"mine"


def test_an_invalid_params_yaml_is_not_written(project):
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("epochs:", "epoch:"))
    before = path.read_bytes()
    done = data("mine", "--write")
    assert done.exit_code == 1
    assert "train.epoch is not a parameter" in done.output
    assert path.read_bytes() == before


def test_the_defaults_are_those_of_the_project():
    folder = yaml.safe_load((ROOT / "params.yaml").read_text())["dataset"]["folder"]
    del folder["path"]
    assert folder == DEFAULTS
