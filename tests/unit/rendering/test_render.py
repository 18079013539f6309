"""The stage's images, and which test images they show."""

from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from petseg.config.paths import PipelinePaths
from petseg.prediction.tta import NO_TTA
from petseg.rendering import render as render_module
from petseg.rendering.render import render, sample_by_hash


@pytest.fixture
def paths(tiny_run, tmp_path):
    """The inputs of a tiny run, and outputs in the test's folder."""
    own = PipelinePaths.under(tmp_path)
    inputs = ("shards", "model", "per_image", "history", "confusion")
    return replace(own, **{name: getattr(tiny_run, name) for name in inputs})


def test_every_image_is_drawn(tiny_params, paths):
    render(tiny_params.render, NO_TTA, paths)
    for path in (
        paths.examples_plot,
        paths.best_plot,
        paths.worst_plot,
        paths.curves_plot,
        paths.confusion_plot,
    ):
        with Image.open(path) as image:
            assert len(set(image.convert("L").tobytes())) > 20
    assert len(list(paths.masks.glob("*.png"))) == tiny_params.render.examples


@pytest.mark.parametrize("several", [True, False], ids=["two supercategories", "one"])
def test_captions_name_the_supercategory_only_if_there_are_several(
    tiny_params, paths, tmp_path, monkeypatch, several
):
    table = pd.read_csv(paths.per_image)
    assert set(table["supercategory"]) == {"cat"}
    if several:
        table.loc[1:, "supercategory"] = "dog"
    table.to_csv(tmp_path / "per_image.csv", index=False)
    captions = []

    def draw_nothing(titles, rows, legend):
        captions.extend(row.caption for row in rows)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(render_module, "draw_image_grid", draw_nothing)
    render(tiny_params.render, NO_TTA, replace(paths, per_image=tmp_path / "per_image.csv"))
    worst = table.iloc[0]
    (caption, *_) = [text for text in captions if text.startswith(worst["file_name"])]
    _, group, score = caption.split("   ")
    assert group == (
        f"{worst['category']}, {worst['supercategory']}" if several else worst["category"]
    )
    assert score == f"mean IoU {worst['mean_iou']:.3f}"


def test_classes_whose_names_are_numbers_keep_them(tiny_params, paths, tmp_path, monkeypatch):
    confusion = pd.read_csv(paths.confusion)
    names = dict(zip(confusion["truth"].unique(), ["007", "7", "1e3"], strict=True))
    for column in ("truth", "prediction"):
        confusion[column] = confusion[column].map(names)
    confusion.to_csv(tmp_path / "confusion.csv", index=False)
    drawn = []
    monkeypatch.setattr(render_module, "draw_confusion", lambda table: drawn.append(table) or b"")
    render(tiny_params.render, NO_TTA, replace(paths, confusion=tmp_path / "confusion.csv"))
    assert drawn[0]["truth"].tolist() == confusion["truth"].tolist()
    assert drawn[0]["prediction"].tolist() == confusion["prediction"].tolist()


def test_an_image_called_na_is_drawn(tiny_params, paths, tmp_path, monkeypatch):
    table = pd.read_csv(paths.per_image)
    table.loc[0, "file_name"] = "NA"
    table.to_csv(tmp_path / "per_image.csv", index=False)
    wanted = []

    def predict_nothing(*arguments, file_names):
        wanted.extend(file_names)
        return []

    monkeypatch.setattr(render_module, "predict_split", predict_nothing)
    with pytest.raises(KeyError):  # no image was predicted
        render(tiny_params.render, NO_TTA, replace(paths, per_image=tmp_path / "per_image.csv"))
    assert "NA" in wanted


def test_the_sample_depends_on_the_names_alone():
    names = [f"pet_{i}" for i in range(50)]
    assert sample_by_hash(names, 5) == sample_by_hash(names[::-1], 5)
    assert set(sample_by_hash(names, 5)) <= set(sample_by_hash(names, 6))


def test_mask_files_have_names_that_every_file_system_accepts():
    assert render_module._file_stem("a/b.c/d.png") == "a__b.c__d"
    long = [render_module._file_stem("é" * 300 + suffix) for suffix in ("1.png", "2.png")]
    assert len(set(long)) == 2
    assert max(len(stem.encode()) for stem in long) <= 200


def test_images_that_differ_only_in_suffix_or_folder_sign_have_files_of_their_own():
    names = ["a/cat.jpg", "a/cat.png", "a__cat.jpg", "A/cat.jpg", "a/dog.jpg"]
    stems = render_module._file_stems(names)
    assert len({stem.casefold() for stem in stems.values()}) == len(names)
    assert all(stem.startswith(("a__cat-", "A__cat-")) for stem in list(stems.values())[:4])
    assert stems["a/dog.jpg"] == "a__dog"
