"""`petseg export-web`: what it writes and refuses. tests/soak/test_export_web.py runs the page."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from click.testing import CliRunner

from petseg.cli import main
from petseg.config.tiles import Tiles
from petseg.core.hashing import sha256_of
from petseg.exporting.exported import SourceModel, write_exported
from petseg.photos.prediction import alpha_of
from petseg.web import onnxruntime_web
from petseg.web.export_web import SITE_FILE
from support.predictors import SIZE, TRIMAP
from support.project import ROOT
from support.robustness import matches

SECTION = "The command line"
CASES = {
    "export-web: no exported model": "nowhere has no ONNX file, which the browser runs; run dvc repro export with onnx in export.formats, then use --model models/exported, or choose petseg's own model, pets.",
    "export-web: a folder of LiteRT files only": "exported has no ONNX file, which the browser runs; run dvc repro export with onnx in export.formats, then use --model models/exported, or choose petseg's own model, pets.",
    "export-web: a model with tiles": "exported/unet.onnx has tiles of 64 px (overlap 16), which the page doesn't cut; use petseg predict or petseg demo.",
    "export-web: an ONNX file that takes photos": "exported/unet_photo.onnx takes photos, and the page batches; use unet.onnx of the same folder.",
    "export-web: a folder of the user's own": "site holds files that petseg export-web didn't write, or that were edited since (notes.txt); use another folder, or move them.",
    "export-web: a page that was edited": "site holds files that petseg export-web didn't write, or that were edited since (index.html); use another folder, or move them.",
    "export-web: no npm": "npm isn't installed; petseg export-web fetches onnxruntime-web … with it. Install Node.js, which includes npm, then run petseg export-web again.",
    "export-web: no network": "npm can't fetch onnxruntime-web … (no route to the registry); connect to the network or check npm's settings, then run petseg export-web again.",
    "export-web: another package of that name": "npm's onnxruntime-web … is not the package that petseg was tried with (sha512 differs); check npm's registry and cache.",
}  # fmt: skip


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """The only program on the path: an npm with a package of two small files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as package:
        for name in (*onnxruntime_web._FILES.values(), "package/dist/ort.webgl.min.js"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            package.addfile(member, io.BytesIO(name.encode()))
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "package.tgz").write_bytes(content.getvalue())
    program = folder / "npm"
    program.write_text(f'#!/bin/sh\n/bin/cp "{folder}/package.tgz" "$PWD"\n')
    program.chmod(0o755)
    digest = hashlib.sha512(content.getvalue()).digest()
    monkeypatch.setattr(onnxruntime_web, "_SHA512", base64.b64encode(digest).decode())
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return program


def write_model(tmp_path, export_format="onnx", tiles=None, classes=TRIMAP):
    source = SourceModel(classes=classes, image_size=SIZE, sha256="0" * 64, tiles=tiles)
    write_exported(tmp_path / "exported", {export_format: b"network"}, source)


def export(model="exported"):
    return CliRunner().invoke(main, ["export-web", "site", "--model", model])


def files_in(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in files}


def test_the_folder_holds_the_page_the_model_and_two_files_of_the_package(npm, tmp_path):
    write_model(tmp_path)
    done = export()
    assert done.exit_code == 0, done.output
    assert "python -m http.server --directory" in done.output
    files = files_in(tmp_path / "site")
    site = json.loads(files.pop(SITE_FILE).read_text())
    assert site["files"] == {name: sha256_of(path) for name, path in files.items()}
    assert site["model"]["classes"] == {name: list(color) for name, color in TRIMAP.items()}
    assert (tmp_path / "site" / "unet.onnx").read_bytes() == b"network"
    assert sorted(name for name in files if name.startswith("ort/")) == [
        "ort/ort-wasm-simd-threaded.wasm",
        "ort/ort.wasm.bundle.min.js",
    ]


def test_classes_with_numbers_for_names_keep_their_order(npm, tmp_path):
    """JavaScript would sort them, and put them before others, in an object."""
    classes = {"background": (0, 0, 0), "2": (2, 2, 2), "1": (1, 1, 1)}
    write_model(tmp_path, classes=classes)
    assert export().exit_code == 0
    site = json.loads((tmp_path / "site" / SITE_FILE).read_text())
    assert site["classes"] == [[name, list(color)] for name, color in classes.items()]
    for script in (tmp_path / "site").glob("*.js"):
        assert not re.search(r"model\.classes|Object\.(keys|values|entries)", script.read_text())


def test_the_page_loads_only_files_of_the_folder(npm, tmp_path):
    write_model(tmp_path)
    export()
    files = files_in(tmp_path / "site")
    pages = {name: path.read_text() for name, path in files.items() if "/" not in name and path.suffix in (".html", ".css", ".js")}  # fmt: skip
    for text in pages.values():
        assert not re.search(r"""(?:["'(]|url\()(?:https?:)?//\w""", text)
        names = re.findall(r'(?:src|href|from|fetch\(|Worker\()[= ]?"(?!data:)(?:\./)?([^"]+)"', text)  # fmt: skip
        assert set(names) <= set(files), names
    assert set(re.findall(r'element\("([\w-]+)"\)', pages["app.js"])) <= set(
        re.findall(r'id="([\w-]+)"', pages["index.html"])
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here")
@pytest.mark.parametrize("names", [list(TRIMAP), ["background", "border", "cat", "dog"], ["cat"]])
def test_the_cutout_treats_a_border_as_python_does(tmp_path, names):
    page = shutil.copytree(ROOT / "src/petseg/web/page", tmp_path / "page")
    (page / "package.json").write_text('{"type": "module"}')
    (page / "ort").mkdir()
    (page / "ort" / "ort.wasm.bundle.min.js").touch()
    probabilities = np.random.default_rng(0).dirichlet([1] * len(names), 50).astype(np.float32)
    values = json.dumps([probabilities.ravel().tolist(), len(probabilities), names])
    (page / "alpha.js").write_text(
        'import { alphaOf } from "./segment.js";\n'
        f"console.log(JSON.stringify(Array.from(alphaOf(...{values}) ?? [])));\n"
    )
    done = subprocess.run(["node", page / "alpha.js"], capture_output=True, text=True, check=True)
    classes = dict.fromkeys(names, (0, 0, 0))
    expected = alpha_of(probabilities, classes) if "background" in names else np.zeros(0)
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1)


def test_an_earlier_page_is_replaced(npm, tmp_path):
    write_model(tmp_path)
    export()
    before = (tmp_path / "site" / SITE_FILE).read_bytes()
    assert export().exit_code == 0
    assert (tmp_path / "site" / SITE_FILE).read_bytes() == before


def arrange(case, npm, tmp_path):
    """Make the case true, and return the model to export."""
    formats = {"LiteRT": "litert_int8", "takes photos": "onnx_photo"}
    write_model(
        tmp_path,
        next((name for key, name in formats.items() if key in case), "onnx"),
        Tiles(size=64, overlap=16) if "tiles" in case else None,
    )
    if "user's own" in case:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "notes.txt").write_text("mine")
    if "edited" in case:
        export()
        (tmp_path / "site" / "index.html").write_text("mine")
    if "no npm" in case:
        npm.unlink()
    if "no network" in case:
        error = json.dumps({"error": {"summary": "no route to the registry."}})
        npm.write_text(f"#!/bin/sh\necho '{error}'\nexit 1\n")
    if "another package" in case:
        (npm.parent / "package.tgz").write_bytes(b"other")
    models = {"no exported": "nowhere", "takes photos": "exported/unet_photo.onnx"}
    return next((model for key, model in models.items() if key in case), "exported")


@pytest.mark.parametrize("case", CASES)
def test_an_error_changes_nothing(case, npm, tmp_path):
    model = arrange(case, npm, tmp_path)
    before = {name: path.read_bytes() for name, path in files_in(tmp_path).items()}
    done = export(model)
    assert done.exit_code == 1
    assert matches(CASES[case], done.output.strip(), tmp_path)
    assert {name: path.read_bytes() for name, path in files_in(tmp_path).items()} == before


def test_empty_folders_and_broken_links_of_the_users_are_kept(npm, tmp_path):
    write_model(tmp_path)
    export()
    site = tmp_path / "site"
    (site / "drafts").mkdir()
    (site / "latest").symlink_to("nowhere")
    done = export()
    assert done.exit_code == 1
    assert "(drafts, latest)" in done.output
    assert (site / "drafts").is_dir()
    assert (site / "latest").is_symlink()
