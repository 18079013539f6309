import io
import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from petseg.batches import example_batches
from petseg.config.params import TtaParams
from petseg.evaluation.evaluate import evaluate
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.overlays import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    WRONG_CLASS,
    overlay_errors,
    overlay_mask,
)
from petseg.prediction.predict import predict_split
from petseg.prediction.tta import NO_TTA, predict_probabilities
from petseg.rendering.charts import draw_confusion, draw_curves
from petseg.rendering.image_grid import GridRow, draw_image_grid
from petseg.rendering.render import render, sample_by_hash
from petseg.shards.manifest import open_shards, read_manifest

PICTURE = np.full((2, 3, 3), 100, np.uint8)


def test_a_mask_is_laid_on_the_picture_and_leaves_the_background():
    mask = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)
    shown = overlay_mask(
        PICTURE, mask, [(200, 0, 0), (0, 0, 0), (0, 0, 200)], background=1, opacity=0.5
    )
    assert shown[0, 0].tolist() == [150, 50, 50]
    assert shown[0, 2].tolist() == [50, 50, 150]
    assert shown[0, 1].tolist() == shown[1, 0].tolist() == [100, 100, 100]  # background, ignored


def test_errors_are_colored_by_kind_and_right_pixels_are_grey():
    truth = np.array([[0, 1, 0], [255, 1, 2]], np.uint8)
    predicted = np.array([[1, 0, 2], [0, 1, 2]], np.uint8)
    shown = overlay_errors(PICTURE, truth, predicted, background=1).astype(int)
    for at, color in (((0, 0), FALSE_NEGATIVE), ((0, 1), FALSE_POSITIVE), ((0, 2), WRONG_CLASS)):
        assert np.abs(shown[at] - color).max() < 20
    for at in ((1, 0), (1, 1), (1, 2)):
        assert len(set(shown[at].tolist())) == 1


def test_a_sheet_has_room_for_all_its_panels():
    rows = [GridRow([np.zeros((40, 40, 3), np.uint8)] * 2, f"row {i}") for i in range(3)]
    sheet = draw_image_grid(["a", "b"], rows, {"pet": (1, 2, 3)})
    assert sheet.width > 2 * 240
    assert sheet.height > 3 * 240


def test_charts_are_the_same_each_time():
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [1.0, 0.5],
            "val_loss": [1.1, 0.7],
            "mean_iou": [0.3, 0.5],
            "val_mean_iou": [0.2, 0.4],
        }
    )
    confusion = pd.DataFrame(
        {
            "truth": ["b", "b", "a", "a"],
            "prediction": ["b", "a", "b", "a"],
            "share": [0.9, 0.1, 0.2, 0.8],
        }
    )
    for draw, table in ((draw_curves, history), (draw_confusion, confusion)):
        png = draw(table)
        assert draw(table) == png
        with Image.open(io.BytesIO(png)) as picture:
            assert min(picture.size) > 300


def test_the_choice_of_pictures_depends_on_their_names_alone():
    names = [f"pet_{i}" for i in range(50)]
    assert sample_by_hash(names, 5) == sample_by_hash(names[::-1], 5)
    assert set(sample_by_hash(names, 5)) <= set(sample_by_hash(names, 6))


@pytest.fixture(scope="module")
def evaluated(tiny_params, tiny_shards, tmp_path_factory):
    """A folder with the outs of evaluate for an untrained model."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("evaluated")
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    manifest = read_manifest(tiny_shards)
    save_model(
        SavedModel(build_unet(architecture), architecture, manifest.classes, 32), folder / "model"
    )
    evaluate(tiny_params.evaluate, tiny_shards, folder / "model", evaluate_outs(folder))
    (folder / "history.csv").write_text(
        "epoch,loss,val_loss,mean_iou,val_mean_iou\n1,1.0,1.1,0.2,0.3\n"
    )
    return folder


def test_evaluation_writes_a_row_per_picture_and_per_breed(evaluated):
    images, breeds = pd.read_csv(evaluated / "images.csv"), pd.read_csv(evaluated / "breeds.csv")
    assert len(images) == 8
    assert images["mean_iou"].is_monotonic_increasing
    assert breeds["pictures"].sum() == 8
    assert pd.read_csv(evaluated / "species.csv")["pictures"].sum() == 8
    assert pd.read_csv(evaluated / "confusion.csv")["pixels"].sum() == 8 * 32 * 32


def test_evaluation_writes_the_metrics_of_both_parts_and_what_is_noise(evaluated):
    val, test = (json.loads((evaluated / f"{name}.json").read_text()) for name in ("val", "test"))
    assert list(val) == ["val"]  # so that DVC, which shows no file names, tells one from the other
    assert list(val["val"]) == list(test)
    assert val["val"] != test
    scores = pd.read_csv(evaluated / "scores.csv").set_index(["split", "metric"])
    for split, metrics in (("val", val["val"]), ("test", test)):
        value, low, high = scores.loc[split, "mean_iou"]
        assert value == metrics["mean_iou"]
        assert {"low": low, "high": high} == metrics["mean_iou_ci95"]
        assert low < value < high
        for name, one in metrics["iou"].items():
            assert scores.loc[split, f"iou.{name}"]["value"] == one
            assert {f"dice.{name}", f"boundary_iou.{name}"} < set(scores.loc[split].index)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolution", "original"),
        ("tta", TtaParams(flip=True, scales=(1.0,))),
        ("tta", TtaParams(flip=False, scales=(1.0, 2.0))),
    ],
)
def test_evaluation_follows_its_parameters(
    evaluated, tiny_params, tiny_shards, tmp_path, name, value
):
    params = tiny_params.evaluate.model_copy(update={name: value})
    evaluate(params, tiny_shards, evaluated / "model", evaluate_outs(tmp_path))
    before, after = (pd.read_csv(folder / "confusion.csv") for folder in (evaluated, tmp_path))
    assert list(before["pixels"]) != list(after["pixels"])
    assert after["pixels"].sum() == 8 * (48 if name == "resolution" else 32) ** 2


def test_at_the_photo_s_own_size_its_own_mask_counts(evaluated, tiny_shards):
    """Done again by hand for one picture: probabilities enlarged, compared with the mask that preprocess kept."""
    saved, manifest = load_model(evaluated / "model"), read_manifest(tiny_shards)
    one = next(predict_split(saved, tiny_shards, manifest, "test", 3, original=True))
    fields = next(iter(example_batches(open_shards(tiny_shards, manifest, "test"), 1)))
    mask = (
        np.asarray(Image.open(io.BytesIO(fields["original_mask"][0].numpy()))) - 1
    )  # trimaps begin with 1
    assert np.array_equal(one.mask, mask)
    probabilities = keras.ops.softmax(
        saved.network(one.image[None].astype(np.float32), training=False)
    )
    enlarged = keras.ops.image.resize(probabilities, (48, 48), interpolation="bilinear")
    predicted = np.argmax(enlarged[0], -1)
    assert np.array_equal(one.predicted, predicted)
    assert one.confusion[0, 1] == np.sum((mask == 0) & (predicted == 1))


@pytest.mark.parametrize("batch_size", [2, 32])
def test_some_pictures_of_a_split_are_predicted_as_among_all(evaluated, tiny_shards, batch_size):
    """Of most batches of two pictures none is wanted."""
    saved, manifest = load_model(evaluated / "model"), read_manifest(tiny_shards)
    every = list(predict_split(saved, tiny_shards, manifest, "test", 32))
    wanted = [every[5], every[6]]
    names = {picture.file_name for picture in wanted}
    some = list(predict_split(saved, tiny_shards, manifest, "test", batch_size, only=names))
    assert [picture.file_name for picture in some] == [picture.file_name for picture in wanted]
    assert all(
        np.mean(a.predicted == b.predicted) > 0.99 for a, b in zip(some, wanted, strict=True)
    )


def test_flipping_a_picture_flips_its_averaged_prediction(evaluated, tiny_shards):
    saved, manifest = load_model(evaluated / "model"), read_manifest(tiny_shards)
    image = (
        next(predict_split(saved, tiny_shards, manifest, "test", 1)).image[None].astype(np.float32)
    )
    tta = TtaParams(flip=True, scales=(1.0,))
    scores, mirrored = (
        predict_probabilities(saved.network, x, tta).numpy() for x in (image, image[:, :, ::-1])
    )
    assert np.array_equal(scores, mirrored[:, :, ::-1])
    plain = predict_probabilities(saved.network, image).numpy()
    assert not np.allclose(scores, plain, atol=1e-4)
    assert scores.sum(-1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("scale", "side"), [(0.75, 96), (0.8, 96), (1.25, 160), (0.25, 32), (1.01, 128)]
)
def test_a_scale_is_the_mean_with_the_picture_at_that_size(scale, side):
    """Rounded to sides that the network takes, and brought back to the picture's own."""
    network = build_unet(Architecture("mobilenet_v2", 0.35, (8, 8), 3))
    kernel, _ = network.get_layer("head").weights
    kernel.assign(kernel * 1e6)  # untrained, it says almost the same everywhere
    image = np.random.default_rng(7).uniform(0, 255, (2, 128, 128, 3)).astype(np.float32)
    scaled = tf.image.resize(image, (side, side), antialias=True)
    scores = tf.image.resize(
        tf.nn.softmax(network(scaled, training=False)), (128, 128), antialias=True
    )
    plain = tf.nn.softmax(network(image, training=False))
    found = predict_probabilities(
        network, tf.constant(image), TtaParams(flip=False, scales=(1.0, scale))
    )
    np.testing.assert_allclose(found, (plain + scores) / 2, atol=0.01)
    assert side == 128 or np.abs(found - plain).max() > 0.05


def test_rendering_writes_every_promised_picture(evaluated, tiny_params, tiny_shards, tmp_path):
    inputs = RenderInputs(
        tiny_shards,
        evaluated / "model",
        evaluated / "images.csv",
        evaluated / "history.csv",
        evaluated / "confusion.csv",
    )
    render(tiny_params.render, NO_TTA, inputs, tmp_path)
    for name in ("examples", "best", "worst", "curves", "confusion"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            picture.load()
            assert len(set(picture.convert("L").get_flattened_data())) > 20  # something is drawn
    assert len(list((tmp_path / "masks").glob("*.png"))) == tiny_params.render.examples
