"""All stages on a folder with 255 classes, the most that a mask of bytes can have."""

import json

import numpy as np
import yaml

from support.folders import draw_image, write_image, write_mask
from support.project import with_values
from support.stages import STAGES, run_stage

MASK = np.arange(256, dtype=np.uint8).reshape(16, 16)  # all classes, and 255 for none


def test_255_classes_pass_through_all_stages(tiny_params, small_encoder, tmp_path):
    for number in range(12):
        draw_image(number, (16, 16)).save(write_image(tmp_path / f"mine/images/{number}.png"))
        write_mask(tmp_path / f"mine/masks/{number}.png", np.roll(MASK, number))
    values = {
        "dataset.name": "folder",
        "dataset.folder.path": str(tmp_path / "mine"),
        "dataset.folder.classes": [f"class{number}" for number in range(255)],
        "dataset.folder.test_fraction": 0.4,
        "preprocess.val_fraction": 0.5,
        "train.batch_size": 1,
        "train.epochs": 1,
        "train.preview_images": 1,
        "evaluate.resolution": "original",
    }
    params = with_values(tiny_params.model_dump(mode="json"), values)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in STAGES:
        assert run_stage(stage, tmp_path) is None, stage
    metrics = json.loads((tmp_path / "metrics" / "test.json").read_text())
    assert len(metrics["iou"]) == 255
    manifest = json.loads((tmp_path / "data" / "tfrecords" / "manifest.json").read_text())
    pixels = manifest["splits"]["test"]["pixels"]
    assert pixels["class254"] > 0
    assert pixels["ignored"] / sum(pixels.values()) == 1 / 256
    assert "0.4%" in (tmp_path / "reports" / "MODEL_CARD.md").read_text()
