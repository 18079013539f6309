"""Small folders of images and annotations, in the layouts that labeling tools export."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.config.data_params import FolderParams
from petseg.datasets.folder.checking import scan_folder
from petseg.datasets.folder.index import FolderIndex, index_folder
from petseg.datasets.folder.scan import FolderScan

WIDTH, HEIGHT = 12, 8
SQUARE = (2, 3, 8, 7)  # left, top, right, bottom of the object in every image
RING = [2, 3, 8, 3, 8, 7, 2, 7]
MASK: NDArray[np.uint8] = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[3:7, 2:8] = 1
GREEN, GREEN_KEY = (48, 112, 32), "#307020"


def folder_parameters(**values: Any) -> FolderParams:
    """Return parameters of a folder: the defaults of params.yaml, or those given."""
    defaults = {
        "path": "mine",
        "annotations": "auto",
        "classes": "auto",
        "test_fraction": 0.3,
        "group": "none",
        "unlabeled": "error",
    }
    return FolderParams.model_validate({**defaults, **values})


def index_of(root: Path, **values: Any) -> FolderIndex:
    return index_folder(folder_parameters(**values), root)


def scan_of(root: Path, **values: Any) -> FolderScan:
    """Index and scan a folder."""
    params = folder_parameters(**values)
    return scan_folder(index_folder(params, root), params)


def problems_of(index: FolderIndex) -> str:
    return "\n".join(map(str, index.findings.problems))


def notes_of(index: FolderIndex) -> str:
    return "\n".join(map(str, index.findings.notes))


def names_by_split(index: FolderIndex) -> dict[str, list[str]]:
    return {split: [item.name for item in items] for split, items in index.splits.items()}


def masks_of(scan: FolderScan) -> dict[str, NDArray[np.uint8]]:
    """Return every mask by the name of its image. Fails if there is a problem."""
    assert not problems_of(scan.index), problems_of(scan.index)
    return {item.name: scan.read_labels(item) for item in scan.index.items}


def draw_image(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Return an image whose shade says which one it is."""
    return Image.new("RGB", size, (number * 7 % 256, 90, 30))


def write_image(path: Path, number: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_image(number).save(path, **options)
    return path


def write_photo(path: Path, number: int = 0) -> Path:
    """Write an image of many colors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path: Path, mask: NDArray[Any] | Image.Image = MASK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def draw_pairs(
    root: Path,
    names: Sequence[str] | None = None,
    image: str = "images/{}.png",
    mask: str = "masks/{}.png",
    content: NDArray[Any] | Image.Image = MASK,
) -> Path:
    """Write images and equal masks. Without names, ten of them."""
    for number, name in enumerate(names or [f"{number}" for number in range(10)]):
        write_image(root / image.format(name), number)
        write_mask(root / mask.format(name), content)
    return root


def palette_mask(
    mask: NDArray[np.uint8] = MASK, colors: Sequence[Sequence[int]] = ((0, 0, 0), GREEN)
) -> Image.Image:
    """Return a mask as indices of a palette."""
    image = Image.fromarray(mask, "P")
    image.putpalette([value for color in colors for value in color])
    return image


def color_mask(mask: NDArray[np.uint8] = MASK) -> NDArray[np.uint8]:
    """Return a mask as black and green pixels (H, W, 3)."""
    colors = np.array([(0, 0, 0), GREEN], np.uint8)
    return np.asarray(colors[mask])


def write_coco(
    path: Path, names: Sequence[str], segmentation: Any = None, **changes: Any
) -> dict[str, Any]:
    """Write COCO's JSON with one object per image, and return its content."""
    document: dict[str, Any] = {
        "images": [
            {"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for n, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": n,
                "image_id": n,
                "category_id": 3,
                "segmentation": segmentation or [RING],
                "iscrowd": 0,
            }
            for n in range(len(names))
        ],
        "categories": [{"id": 3, "name": "cat"}],
        **changes,
    }
    write_text(path, json.dumps(document))
    return document


def write_labelme(
    path: Path, shapes: Sequence[dict[str, Any]] | None = None, image: str = ""
) -> Path:
    """Write LabelMe's JSON of one image, which may have another name."""
    points = np.reshape(RING, (-1, 2)).tolist()
    square = {"label": "cat", "points": points, "shape_type": "polygon", "group_id": None}
    document: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [square] if shapes is None else list(shapes),
        "imagePath": image or f"{path.stem}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    return write_text(path, json.dumps(document))


VIA_POLYGON = {"name": "polygon", "all_points_x": RING[::2], "all_points_y": RING[1::2]}


def write_via(
    path: Path,
    names: Sequence[str],
    shape: dict[str, Any] = VIA_POLYGON,
    attributes: Any = (("class", "cat"),),
    size: int = -1,
) -> dict[str, Any]:
    """Write VIA's JSON with one region per image, and return its content."""
    region = {"shape_attributes": shape, "region_attributes": attributes and dict(attributes)}
    document = {
        f"{name}{size}": {
            "filename": name,
            "size": size,
            "regions": [region],
            "file_attributes": {},
        }
        for name in names
    }
    write_text(path, json.dumps(document))
    return document


def yolo_line(number: int = 0, ring: Sequence[float] = RING) -> str:
    points = np.reshape(ring, (-1, 2)) / (WIDTH, HEIGHT)
    return f"{number} " + " ".join(f"{value:.6f}" for value in points.ravel()) + "\n"
