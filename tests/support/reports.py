"""A made-up run for tests of the page and the model card."""

from typing import Any

import numpy as np
import pandas as pd

from petseg.core.geometry import ImageSize
from petseg.reporting.gallery import GalleryImage, image_data_url
from petseg.reporting.report import template_environment
from petseg.reporting.report_data import Estimate, GroupNames, ReportData, ScoreRow

CLASSES = ("pet", "background", "border")
IMAGE = image_data_url(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))


def score_row(title: str, value: float) -> ScoreRow:
    test = Estimate(value, value - 0.01, value + 0.01)
    return ScoreRow(title, test, Estimate(value - 0.02, value - 0.03, value - 0.01))


def gallery_image(name: str) -> GalleryImage:
    shares = {"pet": 0.25, "background": 0.7, "border": 0.05}
    return GalleryImage(name, "pug", 128, 128, 0.5432, IMAGE, IMAGE, IMAGE, shares, shares)


def category_table(names: list[str]) -> pd.DataFrame:
    """Return categories of 2, 3, 4 ... images, the worst first."""
    count = len(names)
    table = pd.DataFrame({"supercategory": "dog", "category": names})
    return table.assign(
        images=range(2, 2 + count),
        mean_iou=np.linspace(0.5, 0.8, count),
        **{f"iou_{name}": np.linspace(0.4, 0.9, count) for name in CLASSES},
        pixel_accuracy=0.9,
    )


DATA = ReportData(
    dataset="oxford_iiit_pet",
    group_names=GroupNames("breed", "breeds", "species"),
    num_images={"train": 3340, "val": 340, "test": 3669},
    ignored={"train": 0.0123, "val": 0.0, "test": 0.25},
    notes=("No validation split in the data: 340 are drawn <by a hash>.",),
    classes={"pet": (230, 159, 0), "background": (40, 44, 52), "border": (0, 114, 178)},
    image_size=ImageSize(128, 128),
    resize="stretch",
    tiles=None,
    encoder="MobileNetV2",
    num_parameters=2990259,
    best_epoch=7,
    scores=[score_row("Mean IoU", 0.8123), score_row("Pixel accuracy", 0.9345)],
    class_scores={name: [score_row("IoU", 0.7 + i / 100)] for i, name in enumerate(CLASSES)},
    confusion={name: {"pet": 0.1, "background": 0.2, "border": 0.7} for name in CLASSES},
    history=pd.DataFrame(
        {
            "epoch": [1, 2],
            "learning_rate": 0.1,
            "loss": 0.5,
            "mean_iou": 0.6,
            "val_loss": 0.7,
            "val_mean_iou": 0.8,
        }
    ),
    categories=category_table(["pug", "beagle", "boxer"]),
    supercategories=category_table(["dog", "cat"]).assign(supercategory=["dog", "cat"]),
    exported={
        "onnx": {
            "bytes": 1234567,
            "mean_iou": 0.8,
            "mean_iou_delta": -0.01,
            "max_abs_error": 1e-6,
            "pixel_agreement": 0.98765,
        }
    },
    params={
        "train.epochs": 16,
        "train.patience": 0,
        "model.weights": "imagenet",
        "seed": 0,
        "evaluate.resolution": "model",
        "evaluate.tta.flip": False,
        "evaluate.tta.scales": [1.0],
    },
    versions={"keras": "3.15.1"},
    checksums={"models/unet/model.json": "ab" * 32},
)
GALLERY = {
    "best": [gallery_image("pug_1.jpg")],
    "median": [gallery_image("pug_2.jpg")],
    "worst": [gallery_image("pug_3.jpg")],
}


def render_page(data: ReportData = DATA, gallery: dict[str, Any] = GALLERY) -> str:
    template = template_environment().get_template("index.html.jinja")
    return template.render(data=data, gallery=gallery, curves=IMAGE)


def render_card(data: ReportData = DATA) -> str:
    return template_environment().get_template("model_card.md.jinja").render(data=data)
