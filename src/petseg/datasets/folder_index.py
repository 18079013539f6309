"""The index of a user's folder: its images, masks, categories and splits, in either layout.

Layout "oxford":  images/NAME.jpg, annotations/trimaps/NAME.png,
                  annotations/{trainval,test}.txt (NAME CLASS-ID SPECIES BREED-ID)
Layout "masks":   images/**/NAME.{jpg,jpeg,png,bmp,webp}, masks/**/NAME.png; the category is the
                  name of the subfolder; the test split is listed in test.txt (one NAME per line),
                  or else is a fraction of the images, chosen by hash.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from petseg.config.params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import unit_hash
from petseg.core.labels import TRIMAP_CLASSES
from petseg.image_files import IMAGE_SUFFIXES

_UNSUPPORTED_SUFFIXES = {
    *(".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"),
    *(".jfif", ".jp2", ".ppm", ".pgm", ".tga", ".ico"),
}
_OXFORD_SUPERCATEGORIES = {"1": "cat", "2": "dog"}


@dataclass(frozen=True)
class FolderItem:
    """An image in the folder and its mask. `name` is unique within the folder."""

    name: str
    image: Path
    mask: Path
    category: str = "unknown"
    supercategory: str = "unknown"


@dataclass(frozen=True)
class FolderIndex:
    splits: dict[str, list[FolderItem]]  # "train" and "test"
    class_names: tuple[str, ...]
    first_label: int  # the mask value of class 0

    @property
    def categories(self) -> list[str]:
        return sorted({item.category for items in self.splits.values() for item in items})

    @property
    def supercategories(self) -> list[str]:
        return sorted({item.supercategory for items in self.splits.values() for item in items})


def index_folder(params: FolderParams, root: Path) -> FolderIndex:
    """Find the images of both splits. Raises PetsegError if the layout or a file is missing."""
    layout = _detect_layout(root) if params.layout == "auto" else params.layout
    if layout == "oxford":
        index = FolderIndex(_index_oxford_layout(root), TRIMAP_CLASSES, first_label=1)
    else:
        splits = _index_masks_layout(root, params.test_fraction)
        index = FolderIndex(splits, tuple(params.classes), first_label=0)
    for split, items in index.splits.items():
        if not items:
            raise PetsegError(
                f"{root} has no images for the {split} split; add images, or change its test.txt "
                "or dataset.folder.test_fraction."
            )
    return index


def _detect_layout(root: Path) -> str:
    if (root / "annotations").is_dir():
        return "oxford"
    if (root / "masks").is_dir():
        return "masks"
    raise PetsegError(
        f"{root} has neither annotations/ (the Oxford layout) nor masks/ next to images/; "
        "see data/folder/README.md for both layouts."
    )


def _index_oxford_layout(root: Path) -> dict[str, list[FolderItem]]:
    names: set[str] = set()
    splits: dict[str, list[FolderItem]] = {}
    for split, file_name in (("train", "trainval.txt"), ("test", "test.txt")):
        splits[split] = []
        for item in _read_oxford_list(root, root / "annotations" / file_name):
            if item.name in names:
                raise PetsegError(
                    f"{root} lists the image {item.name!r} twice; remove one of the two lines."
                )
            names.add(item.name)
            splits[split].append(item)
    return splits


def _read_oxford_list(root: Path, list_file: Path) -> Iterator[FolderItem]:
    for number, line in _read_lines(list_file):
        fields = line.split()
        if len(fields) != 4 or fields[2] not in _OXFORD_SUPERCATEGORIES:
            raise PetsegError(
                f"{list_file}, line {number} is {line!r}, but must be "
                "'NAME CLASS-ID SPECIES BREED-ID' with species 1 or 2."
            )
        name = fields[0]
        if name != Path(name).name or not name.isprintable():
            raise PetsegError(
                f"{list_file}, line {number} lists {name!r}, but a name must be a plain file name."
            )
        image = root / "images" / f"{name}.jpg"
        mask = root / "annotations" / "trimaps" / f"{name}.png"
        for path in (image, mask):
            if not path.is_file():
                raise PetsegError(
                    f"{list_file}, line {number} lists {name!r}, but {path} does not exist."
                )
        category, supercategory = name.rsplit("_", 1)[0], _OXFORD_SUPERCATEGORIES[fields[2]]
        yield FolderItem(image.name, image, mask, category, supercategory)


def _index_masks_layout(root: Path, test_fraction: float) -> dict[str, list[FolderItem]]:
    items = _pair_images_with_masks(root / "images", root / "masks")
    test_list = root / "test.txt"
    if test_list.is_file():
        test_names = _read_test_names(test_list, items, root / "images")
    else:
        test_names = {name for name in items if unit_hash("test", name) < test_fraction}
    return {
        "train": [item for name, item in items.items() if name not in test_names],
        "test": [item for name, item in items.items() if name in test_names],
    }


def _pair_images_with_masks(images: Path, masks: Path) -> dict[str, FolderItem]:
    """Return the items by name."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise PetsegError(
                f"{folder} does not exist; the layout 'masks' needs images/ and masks/."
            )
    items: dict[str, FolderItem] = {}
    image_by_mask: dict[Path, Path] = {}
    for image in _find_images(images):
        relative = image.relative_to(images)
        mask = masks / relative.with_suffix(".png")
        if not mask.is_file():
            raise PetsegError(f"{image} has no mask; add {mask}.")
        if other := image_by_mask.get(mask):
            raise PetsegError(f"{other} and {image} share the mask {mask}; rename one of them.")
        image_by_mask[mask] = image
        name = relative.as_posix()
        category = relative.parts[0] if len(relative.parts) > 1 else "unknown"
        items[name] = FolderItem(name, image, mask, category)
    return items


def _read_test_names(test_list: Path, items: dict[str, FolderItem], images: Path) -> set[str]:
    names: set[str] = set()
    for number, name in _read_lines(test_list):
        if name not in items:
            raise PetsegError(
                f"{test_list}, line {number} lists {name!r}, which is not in {images}."
            )
        if name in names:
            raise PetsegError(f"{test_list}, line {number} repeats {name!r}; remove the line.")
        names.add(name)
    return names


def _find_images(folder: Path) -> list[Path]:
    """List all images under a folder, except hidden files. Raises PetsegError for other formats."""
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        suffix = path.suffix.lower()
        if any(part.startswith(".") for part in relative.parts):
            continue
        if suffix in _UNSUPPORTED_SUFFIXES:
            supported = ", ".join(sorted(IMAGE_SUFFIXES))
            raise PetsegError(
                f"{path} has an unsupported format; convert it to one of {supported}."
            )
        if suffix not in IMAGE_SUFFIXES or path.is_dir():
            continue
        if not path.is_file():
            raise PetsegError(f"{path} is a broken symlink; fix or remove it.")
        if not relative.as_posix().isprintable():  # it goes into tables and file names
            raise PetsegError(f"{str(path)!r} has unprintable characters in its name; rename it.")
        found.append(path)
    return found


def _read_lines(list_file: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a list, skipping blank lines and comments."""
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PetsegError(f"{list_file} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PetsegError(f"{list_file} is not UTF-8 text (byte {error.start}).") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()
