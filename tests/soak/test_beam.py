"""Preprocessing on Apache Beam: the same bytes and sentences as without."""

import errno
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

import petseg.preprocessing.preprocess as module
from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.beam.raw_records import checksum, read_all, read_at
from petseg.preprocessing.preprocess import preprocess
from support.project import ROOT, with_values
from support.shards import DAMAGED_RAW, MISTAKES, first_shard, with_mistakes

PROCESSES = [
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
]


@pytest.fixture(scope="module")
def several_files(tiny_params, tmp_path_factory):
    """The tiny data set in three files per split."""
    raw = tmp_path_factory.mktemp("several") / "raw"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            tfds.download,
            "DownloadConfig",
            functools.partial(tfds.download.DownloadConfig, num_shards=3),
        )
        prepare_dataset(tiny_params.dataset, raw, raw.parent)
    assert len(list(raw.rglob("*-train.tfrecord-*"))) == 3
    return raw


def on_beam(settings, *options, **changes):
    return settings.model_copy(update={"runner": "beam", "beam_options": options, **changes})


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sentence(settings, raw, out):
    with pytest.raises(PetsegError) as caught:
        preprocess(settings, 0, raw, out)
    assert not out.exists()
    assert not list(out.parent.glob(".*.partial"))
    return str(caught.value)


@pytest.mark.parametrize("options", [[], PROCESSES], ids=["one process", "two processes"])
def test_beam_writes_the_bytes_of_one_process(tiny_params, several_files, tmp_path, options):
    settings = tiny_params.preprocess.model_copy(update={"train_fraction": 0.8, "shards": 3})
    preprocess(settings, 0, several_files, tmp_path / "local")
    preprocess(on_beam(settings, *options), 0, several_files, tmp_path / "beam")
    assert files_in(tmp_path / "beam") == files_in(tmp_path / "local")
    assert len(files_in(tmp_path / "beam")) == 10


def test_beam_writes_shards_without_an_example_too(tiny_params, tiny_raw, tmp_path):
    settings = tiny_params.preprocess.model_copy(update={"shards": 20})
    preprocess(settings, 0, tiny_raw, tmp_path / "local")
    preprocess(
        on_beam(settings, "--direct_num_workers=2", "--direct_running_mode=multi_threading"),
        0,
        tiny_raw,
        tmp_path / "beam",
    )
    assert files_in(tmp_path / "beam") == files_in(tmp_path / "local")
    assert b"" in files_in(tmp_path / "beam").values()


@pytest.mark.parametrize("first", MISTAKES)
@pytest.mark.parametrize("train_fraction", [1.0, 1e-9], ids=["used", "unused"])
def test_the_first_mistake_is_told_as_in_one_process(
    tiny_params, several_files, tmp_path, first, train_fraction
):
    raw = with_mistakes(
        several_files, tmp_path / "raw", {17: first, 18: "unknown label", 30: "no mask"}
    )
    settings = tiny_params.preprocess.model_copy(update={"train_fraction": train_fraction})
    told = sentence(settings, raw, tmp_path / "tfrecords")
    assert told.startswith("The picture" if first.startswith("no") else "The mask of")
    assert sentence(on_beam(settings), raw, tmp_path / "tfrecords") == told


def test_a_mistake_is_told_by_worker_processes_too(tiny_params, several_files, tmp_path):
    raw = with_mistakes(several_files, tmp_path / "raw", {5: "unknown label", 29: "no mask"})
    told = sentence(tiny_params.preprocess, raw, tmp_path / "tfrecords")
    assert (
        sentence(on_beam(tiny_params.preprocess, *PROCESSES), raw, tmp_path / "tfrecords") == told
    )


@pytest.mark.parametrize(
    "case", [case for case in DAMAGED_RAW if case != "dataset.json that is no file"]
)
def test_a_damaged_data_set_is_told_as_in_one_process(tiny_params, tiny_raw, tmp_path, case):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    DAMAGED_RAW[case](raw)
    told = sentence(tiny_params.preprocess, raw, tmp_path / "tfrecords")
    assert sentence(on_beam(tiny_params.preprocess), raw, tmp_path / "tfrecords") == told


@pytest.mark.parametrize("change", [{"val_fraction": 1e-9}, {"train_fraction": 1e-9}])
def test_an_empty_split_is_told_as_in_one_process(tiny_params, tiny_raw, tmp_path, change):
    settings = tiny_params.preprocess.model_copy(update=change)
    told = sentence(settings, tiny_raw, tmp_path / "tfrecords")
    assert "split is empty" in told
    assert sentence(on_beam(settings), tiny_raw, tmp_path / "tfrecords") == told


def test_a_record_that_changes_after_it_was_checked_is_told(tiny_raw, tmp_path):
    path = Path(shutil.copy(first_shard(tiny_raw), tmp_path))
    position, record = list(read_all(path))[3]
    with path.open("rb") as file:
        assert read_at(file, position, checksum(record)) == record
        with pytest.raises(
            PetsegError, match=r"data/raw can't be read to the end \(a record of .* has changed"
        ):
            read_at(file, position, checksum(record) ^ 1)
        with pytest.raises(PetsegError, match="has changed since it was checked"):
            read_at(file, path.stat().st_size, checksum(record))
        with pytest.raises(PetsegError, match="has changed since it was checked"):
            read_at(file, position + 1, checksum(record))  # of an impossible length


def test_a_full_disk_is_told_by_a_worker(tiny_params, tiny_raw, tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("petseg.preprocessing.beam.tasks.sha256_of", full)
    told = sentence(on_beam(tiny_params.preprocess), tiny_raw, tmp_path / "tfrecords")
    assert told == "The disk is full; free some space, then run dvc repro again."


def test_a_bug_stays_a_bug(tiny_params, tiny_raw, tmp_path, monkeypatch):
    monkeypatch.setattr("petseg.preprocessing.transform.check", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        preprocess(on_beam(tiny_params.preprocess), 0, tiny_raw, tmp_path / "tfrecords")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--nosuch=3", "--other"], "--nosuch, --other is no option of Apache Beam"),
        (["--direct_num_workers=x"], "argument --direct_num_workers: invalid int value: 'x'"),
        (["--direct_running_mode=fast"], "argument --direct_running_mode: invalid choice: 'fast'"),
        (["--direct_num_workers=2"], "several direct workers need --direct_running_mode=multi_processing"),
        (["--runner"], "argument --runner: expected one argument"),
        (["--runner=Nope"], "Apache Beam can't take these (Unexpected pipeline runner: Nope"),
        (["--runner=no.such.Runner"], "Apache Beam can't take these (No module named 'no'"),
        (["--runner=DataflowRunner"], "Apache Beam can't take these (Pipeline has validations errors: Missing"),
        (["--help"], "--help is for Beam's own programs"),
    ],
)  # fmt: skip
def test_options_that_beam_cannot_take_are_told(tiny_params, tiny_raw, tmp_path, options, told):
    said = sentence(on_beam(tiny_params.preprocess, *options), tiny_raw, tmp_path / "tfrecords")
    assert said.startswith(f"preprocess.beam_options: {told}")
    assert said.count("\n") == 0


def test_a_runner_that_fails_is_told(tiny_params, tiny_raw, tmp_path):
    said = sentence(
        on_beam(tiny_params.preprocess, "--runner=PortableRunner"), tiny_raw, tmp_path / "tfrecords"
    )
    assert said.startswith("Apache Beam's PortableRunner failed (You must specify a --job_endpoint")


def test_beam_that_is_not_installed_is_told(tiny_params, tiny_raw, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert sentence(on_beam(tiny_params.preprocess), tiny_raw, tmp_path / "tfrecords") == (
        "preprocess.runner is beam, but Apache Beam is not installed; "
        "run pip install -e '.[beam]', or set preprocess.runner to local."
    )


def test_one_process_imports_no_beam(tiny_raw, tmp_path):
    code = (
        "import sys; from pathlib import Path; from petseg.config.params import load_params\n"
        "from petseg.preprocessing.preprocess import preprocess\n"
        "preprocess(load_params().preprocess, 0, Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print([m for m in sys.modules if m.startswith(('apache_beam', 'petseg.preprocessing.beam.pipeline'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_raw), str(tmp_path / "tfrecords")],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_options_of_beam_without_beam_are_refused(default_params):
    options = ["--direct_num_workers=2"]
    with pytest.raises(
        PetsegError,
        match=r"preprocess\.beam_options is \[.*\], but must be \[\] when preprocess\.runner is local",
    ):
        parse_params(with_values(default_params, {"preprocess.beam_options": options}))
    values = {"preprocess.beam_options": options, "preprocess.runner": "beam"}
    assert parse_params(with_values(default_params, values)).preprocess.beam_options == tuple(
        options
    )
    for wrong in (["direct"], ["-x"], ["--"], [1], "--runner=DirectRunner"):
        with pytest.raises(PetsegError, match="but must be a list of Apache Beam's options"):
            parse_params(with_values(default_params, {**values, "preprocess.beam_options": wrong}))
