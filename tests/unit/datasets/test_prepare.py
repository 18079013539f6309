import io
import os
import subprocess
import sys

import numpy as np
import pytest
import requests
import yaml
from PIL import Image
from tensorflow_datasets.core.download import checksums, downloader

from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.datasets import prepare
from petseg.datasets.oxford import oxford_builder
from petseg.datasets.prepare import prepare_dataset
from petseg.datasets.synthetic.draw import draw_pet
from petseg.raw import read_dataset_info
from support.datasets import (
    decoded,
    draw_masks_folder,
    draw_oxford_folder,
    examples,
    folder_params,
    pack,
    save,
)
from support.project import ROOT, with_values


def test_synthetic_pets_need_no_network_and_are_exact(tiny_params, tiny_raw):
    assert read_dataset_info(tiny_raw).class_names == ("pet", "background", "border")
    train, info = examples(tiny_raw, "train")
    test, _ = examples(tiny_raw, "test")
    assert (len(train), len(test)) == (40, 8)
    assert not set(train) & set(test)
    assert len(info.features["label"].names) == 37
    image, trimap, breed = draw_pet(0, 7, tiny_params.dataset.synthetic_pets.size)
    example = train["breed_07_7.png"]
    assert np.array_equal(decoded(example["image"], 3), image)
    assert np.array_equal(decoded(example["segmentation_mask"], 1)[..., 0], trimap)
    assert example["label"] == breed


def test_more_training_pictures_leave_the_test_split_as_it_is(tiny_params, tiny_raw, tmp_path):
    fewer = tiny_params.dataset.synthetic_pets.model_copy(update={"trainval": 5})
    prepare_dataset(
        tiny_params.dataset.model_copy(update={"synthetic_pets": fewer}), tmp_path / "raw", tmp_path
    )
    few, many = examples(tmp_path / "raw", "test")[0], examples(tiny_raw, "test")[0]
    assert {name: example["image"] for name, example in few.items()} == {
        n: e["image"] for n, e in many.items()
    }
    assert len(examples(tmp_path / "raw", "train")[0]) == 5


def test_preparing_in_another_process_gives_the_same_bytes(tiny_params, tiny_raw, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params.model_dump(mode="json")))
    subprocess.run([sys.executable, str(ROOT / "stages" / "download.py")], cwd=tmp_path, check=True)
    files = sorted(path.relative_to(tiny_raw) for path in tiny_raw.rglob("*") if path.is_file())
    assert len(files) >= 5
    for file in files:
        assert (tiny_raw / file).read_bytes() == (tmp_path / "data" / "raw" / file).read_bytes(), (
            file
        )


def test_a_folder_in_the_oxford_layout(default_params, tmp_path):
    root = draw_oxford_folder(tmp_path / "pets")
    source = prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    assert (source.class_names, source.first_label) == (("pet", "background", "border"), 1)
    train, info = examples(tmp_path / "raw", "train")
    test, _ = examples(tmp_path / "raw", "test")
    assert set(train) == {"Abyssinian_1.jpg", "beagle_2.jpg", "beagle_3.jpg"}
    assert set(test) == {"Abyssinian_7.jpg", "beagle_8.jpg"}
    assert info.features["label"].names == ["Abyssinian", "beagle"]
    assert info.features["species"].names == ["cat", "dog"]
    assert (
        train["beagle_2.jpg"]["image"] == (root / "images" / "beagle_2.jpg").read_bytes()
    )  # a JPEG is kept as it is


def test_a_folder_of_pictures_and_masks(default_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    (root / "images" / "pug" / "._0.png").write_bytes(b"what macOS leaves behind")
    (root / "test.txt").write_text("\ufeff# for testing\r\npug/0.png\r\n")
    params = folder_params(
        default_params, root, **{"dataset.folder.classes": ["background", "animal"]}
    )
    source = prepare_dataset(params, tmp_path / "raw", tmp_path)
    assert (source.class_names, source.first_label) == (("background", "animal"), 0)
    train, info = examples(tmp_path / "raw", "train")
    test, _ = examples(tmp_path / "raw", "test")
    assert set(test) == {"pug/0.png"}
    assert len(train) == 5
    assert info.features["label"].names == ["beagle", "pug"]
    assert set(np.unique(decoded(test["pug/0.png"]["segmentation_mask"], 1))) == {
        0,
        1,
        255,
    }  # indices, not colors
    assert decoded(test["pug/0.png"]["image"], 0).shape == (40, 40, 3)  # alpha is gone


def test_without_a_list_a_share_of_the_pictures_is_the_test_split(default_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    params = folder_params(default_params, root)
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    train, _ = examples(tmp_path / "raw", "train")
    test, _ = examples(tmp_path / "raw", "test")
    assert len(train) + len(test) == 6
    assert test
    assert not set(train) & set(test)


def test_a_photo_is_turned_as_its_exif_says(default_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees
    wide = np.zeros((30, 40, 3), np.uint8)
    save(wide, root / "images" / "turned.jpg", exif=exif)
    save(np.zeros((40, 30), np.uint8), root / "masks" / "turned.png")
    prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    everything = examples(tmp_path / "raw", "train")[0] | examples(tmp_path / "raw", "test")[0]
    assert decoded(everything["turned.jpg"]["image"], 3).shape == (40, 30, 3)


def broken_folder(tmp_path, kind):
    masks = draw_masks_folder(tmp_path / "mine")
    if kind == "no layout":
        (masks / "masks").rename(masks / "labels")
    elif kind == "no mask":
        (masks / "masks" / "pug" / "2.png").unlink()
    elif kind == "other size":
        save(np.zeros((7, 9), np.uint8), masks / "masks" / "pug" / "2.png")
    elif kind == "colors":
        save(np.zeros((40, 40, 3), np.uint8), masks / "masks" / "pug" / "2.png")
    elif kind == "broken picture":
        path = masks / "images" / "pug" / "2.png"
        path.write_bytes(path.read_bytes()[:300])
    elif kind == "shared mask":
        save(np.zeros((40, 40, 3), np.uint8), masks / "images" / "pug" / "2.jpg")
    elif kind == "unknown test name":
        (masks / "test.txt").write_text("pug/77.png\n")
    return masks


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no layout", "has neither annotations/ .* nor masks/"),
        ("no mask", r"2\.png has no mask; add .*masks/pug/2\.png"),
        ("other size", r"2\.png is 9x7, but its image .* is 40x40"),
        (
            "colors",
            r"2\.png can't be read as a mask \(it has 3 channels, but a mask has one label per pixel",
        ),
        ("broken picture", r"images/pug/2\.png can't be read as an image"),
        ("shared mask", r"2\.jpg and .*2\.png share the mask"),
        ("unknown test name", r"test\.txt, line 1 names 'pug/77\.png'"),
    ],
)
def test_a_broken_folder_is_told_and_leaves_nothing_half_written(
    default_params, tmp_path, kind, message
):
    root = broken_folder(tmp_path, kind)
    with pytest.raises(PetsegError, match=message):
        prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    assert not (tmp_path / "raw").exists()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("beagle_2 5 2 1\n", "lists the image 'beagle_2.jpg' twice"),
        ("pug_1 5 2 1\n", r"line 4 names 'pug_1', but .*pug_1\.jpg does not exist"),
        ("beagle_2 5\n", "line 4 is 'beagle_2 5', but must be 'NAME CLASS-ID SPECIES BREED-ID'"),
    ],
)
def test_a_broken_list_is_told_with_file_and_line(default_params, tmp_path, line, message):
    root = draw_oxford_folder(tmp_path / "pets")
    with (root / "annotations" / "trainval.txt").open("a") as file:
        file.write(line)
    with pytest.raises(PetsegError, match=message):
        prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)


# The real TFDS builder of Oxford-IIIT Pet, offline, on small archives of the same shape.


@pytest.fixture
def oxford(default_params, tmp_path, monkeypatch):
    """(dataset parameters, archives' folder) with the archives' own checksums registered in the builder."""
    archives = tmp_path / "archives"
    pack(draw_oxford_folder(tmp_path / "pets"), archives)

    def builder_of_these(data_dir):
        builder = oxford_builder(data_dir)
        for url in list(builder.url_infos):
            builder.url_infos[url] = checksums.compute_url_info(archives / url.rsplit("/", 1)[1])
        return builder

    monkeypatch.setattr(prepare, "oxford_builder", builder_of_these)
    return parse_params(
        with_values(default_params, {"dataset.name": "oxford_iiit_pet"})
    ).dataset, archives


def test_oxford_archives_are_taken_instead_of_the_network(oxford, tmp_path):
    params, archives = oxford
    source = prepare_dataset(params, tmp_path / "raw", archives)
    assert source.directory == "oxford_iiit_pet/4.0.0"
    train, info = examples(tmp_path / "raw", "train")
    assert set(train) == {"Abyssinian_1.jpg", "beagle_2.jpg", "beagle_3.jpg"}
    assert len(info.features["label"].names) == 37
    assert not (archives / "downloads" / "extracted").exists()


def test_a_wrong_checksum_is_told(oxford, tmp_path, monkeypatch):
    params, archives = oxford
    monkeypatch.setattr(prepare, "oxford_builder", oxford_builder)  # the published checksums
    with pytest.raises(PetsegError, match=r"Wrong checksum: .*archives/images\.tar\.gz"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert not (tmp_path / "raw").exists()


def test_a_broken_archive_is_told(oxford, tmp_path):
    params, archives = oxford
    path = archives / "images.tar.gz"
    path.write_bytes(io.BytesIO(path.read_bytes()).read(2000))
    with pytest.raises(PetsegError, match=r"(can't be extracted|lack a file)"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert not (tmp_path / "raw").exists()


def test_no_network_is_told_with_the_way_round_it(oxford, tmp_path, monkeypatch):
    params, archives = oxford

    def unreachable(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", unreachable)
    monkeypatch.setattr(downloader, "_open_url", unreachable)
    (archives / "images.tar.gz").rename(tmp_path / "hidden")

    def builder_without_network(data_dir):
        return oxford_builder(data_dir)

    monkeypatch.setattr(prepare, "oxford_builder", builder_without_network)
    (archives / "annotations.tar.gz").unlink()
    with pytest.raises(
        PetsegError, match=r"thor\.robots\.ox\.ac\.uk can't be reached .* yourself, put them into"
    ):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert not (tmp_path / "raw").exists()


def test_the_stage_says_one_sentence_and_exits_with_1(default_params, tmp_path):
    params = with_values(default_params, {"dataset.name": "oxford_iiit_pet"})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    archives = tmp_path / "data" / "archives"
    archives.mkdir(parents=True)
    for name in ("images", "annotations"):
        (archives / f"{name}.tar.gz").write_bytes(b"not the published archive")
    command = [sys.executable, str(ROOT / "stages" / "download.py")]
    environment = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Wrong checksum: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["archives"]
