"""The page and the model card of a made-up run: complete, safe and accessible."""

import base64
import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from petseg.config.tiles import Tiles
from petseg.reporting.report_data import Estimate, GroupNames, ScoreRow
from support.reports import (
    DATA,
    category_table,
    gallery_image,
    render_card,
    render_page,
)

NAN = float("nan")
OTHER_NAMES = GroupNames("category", "categories", "supercategory")


class PageParser(HTMLParser):
    """Collect a page's elements and those that are still open."""

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

    def attributes_of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize(
    "text",
    [
        "0.8123",
        "0.8023–0.8223",
        "0.7923",
        "beagle",
        "1.23",
        "98.77 %",
        "-0.0100",
        "train.epochs",
        "3.15.1",
        "ab" * 32,
    ],
)
def test_the_page_contains(text):
    assert text in render_page()


@pytest.mark.parametrize(
    "text",
    [
        "Intended use",
        "3,340",
        "0.8123",
        "0.8023–0.8223",
        "CC BY-SA 4.0",
        "| pug | 0.5000 | 2 | boxer |",
        "ab" * 32,
    ],
)
def test_the_card_contains(text):
    assert text in render_card()


def test_every_tag_is_closed_and_nothing_is_loaded_from_elsewhere():
    page = render_page()
    parser = PageParser(page)
    assert parser.open == []
    assert not re.search(r"https?:|//", re.sub(r'"data:[^"]*"', "", page).replace("</", ""))
    for tag, attributes in parser.elements:
        assert tag not in ("link", "iframe", "object")
        url = attributes.get("src", attributes.get("href", "#"))
        assert url.startswith(("#", "data:image/")), url


def test_every_image_has_alt_text_and_every_control_a_label():
    parser = PageParser(render_page())
    images = parser.attributes_of("img")
    assert len(images) == 3 * 3 + 1
    assert all(len(attributes["alt"]) > 10 for attributes in images)
    assert all("aria-label" in attributes for attributes in parser.attributes_of("input"))
    anchors = {attributes["id"] for _, attributes in parser.elements if "id" in attributes}
    assert {attributes["href"][1:] for attributes in parser.attributes_of("a")} <= anchors


def test_the_images_on_the_page_can_be_decoded():
    for attributes in PageParser(render_page()).attributes_of("img"):
        content = base64.b64decode(attributes["src"].split(",", 1)[1])
        assert Image.open(io.BytesIO(content)).convert("RGB").size == (32, 32)


def test_names_are_text_and_never_markup():
    evil = '<img src=x onerror="alert(1)">'
    data = replace(
        DATA,
        dataset=evil,
        categories=category_table([evil, "pug"]),
        params=DATA.params | {"x": evil},
    )
    page = render_page(data, {"best": [gallery_image(evil)]})
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 4
    assert PageParser(page).open == []


def test_undefined_values_are_dashes():
    data = replace(
        DATA,
        scores=[ScoreRow("Mean IoU", Estimate(NAN, NAN, NAN), Estimate(0.5, NAN, NAN))],
        categories=DATA.categories.assign(mean_iou=[0.5, NAN, NAN], iou_border=NAN),
        exported={"onnx": DATA.exported["onnx"] | {"mean_iou": None, "mean_iou_delta": None}},
    )
    page, card = render_page(data), render_card(data)
    assert "nan" not in re.sub(r'"data:[^"]*"', "", page)
    assert page.count("<td>–</td>") >= 2 + 3 + 2
    assert "nan" not in card
    assert "None" not in card


def test_pets_have_breeds_and_species_and_other_data_has_categories():
    page, card = render_page(), render_card()
    for heading in (">Breeds</h2>", ">breed</th>", ">species</th>", "By species"):
        assert heading in page
    assert "differs between breeds" in card
    assert "category" not in page + card
    other = replace(DATA, dataset="folder", group_names=OTHER_NAMES)
    page, card = render_page(other), render_card(other)
    for heading in (
        ">Categories</h2>",
        ">category</th>",
        ">supercategory</th>",
        "By supercategory",
    ):
        assert heading in page
    assert "differs between categories" in card
    assert "breed" not in (page + card).lower()
    assert "species" not in (page + card).lower()


def test_a_single_supercategory_is_not_shown():
    single = DATA.supercategories[:1]
    page = render_page(replace(DATA, group_names=OTHER_NAMES, supercategories=single))
    assert "supercategory" not in page
    assert "<td>dog</td>" not in page
    assert PageParser(page).open == []


def test_the_card_states_use_and_license_for_each_data_set():
    assert "synthetic images" not in render_card()
    assert "synthetic images" in render_card(replace(DATA, dataset="synthetic_pets"))
    folder = render_card(replace(DATA, dataset="folder"))
    assert "license:" not in folder
    assert "depends on the license of the training images" in folder


def test_the_card_names_the_encoder():
    assert "# U-Net with a MobileNetV2 encoder, trained on" in render_card()
    card = render_card(replace(DATA, encoder="EfficientNetV2-B0"))
    assert "# U-Net with an EfficientNetV2-B0 encoder, trained on" in card
    assert "the published weights of EfficientNetV2-B0" in card
    assert "MobileNet" not in card


def test_tables_of_the_card_keep_their_columns_whatever_a_category_is_called():
    card = render_card(replace(DATA, categories=category_table(["a|b", "line\nbreak"])))
    rows = [line for line in card.splitlines() if "line break" in line]
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert "<b>" not in render_card(replace(DATA, categories=category_table(["<b>", "pug"])))


def test_what_was_left_out_or_guessed_and_the_share_of_ignored_pixels_are_said():
    page, card = render_page(), render_card()
    for text in (page, card):
        assert "No validation split in the data: 340 are drawn &lt;by a hash&gt;." in text
    assert "1.2%, 0.0% and 25.0% belong to no class" in page
    assert "| test | 3,669 | 25.0% | measure" in card


def test_the_page_says_when_and_why_training_stopped_early():
    stopped = (
        "Training stopped after epoch 2 of 16, because the validation mean IoU had not improved"
    )
    assert stopped not in render_page()
    patient = replace(DATA, params=DATA.params | {"train.patience": 3})
    assert f"{stopped} for 3 epochs" in render_page(patient)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"evaluate.tta.flip": True, "evaluate.tta.scales": [0.75, 1.0]},
            "Each image was predicted with its mirror image and at scales 0.75, 1.0 (evaluate.tta).",
        ),
        (
            {"evaluate.tta.scales": [1.25], "evaluate.resolution": "original"},
            "Each image was predicted at scale 1.25 (evaluate.tta); scores are at each image's own "
            "size (evaluate.resolution).",
        ),
        (
            {"evaluate.resolution": 256},
            "Scores are of masks of 256 x 256 pixels (evaluate.resolution).",
        ),
    ],
)
def test_test_time_augmentation_and_another_resolution_are_said(changes, text):
    data = replace(DATA, params=DATA.params | changes)
    assert text in html.unescape(render_page(data))
    assert text in render_card(data)
    assert "(evaluate." not in render_page(DATA) + render_card(DATA)


@pytest.mark.parametrize(("size", "resized"), [(128, False), (256, True)])
def test_a_model_with_tiles_says_what_it_does_with_larger_images(size, resized):
    data = replace(DATA, tiles=Tiles(size=size, overlap=32))
    assert f"in tiles of {size} x {size} pixels of larger images" in render_page(data)
    card = render_card(data)
    assert f"petseg covers photos of any size with windows of {size} x {size} pixels" in card
    assert ("- Windows are resized to 128 x 128 pixels" in card) == resized
    assert "Images are resized" not in card
