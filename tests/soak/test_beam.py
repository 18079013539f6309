"""Preprocessing on Apache Beam: three real pipelines, and options that Beam rejects."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("apache_beam")

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.preprocessing.preprocess import preprocess
from support.project import ROOT
from support.shards import prepare_in_three_files, with_bad_examples

TWO_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
)


@pytest.fixture(scope="module")
def three_files(tiny_params, tmp_path_factory):
    return prepare_in_three_files(tiny_params.dataset, tmp_path_factory.mktemp("three") / "raw")


def on_beam(settings, *options):
    return settings.model_copy(update={"runner": "beam", "beam_options": options})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def error_of(settings, raw, folder):
    with pytest.raises(PetsegError) as caught:
        preprocess(settings, 0, raw, folder)
    assert not folder.exists()
    assert not list(folder.parent.glob(".*.partial"))
    return str(caught.value)


@pytest.mark.parametrize("options", [(), TWO_PROCESSES], ids=["one process", "two processes"])
def test_beam_writes_the_same_bytes_as_one_process(tiny_params, three_files, tmp_path, options):
    changes = {"train_fraction": 0.8, "shards": 3, "resize": "letterbox"}
    settings = tiny_params.preprocess.model_copy(update=changes | {"image_size": ImageSize(32, 64)})
    preprocess(settings, 0, three_files, tmp_path / "local")
    preprocess(on_beam(settings, *options), 0, three_files, tmp_path / "beam")
    assert contents(tmp_path / "beam") == contents(tmp_path / "local")
    assert len(contents(tmp_path / "beam")) == 10


def test_beam_raises_the_first_error(tiny_params, three_files, tmp_path):
    raw = with_bad_examples(three_files, tmp_path / "raw", {5: "unknown label", 29: "no mask"})
    settings = tiny_params.preprocess
    beam_error = error_of(on_beam(settings, *TWO_PROCESSES), raw, tmp_path / "tfrecords")
    assert beam_error == error_of(settings, raw, tmp_path / "tfrecords")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nosuch=3", "--other"], "Apache Beam has no option --nosuch, --other"),
        (["--direct_num_workers=x"], "argument --direct_num_workers: invalid int value: 'x'"),
        (["--direct_running_mode=fast"], "argument --direct_running_mode: invalid choice: 'fast'"),
        (
            ["--direct_num_workers=2"],
            "--direct_num_workers=2 needs --direct_running_mode=multi_pro",
        ),
        (["--runner"], "argument --runner: expected one argument"),
        (["--runner=Nope"], "Apache Beam rejects these options (Unexpected pipeline runner: Nope"),
        (["--runner=no.such.Runner"], "Apache Beam rejects these options (No module named 'no'"),
        (["--runner=DataflowRunner"], "Apache Beam rejects these options (Pipeline has validation"),
        (["--help"], "--help is not supported"),
    ],
)
def test_options_that_beam_rejects_are_errors(tiny_params, tiny_raw, tmp_path, options, message):
    error = error_of(on_beam(tiny_params.preprocess, *options), tiny_raw, tmp_path / "tfrecords")
    assert error.startswith(f"preprocess.beam_options: {message}")
    assert "\n" not in error


def test_a_runner_that_fails_is_an_error(tiny_params, tiny_raw, tmp_path):
    settings = on_beam(tiny_params.preprocess, "--runner=PortableRunner")
    error = error_of(settings, tiny_raw, tmp_path / "tfrecords")
    assert error.startswith("Apache Beam's PortableRunner failed (You must specify a --job_endpoi")


def test_preprocessing_in_one_process_does_not_import_beam(tiny_raw, tmp_path):
    code = (
        "import sys; from pathlib import Path; from petseg.config.params import load_params\n"
        "from petseg.preprocessing.preprocess import preprocess\n"
        "preprocess(load_params().preprocess, 0, Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert not [name for name in sys.modules if name.startswith('apache_beam')]\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tiny_raw), str(tmp_path / "tfrecords")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=True,
    )
