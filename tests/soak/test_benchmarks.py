"""The benchmarks' contenders: every part runs, and the peer is the published tutorial."""

import json
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import jaccard_score

from benchmarks.__main__ import main
from benchmarks.commands import run_command
from benchmarks.contenders import Measurement
from benchmarks.options import Options
from benchmarks.parts import evaluate, limits, overhead, predict, recipes, render, train_step
from benchmarks.parts import input as input_part
from benchmarks.results import to_markdown
from benchmarks.tutorial import (
    BATCH,
    compile_tutorial,
    make_evaluator,
    tutorial_batches,
)
from benchmarks.tutorial_network import build_tutorial_network
from benchmarks.workspace import (
    CLASSES,
    build_network,
    million_multiply_adds,
    prepare_data,
    synthetic_params,
)
from petseg.batches import example_batches, read_batches
from petseg.core.geometry import ImageSize
from support.environments import Environment
from support.project import ROOT


def test_the_peer_is_the_tutorial_network():
    network = build_tutorial_network(128, 3, None)
    assert network.count_params() == 6_504_227  # as in the tutorial's own summary
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == 4_660_323
    assert network.output_shape == (None, 128, 128, 3)


def test_the_other_peer_runs_without_tensorflow():
    code = "import sys, benchmarks.smp; sys.exit('tensorflow' in sys.modules)"
    run_command([sys.executable, "-c", code], ROOT)


def test_a_recipe_network_computes_in_its_precision():
    types = []
    for precision in ("float32", "mixed_bfloat16"):
        network = build_network(synthetic_params("fast", 100, 32, train__precision=precision))
        types.append(network.get_layer("projection_conv").compute_dtype)
    assert types == ["float32", "bfloat16"]


def test_our_network_has_fewer_multiply_adds_than_the_peer():
    size = ImageSize(128, 128)
    ours = million_multiply_adds(build_network(synthetic_params("fast", 100, 128)), size)
    peer = million_multiply_adds(build_tutorial_network(128, CLASSES, None), size)
    assert 2 < peer / ours < 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Parameters of a small synthetic data set, and the data."""
    params = synthetic_params("fast", 160, 32)
    keras.utils.set_random_seed(0)  # the tutorial sets no seed
    return params, prepare_data(params, tmp_path_factory.mktemp("bench"))


def test_the_tutorial_trains_on_all_images_except_those_of_validation(prepared):
    params, data = prepared
    batches = iter(tutorial_batches(data.raw, 32, params.preprocess.val_fraction, 0))
    num_examples = data.open_shards("train").num_examples
    seen = set()
    for _ in range(2 * num_examples // BATCH + 1):
        images, masks = next(batches)
        assert images.shape[1:] == (32, 32, 3)
        assert 0 <= images.numpy().min() < images.numpy().max() <= 1
        assert set(np.unique(masks)) <= {0, 1, 2}
        seen |= {key_of(np.round(image * 255)) for image in images}
    assert seen == image_keys(data, "train")
    assert not seen & image_keys(data, "val")


def key_of(image):
    """The same bytes for an image and its mirror image."""
    pixels = np.asarray(image, "f4")
    return min(pixels.tobytes(), pixels[:, ::-1].tobytes())


def image_keys(data, split):
    batches = read_batches(example_batches(data.open_shards(split), 16))
    return {key_of(image) for batch in batches for image in batch["image"].numpy()}


def test_the_tutorial_mirrors_image_and_mask_together(prepared):
    params, data = prepared
    truth = {}
    for batch in read_batches(example_batches(data.open_shards("train"), 16)):
        for image, mask in zip(batch["image"].numpy(), batch["mask"].numpy(), strict=True):
            truth[image.astype("f4").tobytes()] = mask
    images, masks = next(iter(tutorial_batches(data.raw, 32, params.preprocess.val_fraction, 0)))
    num_mirrored = 0
    for image, mask in zip(np.round(images * 255), masks.numpy()[..., 0], strict=True):
        if image.tobytes() not in truth:
            image, mask = image[:, ::-1], mask[:, ::-1]
            num_mirrored += 1
        np.testing.assert_array_equal(mask, truth[image.tobytes()])
    assert 0 < num_mirrored < len(masks)


def test_the_tutorial_is_evaluated_on_the_validation_split(prepared):
    _, data = prepared
    network = build_tutorial_network(32, CLASSES, None)
    mean_iou, accuracy = make_evaluator(network, data.open_shards("val"))()
    batches = list(read_batches(example_batches(data.open_shards("val"), 16)))
    predicted = np.concatenate(
        [np.argmax(network(batch["image"].numpy() / np.float32(255)), -1) for batch in batches]
    )
    truth = np.concatenate([batch["mask"].numpy() for batch in batches])
    assert accuracy == pytest.approx(np.mean(predicted == truth))
    expected = jaccard_score(truth.ravel(), predicted.ravel(), average="macro")
    assert mean_iou == pytest.approx(expected)


def test_the_tutorial_network_learns():
    network = compile_tutorial(build_tutorial_network(32, CLASSES, None))
    image = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    mask = (image[..., :1] > 0.5).astype(np.float32)
    losses = [float(network.train_on_batch(image, mask)[0]) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_part_is_printed_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__._RESULTS", tmp_path / "results")
    small = [
        "--num-images",
        "100",
        "--repetitions",
        "1",
        "--seconds",
        "0.1",
        "--size",
        "32",
        "--scratch",
    ]
    done = CliRunner().invoke(
        main, ["preprocess", "storage", *small, str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "## preprocess" in done.output
    (table,) = json.loads((tmp_path / "results" / "preprocess.json").read_text())["tables"]
    names = [row["name"] for row in table["rows"]]
    assert names == ["bare decoding and resizing", "preprocess stage"]
    assert all(row["values"][0] > 1 and row["unit"] == "images/s" for row in table["rows"])
    (table,) = json.loads((tmp_path / "results" / "storage.json").read_text())["tables"]
    assert len(table["rows"]) == 4
    assert all(row["values"][0] > 1 and row["details"]["shards"] == 8 for row in table["rows"])


@pytest.fixture
def small_options(tmp_path, monkeypatch):
    """The first contender of each kind is measured, in this process, with tiny networks."""

    def measure_here(contenders, unit, repetitions):
        measured, rows = set(), []
        for contender in contenders:
            figure, details = 1.0, {}
            if contender.prepare not in measured:
                measured.add(contender.prepare)
                prepared = contender.prepare(**contender.settings)
                figure, details = prepared.measure(), prepared.details
            rows.append(Measurement(contender.name, unit, [figure], 0.0, details))
        return rows

    def tiny_params(*arguments, **changes):
        tiny = {
            "model__alpha": 0.35,
            "model__decoder_filters": [8] * 3,
            "model__output_stride": 16,
        }
        return synthetic_params(*arguments, **{**changes, **tiny})

    keras.utils.set_random_seed(0)
    for part in (evaluate, limits, input_part, predict, recipes, render, train_step):
        monkeypatch.setattr(part, "take_turns", measure_here)
        if hasattr(part, "synthetic_params"):
            monkeypatch.setattr(part, "synthetic_params", tiny_params)
    monkeypatch.setattr(train_step.importlib.util, "find_spec", lambda name: None)
    return Options(tmp_path, 1, 0.01, (32,), 100, 1000, None, None)


@pytest.mark.parametrize(
    ("part", "num_rows", "num_targets"),
    [
        (limits, 2, 0),
        (input_part, 4, 0),
        (evaluate, 4, 2),
        (predict, 24, 5),
        (recipes, 8, 0),
        (render, 2, 0),
        (train_step, 12, 5),
    ],
)
def test_a_part_has_its_contenders_and_targets(small_options, part, num_rows, num_targets):
    results = part.run(small_options)
    rows = [row for table in results.tables for row in table.rows]
    assert len(rows) == num_rows
    assert all(row.values[0] > 0 for row in rows)
    assert len(results.targets) == num_targets
    assert f"## {results.part}" in to_markdown(results)


@pytest.mark.parametrize("stage", ["download", "train"])
def test_the_start_of_a_stage_is_a_program(stage):
    path = ROOT / "stages" / f"{stage}.py"
    code = f"{overhead.start_of(path)}\nimport sys; print('tensorflow' in sys.modules)"
    assert run_command([sys.executable, "-c", code], ROOT)[1].endswith("True\n")


def test_a_gpu_is_measured_through_jax_without_tensorflow(tmp_path):
    """A tiny version on the CPU, in an environment of its own."""
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = ("click", "h5py", "keras", "numpy", "pillow", "pydantic", "pyyaml", "ruamel-yaml")
    packages = [pin.split(" ")[0] for pin in pins if pin.split("==")[0] in needed]
    assert len(packages) == len(needed)
    environment = Environment(tmp_path / "jax", Path(sys.executable), "jax", *packages)
    output = environment.python(str(ROOT / "benchmarks" / "gpu_jax.py"), "--cpu")
    speeds = re.findall(
        r"^\| (\w+) \| 32 \| 2 \| \w+ \| ([\d,]+) \| ([\d,]+) \|", output, re.MULTILINE
    )
    assert [name for name, *_ in speeds] == ["fast", "tutorial"], output
    accuracies = re.findall(r"^\| fast \| (\w+) .*\| exact \|$", output, re.MULTILINE)
    assert accuracies == ["float32", "tf32", "bfloat16"], output
    assert "segmentation_models.pytorch is not installed." in output
