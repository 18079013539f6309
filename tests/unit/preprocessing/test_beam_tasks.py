"""The tasks that Apache Beam runs, called directly: the same shards and errors as from one process.

tests/soak/test_beam.py runs them on Beam.
"""

import errno
import shutil
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import pytest

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.beam.job import plan_job
from petseg.preprocessing.beam.tasks import (
    Failure,
    assign_to_shards,
    index_file,
    write_shard,
)
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.raw_records import read_record_at, read_records, record_checksum
from petseg.raw import read_unverified_dataset_info
from support.datasets import folder_params
from support.folders import draw_pairs, write_text
from support.shards import (
    BAD_EXAMPLES,
    DAMAGED_RAW,
    first_shard,
    prepare_in_three_files,
    with_bad_examples,
)
from support.tiles import tile_params


@pytest.fixture(scope="module")
def three_files(tiny_params, tmp_path_factory):
    return prepare_in_three_files(tiny_params.dataset, tmp_path_factory.mktemp("three") / "raw")


def run_tasks(settings, raw, out):
    """Index, assign and write everything; return the results by shard, or the failures by file."""
    out.mkdir()
    job = plan_job(settings, 0, raw, read_unverified_dataset_info(raw), out)
    job.work_dir.mkdir()
    indexed = {file: index_file(file, job) for file in reversed(range(len(job.files)))}
    failures = {file: result for file, result in indexed.items() if isinstance(result, Failure)}
    if failures:
        return failures
    counts = {
        file: {group: len(records) for group, records in groups.items()}
        for file, groups in indexed.items()
    }
    parts = defaultdict(list)
    for file, groups in indexed.items():
        for shard, records in assign_to_shards(file, groups, counts, job):
            parts[shard].append((file, records))
    results = {
        (group, shard): write_shard(group, shard, sorted(found, key=lambda part: part[0]), job)
        for (group, shard), found in reversed(parts.items())
    }
    shutil.rmtree(job.work_dir)
    return results


def first_failure(results):
    failures = [result for result in results.values() if isinstance(result, Failure)]
    return min(failures, key=lambda failure: (failure.file, failure.offset)).message


def error_of_one_process(settings, raw, folder):
    with pytest.raises(PetsegError) as caught:
        preprocess(settings, 0, raw, folder)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_fraction": 0.8, "shards": 3},
        {"shards": 20, "resize": "letterbox", "image_size": ImageSize(32, 64)},
    ],
    ids=["reduced training set", "padding, shards without examples"],
)
def test_the_tasks_write_the_same_bytes_as_one_process(tiny_params, three_files, tmp_path, changes):
    settings = tiny_params.preprocess.model_copy(update=changes)
    manifest = preprocess(settings, 0, three_files, tmp_path / "local")
    results = run_tasks(settings, three_files, tmp_path / "tasks")
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").glob("*.tfrecord")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "tasks").iterdir()} == local
    assert (b"" in local.values()) == (settings.shards == 20)
    for name, split in manifest.splits.items():
        shards = [results[name, k].shard for k in range(settings.shards)]
        stats = [results[name, k].stats for k in range(settings.shards)]
        total = sum(stats[1:], start=stats[0])
        assert total.manifest_entry(shards, manifest.class_names) == split
        padded = (
            {"changed", "padding", "original"} if settings.resize == "letterbox" else {"original"}
        )
        assert {name for name, count in asdict(total.fitting).items() if count} == padded


@pytest.mark.parametrize("val_list", ["", "v3_frame0\nv3_frame1\n"], ids=["drawn", "given"])
def test_groups_and_a_validation_split_give_the_same_bytes(
    default_params, tiny_params, tmp_path, val_list
):
    root = draw_pairs(tmp_path / "mine", [f"v{n // 2}_frame{n % 2}" for n in range(16)])
    if val_list:
        write_text(root / "val.txt", val_list)
    params = folder_params(default_params, root, **{"dataset.folder.group": "(.*)_frame"})
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    settings = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5, "shards": 2})
    preprocess(settings, 0, tmp_path / "raw", tmp_path / "local")
    run_tasks(settings, tmp_path / "raw", tmp_path / "tasks")
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").glob("*.tfrecord")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "tasks").iterdir()} == local


@pytest.mark.parametrize("shards", [3, 0], ids=["given", "auto"])
def test_tiles_have_the_same_bytes_as_in_one_process(tiny_params, three_files, tmp_path, shards):
    changes = {"train_fraction": 0.8, "shards": shards}
    settings = tile_params(tiny_params).model_copy(update=changes)
    manifest = preprocess(settings, 0, three_files, tmp_path / "local")
    results = run_tasks(settings, three_files, tmp_path / "tasks")
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").glob("*.tfrecord")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "tasks").iterdir()} == local
    for name, split in manifest.splits.items():
        found = [results[name, k] for k in range(len(split.shards))]
        total = sum((result.stats for result in found[1:]), start=found[0].stats)
        shards = [result.shard for result in found]
        assert total.manifest_entry(shards, manifest.class_names) == split


@pytest.mark.parametrize(
    ("kind", "train_fraction"), [*((kind, 1.0) for kind in BAD_EXAMPLES), ("no mask", 1e-9)]
)
def test_the_first_error_is_the_same_as_in_one_process(
    tiny_params, three_files, tmp_path, kind, train_fraction
):
    bad = {17: kind, 18: "unknown label", 30: "no mask"}
    raw = with_bad_examples(three_files, tmp_path / "raw", bad)
    settings = tiny_params.preprocess.model_copy(update={"train_fraction": train_fraction})
    results = run_tasks(settings, raw, tmp_path / "tasks")
    assert first_failure(results) == error_of_one_process(settings, raw, tmp_path / "local")


@pytest.mark.parametrize("case", [case for case in DAMAGED_RAW if "dataset.json" not in case][1:])
def test_a_damaged_data_set_gives_the_same_error_as_in_one_process(
    tiny_params, tiny_raw, tmp_path, case
):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    DAMAGED_RAW[case](raw)
    settings = tiny_params.preprocess
    try:
        message = first_failure(run_tasks(settings, raw, tmp_path / "tasks"))
    except PetsegError as error:  # the description is damaged, so there is no plan
        message = str(error)
    assert message == error_of_one_process(settings, raw, tmp_path / "local")


def test_a_record_that_changes_after_it_was_verified_is_an_error(tiny_raw, tmp_path):
    path = Path(shutil.copy(first_shard(tiny_raw), tmp_path))
    offset, record = list(read_records(path))[3]
    checksum = record_checksum(record)
    with path.open("rb") as file:
        assert read_record_at(file, offset, checksum) == record
        for wrong in (
            (offset, checksum ^ 1),
            (path.stat().st_size, checksum),
            (offset + 1, checksum),  # where the length is impossible
        ):
            with pytest.raises(PetsegError, match=r"\(a record of .* changed after it was verif"):
                read_record_at(file, *wrong)


def test_a_full_disk_is_a_failure(tiny_params, tiny_raw, tmp_path, monkeypatch):
    def fail(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("petseg.preprocessing.beam.tasks.sha256_of", fail)
    message = first_failure(run_tasks(tiny_params.preprocess, tiny_raw, tmp_path / "tasks"))
    assert message.startswith("The disk is full")


def test_a_bug_is_not_reported_as_an_error_in_the_data(
    tiny_params, tiny_raw, tmp_path, monkeypatch
):
    monkeypatch.setattr("petseg.preprocessing.beam.read_examples.check_mask", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_tasks(tiny_params.preprocess, tiny_raw, tmp_path / "tasks")
