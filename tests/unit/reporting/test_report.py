"""The stage, on a tiny run."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from petseg.reporting.report import report


@pytest.fixture
def paths(exported_run, small_encoder, tmp_path):
    """The outputs of the earlier stages, and outputs in the test's folder."""
    curves = tmp_path / "curves.png"
    Image.new("RGB", (8, 8)).save(curves)
    page, card = tmp_path / "index.html", tmp_path / "MODEL_CARD.md"
    return replace(exported_run, curves_plot=curves, page=page, model_card=card)


def test_page_and_card_show_the_metrics_and_are_the_same_each_time(tiny_params, paths):
    metrics = json.loads(paths.test_metrics.read_text())
    exported = json.loads(paths.export_metrics.read_text())["export"]
    report(tiny_params, paths)
    page, card = paths.page.read_text(), paths.model_card.read_text()
    for text in (page, card):
        assert f"{metrics['mean_iou']:.4f}" in text
        assert "Foreground IoU, mean over images" in text
        assert all(name in text for name in exported)
        assert "synthetic_pets" in text
    assert page.count('<img class="prediction"') == 3 * tiny_params.report.images
    report(tiny_params, paths)
    assert (page, card) == (paths.page.read_text(), paths.model_card.read_text())
