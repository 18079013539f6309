"""The page about a run and the model's card: what stands in them, and that a page is whole, safe and usable."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from petseg.config.validation import flatten
from petseg.reporting.gallery import Shown, as_address, chosen_names
from petseg.reporting.report import environment
from petseg.reporting.report_data import Facts, Interval, Score, read_table
from support.browsers import PHONE, WIDE, in_a_browser, open_browser, screen_of

NAN = float("nan")
RED, GREEN, BLUE = (230, 20, 20), (20, 200, 20), (20, 20, 230)
PICTURE = as_address(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))


def a_score(name, value):
    return Score(
        name,
        Interval(value, value - 0.01, value + 0.01),
        Interval(value - 0.02, value - 0.03, value - 0.01),
    )


def shown(name):
    shares = {"pet": 0.25, "background": 0.7, "border": 0.05}
    return Shown(name, "pug", 0.5432, PICTURE, PICTURE, PICTURE, shares, shares)


def breeds(names):
    number = len(names)
    scores = {
        f"iou_{name}": np.linspace(0.4, 0.9, number) for name in ("pet", "background", "border")
    }
    return pd.DataFrame(
        {
            "species": "dog",
            "breed": names,
            "pictures": range(2, 2 + number),
            "mean_iou": np.linspace(0.5, 0.8, number),
        }
        | scores
        | {"pixel_accuracy": 0.9}
    )


FACTS = Facts(
    source="oxford_iiit_pet",
    pictures={"train": 3340, "val": 340, "test": 3669},
    classes={"pet": (230, 159, 0), "background": (40, 44, 52), "border": (0, 114, 178)},
    image_size=128,
    parameters=2990259,
    epoch=7,
    scores=[a_score("Mean IoU", 0.8123), a_score("Pixel accuracy", 0.9345)],
    class_scores={name: [a_score("IoU", 0.7 + i / 100)] for i, name in enumerate(("pet", "background", "border"))},
    confusion={name: {"pet": 0.1, "background": 0.2, "border": 0.7} for name in ("pet", "background", "border")},
    history=pd.DataFrame(
        {"epoch": [1, 2], "learning_rate": 0.1, "loss": 0.5, "mean_iou": 0.6, "val_loss": 0.7, "val_mean_iou": 0.8}
    ),
    categories=breeds(["pug", "beagle", "boxer"]),
    supercategories=breeds(["dog"]),
    exported={
        "onnx": {
            "bytes": 1234567, "mean_iou": 0.8, "mean_iou_delta": -0.01, "max_abs_error": 1e-6,
            "agreement": 0.98765,
        }
    },
    settings={"train.epochs": 16, "model.weights": "imagenet", "seed": 0},
    versions={"keras": "3.15.1"},
    checksums={"models/unet/model.json": "ab" * 32},
)  # fmt: skip
GALLERY = {
    "best": [shown("pug_1.jpg")],
    "median": [shown("pug_2.jpg")],
    "worst": [shown("pug_3.jpg")],
}


def page(facts=FACTS, gallery=GALLERY):
    return (
        environment()
        .get_template("index.html.jinja")
        .render(facts=facts, gallery=gallery, curves=PICTURE)
    )


def card(facts=FACTS):
    return (
        environment()
        .get_template("model_card.md.jinja")
        .render(facts=facts, gallery=GALLERY, curves=PICTURE)
    )


class Reader(HTMLParser):
    """The elements of a page, and which are left open."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_tells_scores_with_intervals_breeds_files_parameters_and_checksums():
    text = page()
    for told in (
        "0.8123",
        "0.8023–0.8223",
        "0.7923",
        "beagle",
        "1.23",
        "98.77 %",
        "train.epochs",
        "3.15.1",
        "ab" * 32,
    ):
        assert told in text, told


def test_the_page_is_whole_and_needs_nothing_from_elsewhere():
    reader = Reader(page())
    assert reader.open == []
    assert not re.search(r"https?:|//", re.sub(r'"data:[^"]*"', "", page()).replace("</", ""))
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe", "object")
        address = attributes.get("src", attributes.get("href", "#"))
        assert address.startswith(("#", "data:image/")), address


def test_every_picture_has_a_text_and_every_control_a_label():
    reader = Reader(page())
    pictures = [attributes for tag, attributes in reader.elements if tag == "img"]
    assert len(pictures) == 3 * 3 + 1
    assert all(len(attributes["alt"]) > 10 for attributes in pictures)
    assert all("aria-label" in attributes for tag, attributes in reader.elements if tag == "input")
    anchors = {attributes["id"] for _, attributes in reader.elements if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in reader.elements if tag == "a"} <= anchors


def test_the_pictures_on_the_page_can_be_seen():
    sources = [attributes["src"] for tag, attributes in Reader(page()).elements if tag == "img"]
    for source in sources:
        content = base64.b64decode(source.split(",", 1)[1])
        assert Image.open(io.BytesIO(content)).convert("RGB").size == (32, 32)


def test_names_of_files_and_breeds_are_text_not_markup():
    evil = '<img src=x onerror="alert(1)">'
    facts = replace(
        FACTS, source=evil, breeds=breeds([evil, "pug"]), settings=FACTS.settings | {"x": evil}
    )
    text = page(facts, {"best": [shown(evil)]})
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x") >= 4
    assert Reader(text).open == []


def test_what_is_undefined_is_a_dash():
    scores = [Score("Mean IoU", Interval(NAN, NAN, NAN), Interval(0.5, NAN, NAN))]
    odd = FACTS.breeds.assign(mean_iou=[0.5, NAN, NAN], iou_border=NAN)
    exported = {"onnx": FACTS.exported["onnx"] | {"mean_iou": None, "mean_iou_delta": None}}
    odd_facts = replace(FACTS, scores=scores, breeds=odd, exported=exported)
    text = page(odd_facts)
    assert "nan" not in re.sub(r'"data:[^"]*"', "", text)
    assert "<td>–</td>" in text
    assert text.count("<td>–</td>") >= 2 + 3 + 2
    assert "nan" not in card(odd_facts)
    assert "None" not in card(odd_facts)


def test_tables_are_read_as_text_where_they_are_text_and_as_numbers_elsewhere(tmp_path):
    (tmp_path / "breeds.csv").write_text(
        "species,breed,mean_iou,iou_x\ncat,001,0.5,\ncat,True,,0.25\nNA,1.0,0.1,0.2\n"
    )
    table = read_table(tmp_path / "breeds.csv", "species", "breed")
    assert list(table["breed"]) == ["001", "True", "1.0"]
    assert list(table["species"]) == ["cat", "cat", "NA"]
    assert table["iou_x"].isna().tolist() == [True, False, False]
    assert table["mean_iou"].isna().tolist() == [False, True, False]


def test_the_card_tells_use_data_scores_limits_and_licence():
    text = card()
    for told in (
        "Intended use",
        "3,340",
        "0.8123",
        "0.8023–0.8223",
        "CC BY-SA 4.0",
        "| pug | 0.5000 | 2 | boxer |",
        "ab" * 32,
    ):
        assert told in text, told
    assert "drawn by code" not in text
    assert "drawn by code" in card(replace(FACTS, source="synthetic_pets"))
    assert "license:" not in card(replace(FACTS, source="folder"))


def test_the_card_s_tables_keep_their_columns_whatever_a_breed_is_called():
    text = card(replace(FACTS, breeds=breeds(["a|b", "line\nbreak"])))
    assert "<b>" not in card(replace(FACTS, breeds=breeds(["<b>", "pug"])))
    rows = [line for line in text.splitlines() if "line break" in line]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows)


def test_the_gallery_has_the_best_the_middle_and_the_worst():
    names = [f"{i:02}" for i in range(11)]
    table = pd.DataFrame(
        {"file_name": [*names, "undefined"], "mean_iou": [*np.linspace(0, 1, 11), NAN]}
    )
    assert chosen_names(table, 3) == {
        "best": ["10", "09", "08"],
        "median": ["04", "05", "06"],
        "worst": names[:3],
    }
    assert chosen_names(table, 50)["median"] == names


def test_settings_are_told_by_their_dotted_names():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": None,
    }


def served(folder, text):
    """The address of a page as a file."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    return file.as_uri()


@in_a_browser
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_in_a_browser_tables_sort_sliders_slide_and_nothing_is_wider_than_the_screen(
    tmp_path, size
):
    script = """
    const told = {}, heads = document.querySelectorAll("table.sortable th button");
    const first = () => document.querySelector("table.sortable tbody tr").textContent;
    heads[0].click(); told.by_name = first(); heads[0].click(); told.by_name_down = first();
    heads[2].click(); told.by_pictures = first();
    const slider = document.querySelector("figure input");
    slider.value = 20; slider.dispatchEvent(new Event("input"));
    told.clip = getComputedStyle(document.querySelector(".prediction")).clipPath;
    told.width = document.documentElement.scrollWidth;
    told.broken = [...document.images].filter((image) => !image.naturalWidth).length;
    return told;
    """
    with open_browser(size) as browser:
        browser.get(served(tmp_path, page()))
        told = browser.execute_script(script)
    assert told["by_name"].startswith("beagle")
    assert told["by_name_down"].startswith("pug")
    assert told["by_pictures"].startswith("pug")
    assert told["clip"] == "inset(0px 0px 0px 20%)"
    assert told["width"] <= size[0]
    assert told["broken"] == 0


@in_a_browser
def test_without_javascript_photo_prediction_and_truth_lie_side_by_side(tmp_path):
    red, green, blue = (
        as_address(np.full((32, 32, 3), color, np.uint8)) for color in (RED, GREEN, BLUE)
    )
    gallery = {"best": [replace(shown("pug_1.jpg"), photo=red, prediction=green, truth=blue)]}
    side_by_side = []
    for scripts in (True, False):
        with open_browser((800, 1800), scripts=scripts) as browser:
            browser.get(served(tmp_path, page(gallery=gallery)))
            screen = screen_of(browser)
        seen = [
            (np.abs(screen - color).max(-1) < 30).sum(1) for color in (RED, GREEN, BLUE)
        ]  # pixels in each row
        widths = np.max(
            np.where(np.min(seen, axis=0) > 0, seen, 0), axis=1
        )  # in rows with all three
        side_by_side.append(widths.min() > 50 and np.ptp(widths) <= 2)
        assert widths.min() > 50
    assert side_by_side == [
        False,
        True,
    ]  # with it, photo and prediction share the place that the truth has alone
