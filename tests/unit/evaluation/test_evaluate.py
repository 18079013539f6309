"""The stage's outputs and parameters."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError
from petseg.evaluation.evaluate import evaluate, score_split
from petseg.model.saved import load_model
from petseg.prediction.tta import NO_TTA
from petseg.rendering.render import render
from petseg.shards.manifest import read_manifest
from support.models import evaluate_tiny_model


def test_tables_have_a_row_per_image_and_per_group(tiny_run):
    per_image, per_category = pd.read_csv(tiny_run.per_image), pd.read_csv(tiny_run.per_category)
    assert len(per_image) == 8
    assert per_image["mean_iou"].is_monotonic_increasing
    assert list(per_image)[:3] == ["file_name", "category", "supercategory"]
    assert list(per_category)[:3] == ["supercategory", "category", "images"]
    assert per_category["images"].sum() == 8
    assert pd.read_csv(tiny_run.per_supercategory)["images"].sum() == 8
    assert pd.read_csv(tiny_run.confusion)["pixels"].sum() == 8 * 32 * 32


def test_metrics_of_both_splits_agree_with_the_table_of_scores(tiny_run):
    val = json.loads(tiny_run.val_metrics.read_text())
    test = json.loads(tiny_run.test_metrics.read_text())
    assert list(val) == ["val"]
    assert list(val["val"]) == list(test)
    assert val["val"] != test
    scores = pd.read_csv(tiny_run.scores).set_index(["split", "metric"])
    for split, metrics in (("val", val["val"]), ("test", test)):
        value, lower, upper = scores.loc[(split, "mean_iou")]
        assert value == metrics["mean_iou"]
        assert {"lower": lower, "upper": upper} == metrics["mean_iou_ci95"]
        assert lower < value < upper
        for name, iou in metrics["iou"].items():
            assert scores.loc[(split, f"iou.{name}"), "value"] == iou
            assert {f"dice.{name}", f"boundary_iou.{name}"} < set(scores.loc[split].index)


@pytest.mark.parametrize(
    ("change", "side"),
    [
        ({"resolution": "original"}, 48),
        ({"resolution": 40}, 40),
        ({"tta": {"flip": True, "scales": (1.0,)}}, 32),
        ({"tta": {"flip": False, "scales": (1.0, 2.0)}}, 32),
    ],
    ids=["original resolution", "40 px", "flip", "scales"],
)
def test_evaluation_follows_its_parameters(tiny_run, tiny_params, tmp_path, change, side):
    params = type(tiny_params.evaluate).model_validate(tiny_params.evaluate.model_dump() | change)
    paths = PipelinePaths.under(tmp_path)
    evaluate(params, replace(paths, shards=tiny_run.shards, model=tiny_run.model))
    before, after = pd.read_csv(tiny_run.confusion), pd.read_csv(paths.confusion)
    assert list(before["pixels"]) != list(after["pixels"])
    assert after["pixels"].sum() == 8 * side**2


@pytest.mark.parametrize(("resolution", "named"), [("model", False), ("original", True)])
def test_out_of_memory_names_the_resolution_that_needs_it(
    tiny_run, tiny_params, monkeypatch, resolution, named
):
    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("petseg.evaluation.evaluate.predict_split", fail)
    params = tiny_params.evaluate.model_copy(update={"resolution": resolution})
    with pytest.raises(
        PetsegError, match=r"Out of memory .*; lower evaluate\.batch_size"
    ) as caught:
        evaluate(params, tiny_run)
    assert ("evaluate.resolution" in str(caught.value)) == named


def test_enlarged_masks_are_counted(tiny_run, tiny_params, capsys):
    params = tiny_params.evaluate.model_copy(update={"resolution": 56})
    saved, manifest = load_model(tiny_run.model), read_manifest(tiny_run.shards)
    score_split(params, saved, tiny_run.shards, manifest, "test")
    said = "8 of 8 images (test) are smaller than 56 px; their masks are enlarged."
    assert said in capsys.readouterr().out


def test_scores_and_drawings_of_tiles_are_of_whole_images(
    tiny_params, tiled_shards, small_encoder, tmp_path
):
    """Each image has 48 x 48 pixels in four tiles of 32 x 32."""
    paths = evaluate_tiny_model(tiny_params, tiled_shards, tmp_path)
    per_image, confusion = pd.read_csv(paths.per_image), pd.read_csv(paths.confusion)
    assert len(per_image) == per_image["file_name"].nunique() == 8
    assert confusion["pixels"].sum() == 8 * 48**2
    render(tiny_params.render, NO_TTA, paths)
    assert len(list(paths.masks.glob("*.png"))) == tiny_params.render.examples
