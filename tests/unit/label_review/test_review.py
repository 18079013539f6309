"""`petseg review`: the table, the page, and the folds."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner

from petseg.batches import example_batches
from petseg.cli import main
from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError
from petseg.core.locks import exclusive_lock
from petseg.label_review import folds, review
from petseg.label_review.folds import fold_of
from petseg.label_review.review import PAGE, TABLE, review_labels
from petseg.model.saved import load_model, save_model
from petseg.shards.manifest import open_shards, read_manifest
from support.robustness import matches
from support.tiles import TILES, tile_params
from support.training import change_params

SECTION = "The command line"
CASES = {
    "review: a table of the user's own in the way": "out/label_review.csv was not written by petseg, or was edited since; use another --out, or move the file.",
    "review: a page of the user's own in the way": "out/label_review.html was not written by petseg, or was edited since; use another --out, or move the file.",
    "review: a table of --folds in the way of one without": "out/label_review.csv was scored with --folds, which finds more; use another --out, or move the file.",
    "review: two at the same time": "Another process is reviewing the labels in this folder; wait until it has finished, or stop it.",
    "review: more folds than images": "Fold … of 20 has 0 of the images; use fewer --folds.",
    "review: folds of shards of other parameters": "data/tfrecords was made with other parameters than those of params.yaml; run dvc repro preprocess, or restore params.yaml.",
    "review: folds on several machines": "petseg review trains on one machine; unset TF_CONFIG.",
}  # fmt: skip


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def names_of(shards_dir, split, field="file_name"):
    shards = open_shards(shards_dir, read_manifest(shards_dir), split)
    return [x for batch in example_batches(shards, 8) for x in batch[field].numpy().tolist()]


@pytest.mark.parametrize("same_val", [True, False])
def test_the_trained_model_judges_all_training_and_validation_masks(
    tiny_params, tiny_run, in_folder, monkeypatch, same_val
):
    saved = load_model(tiny_run.model)
    checksum = read_manifest(tiny_run.shards).checksum("val") if same_val else "0" * 64
    origin = saved.origin.model_copy(update={"val_sha256": checksum})
    monkeypatch.setattr(review, "load_model", lambda folder: replace(saved, origin=origin))
    table = review_labels(tiny_params, tiny_run, in_folder / "out", num_folds=0, num_images=3)
    for split in ("train", "val"):
        rows = table[table["split"] == split]
        assert set(rows["file_name"]) == {x.decode() for x in names_of(tiny_run.shards, split)}
        on_val = "" if same_val else " (may be trained on it)"
        note = " (trained on it)" if split == "train" else on_val
        assert set(rows["scored_by"]) == {f"{tiny_run.model}{note}"}
    assert table["score"].is_monotonic_decreasing
    written = pd.read_csv(in_folder / "out" / TABLE, keep_default_na=False)
    pd.testing.assert_frame_equal(written, table)
    page = (in_folder / "out" / PAGE).read_text()
    for rank, name in enumerate(table["file_name"][:3], 1):
        assert page.count(f">{rank}. {name} (") == 1
    assert page.count("<figure>") == 3
    assert "which has learned from the training masks" in page
    table["looked at"] = [""] * (len(table) - 1) + ["007, fine"]
    table.to_csv(in_folder / "out" / TABLE, index=False)
    again = review_labels(tiny_params, tiny_run, in_folder / "out", num_folds=0, num_images=1)
    pd.testing.assert_frame_equal(again, table)  # a column that the user has added stays


@pytest.fixture
def fake_training(tiny_run, monkeypatch):
    """Training a fold copies the tiny model; returns the images of each fold's splits."""
    seen = []

    def train(params, paths):
        splits = {split: names_of(paths.shards, split) for split in ("train", "val")}
        for split, names in splits.items():
            assert names_of(paths.shards, split, "index") == list(range(len(names)))
        seen.append(splits)
        shutil.copytree(tiny_run.model, paths.model, dirs_exist_ok=True)
        checkpoints = paths.shards.parents[3] / f"checkpoints{len(seen)}"
        checkpoints.mkdir()
        return checkpoints

    monkeypatch.setattr(folds, "train", train)
    return seen


def test_every_mask_is_judged_by_a_model_that_has_not_seen_it(
    tiny_params, tiny_run, in_folder, fake_training, monkeypatch
):
    threads = []  # TensorFlow takes their number only before it reads the first shard
    monkeypatch.setattr(
        review, "set_intra_op_threads", lambda n: threads.append((n, *fake_training))
    )
    table = review_labels(tiny_params, tiny_run, in_folder / "out", num_folds=3, num_images=2)
    assert threads == [(tiny_params.train.intra_op_threads,)]
    everything = {
        name: split for split in ("train", "val") for name in names_of(tiny_run.shards, split)
    }
    for number, fold in enumerate(fake_training, 1):
        assert set(fold["train"]) | set(fold["val"]) == set(everything)
        assert not set(fold["train"]) & set(fold["val"])
        judged = table[table["scored_by"] == f"fold {number} of 3"]
        assert {name.encode() for name in judged["file_name"]} == set(fold["val"])
    splits = {name.decode(): split for name, split in everything.items()}
    assert dict(zip(table["file_name"], table["split"], strict=True)) == splits
    assert "Scored out of fold" in (in_folder / "out" / PAGE).read_text()
    assert not list(in_folder.glob("checkpoints*"))
    assert not (in_folder / ".cache" / "review").exists()
    written = (in_folder / "out" / TABLE).read_bytes()
    assert_error(
        "a table of --folds in the way of one without",
        lambda: review_labels(tiny_params, tiny_run, in_folder / "out", 0, 2),
        in_folder,
    )
    assert (in_folder / "out" / TABLE).read_bytes() == written


def test_one_review_runs_at_a_time_and_only_folds_delete_what_folds_left(
    tiny_params, tiny_run, in_folder
):
    def run():
        review_labels(tiny_params, tiny_run, in_folder / "out", 0, 1)

    unfinished = in_folder / ".cache" / "review" / "shard"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()
    with exclusive_lock(review._REVIEW_LOCK, "reviewing"):
        assert_error("two at the same time", run, in_folder)
    run()
    assert unfinished.exists()


def test_a_model_that_may_have_seen_the_masks_is_named(in_folder):
    (in_folder / "earlier").mkdir()
    (in_folder / "earlier" / "model.json").touch()
    for weights in ("pets", "earlier"):
        note = review._note_on_earlier_model(weights)
        assert note.startswith(f"Each training starts from {weights}. ")
    for weights in ("none", "imagenet", "weights.h5"):
        assert review._note_on_earlier_model(weights) is None


@pytest.mark.parametrize("num_folds", [0, 2])
def test_tiles_are_judged_one_by_one(
    tiny_params, tiny_model, tiled_shards, in_folder, monkeypatch, num_folds
):
    paths = PipelinePaths.under(in_folder)
    paths.shards.parent.mkdir(parents=True)
    paths.shards.symlink_to(tiled_shards)
    save_model(replace(load_model(tiny_model), tiles=TILES), paths.model)

    def train(params, of_fold):
        assert set(names_of(of_fold.shards, "val")).isdisjoint(names_of(of_fold.shards, "train"))
        shutil.copytree(paths.model, of_fold.model, dirs_exist_ok=True)
        return of_fold.model

    monkeypatch.setattr(folds, "train", train)
    params = tiny_params.model_copy(update={"preprocess": tile_params(tiny_params)})
    table = review_labels(params, paths, in_folder / "out", num_folds, num_images=2)
    names = {name.decode() for split in ("train", "val") for name in names_of(tiled_shards, split)}
    corners = [(left, top) for left in (0, 16) for top in (0, 16)]
    expected = {f"{name} ({left}, {top})" for name in names for left, top in corners}
    assert set(table["file_name"]) == expected
    assert len(table) == len(expected)


def test_images_of_one_group_share_a_fold():
    names = [f"film{film}_frame{frame}.png" for film in range(30) for frame in range(4)]
    drawn = {name: fold_of(name, "", "(.*)_frame", 0, 4) for name in names}
    assert all(len({drawn[name] for name in names[i : i + 4]}) == 1 for i in range(0, 120, 4))
    assert set(drawn.values()) == {0, 1, 2, 3}


def assert_error(case, function, folder):
    with pytest.raises(PetsegError) as caught:
        function()
    assert matches(CASES[f"review: {case}"], str(caught.value), folder), str(caught.value)


def test_files_of_the_user_are_kept(tiny_params, tiny_run, in_folder):
    for name, case in ((TABLE, "a table"), (PAGE, "a page")):
        file = in_folder / "out" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
        assert_error(
            f"{case} of the user's own in the way",
            lambda: review_labels(tiny_params, tiny_run, in_folder / "out", 0, 1),
            in_folder,
        )
        file.unlink()


def test_errors_of_folds(tiny_params, tiny_run, in_folder, fake_training, monkeypatch):
    def run():
        review_labels(tiny_params, tiny_run, in_folder / "out", 20, 1)

    with monkeypatch.context() as patch:
        patch.setattr(folds, "train", lambda *_: pytest.fail("It must be said before training."))
        assert_error("more folds than images", run, in_folder)
    params = tiny_params
    wrong = "folds of shards of other parameters"
    tiny_params = change_params(params, preprocess__image_size=64)
    assert_error(wrong, run, in_folder)
    tiny_params = params
    locked = params.model_dump(include={"dataset", "preprocess", "seed"}, mode="json")
    for seed, case in ((params.seed, "more folds than images"), (params.seed + 1, wrong)):
        lock = {"stages": {"preprocess": {"params": {"params.yaml": {**locked, "seed": seed}}}}}
        (in_folder / "dvc.lock").write_text(json.dumps(lock))
        assert_error(case, run, in_folder)
    (in_folder / "dvc.lock").unlink()
    cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", cluster)
    assert_error("folds on several machines", run, in_folder)


def test_a_fold_is_trained_as_the_train_stage_would(tiny_params, tiny_run, in_folder):
    params = change_params(tiny_params, train__epochs=1, model__decoder_filters=[8, 8])
    (fold, _) = folds.train_folds(params, tiny_run.shards, 2, in_folder / "fold", lambda _: None)
    assert fold.model.origin.train_images + fold.shards.num_examples == 40


def test_the_command_prints_the_first_rows_and_the_page(monkeypatch, in_folder, default_params):
    table = pd.DataFrame([("a.png", "train", 0.5, "looks mirrored", "x")] * 12)
    monkeypatch.setattr("petseg.config.params.load_params", lambda: None)
    monkeypatch.setattr(review, "review_labels", lambda *_: table)
    done = CliRunner().invoke(main, ["review", "--out", "out"])
    assert done.output.count("looks mirrored") == 10
    assert done.output.endswith("Reviewed 12 masks. See out/label_review.html.\n")
    done = CliRunner().invoke(main, ["review", "--folds", "1"])
    assert done.exit_code == 2
