"""What is in a folder of one's own: which pictures, their masks, categories and splits, in either layout.

Layout "oxford":  images/NAME.jpg, annotations/trimaps/NAME.png,
                  annotations/{trainval,test}.txt (NAME CLASS-ID SPECIES BREED-ID)
Layout "masks":   images/**/NAME.{jpg,jpeg,png,bmp,webp}, masks/**/NAME.png; a sub-folder's name is the category;
                  test.txt (one NAME a line), else a share of the pictures by hash, is the test split.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from petseg.config.params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import unit_hash
from petseg.core.labels import TRIMAP_CLASSES
from petseg.image_io import IMAGE_SUFFIXES

_OTHER_PICTURES = {
    ".gif",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
    ".jfif",
    ".jp2",
    ".ppm",
    ".pgm",
    ".tga",
    ".ico",
}
_OXFORD_SPECIES = {"1": "cat", "2": "dog"}


@dataclass(frozen=True)
class FolderItem:
    """One picture of a folder: `name` is unique in it, image and mask are paths."""

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
    """Find the pictures of both splits in a folder. Raises PetsegError on another layout or a missing file."""
    layout = _layout_of(root) if params.layout == "auto" else params.layout
    if layout == "oxford":
        splits = {
            split: _oxford_list(root, file)
            for split, file in (("train", "trainval.txt"), ("test", "test.txt"))
        }
        listing = FolderIndex(splits, TRIMAP_CLASSES, first_label=1)
    else:
        listing = FolderIndex(
            _masks_splits(root, params.test_fraction), tuple(params.classes), first_label=0
        )
    seen: set[str] = set()
    for split, items in listing.splits.items():
        if not items:
            raise PetsegError(
                f"{root} has no pictures for the {split} split; add pictures, or change its test.txt or "
                "dataset.folder.test_fraction."
            )
        for item in items:
            if item.name in seen:
                raise PetsegError(
                    f"{root} lists the picture {item.name!r} twice; keep one of the two lines."
                )
            seen.add(item.name)
    return listing


def _layout_of(root: Path) -> str:
    if (root / "annotations").is_dir():
        return "oxford"
    if (root / "masks").is_dir():
        return "masks"
    raise PetsegError(
        f"{root} holds neither annotations/ (the Oxford layout) nor masks/ beside images/; "
        "data/folder/README.md shows both."
    )


def _oxford_list(root: Path, file_name: str) -> list[FolderItem]:
    return list(_oxford_lines(root, root / "annotations" / file_name))


def _oxford_lines(root: Path, list_file: Path) -> Iterator[FolderItem]:
    for number, line in _lines_of(list_file):
        fields = line.split()
        if len(fields) != 4 or fields[2] not in _OXFORD_SPECIES:
            raise PetsegError(
                f"{list_file}, line {number} is {line!r}, but must be 'NAME CLASS-ID SPECIES BREED-ID' "
                "with species 1 or 2."
            )
        name = fields[0]
        if name != Path(name).name or not name.isprintable():
            raise PetsegError(
                f"{list_file}, line {number} names {name!r}, but a name must not lead elsewhere."
            )
        image, mask = (
            root / "images" / f"{name}.jpg",
            root / "annotations" / "trimaps" / f"{name}.png",
        )
        _must_exist(image, list_file, number)
        _must_exist(mask, list_file, number)
        yield FolderItem(
            image.name, image, mask, name.rsplit("_", 1)[0], _OXFORD_SPECIES[fields[2]]
        )


def _masks_splits(root: Path, test_fraction: float) -> dict[str, list[FolderItem]]:
    images, masks = root / "images", root / "masks"
    for folder in (images, masks):
        if not folder.is_dir():
            raise PetsegError(
                f"{folder} is not there; the layout 'masks' needs images/ and masks/ in {root}."
            )
    by_name: dict[str, FolderItem] = {}
    of_mask: dict[Path, Path] = {}
    for image in _pictures_in(images):
        relative = image.relative_to(images)
        mask = masks / relative.with_suffix(".png")
        if not mask.is_file():
            raise PetsegError(f"{image} has no mask; put one at {mask}.")
        if other := of_mask.get(mask):
            raise PetsegError(
                f"{other} and {image} share the mask {mask}; give one of them another name."
            )
        of_mask[mask] = image
        category = relative.parts[0] if len(relative.parts) > 1 else "unknown"
        name = relative.as_posix()
        by_name[name] = FolderItem(name, image, mask, category)
    test_list = root / "test.txt"
    if test_list.is_file():
        test_names = set()
        for number, name in _lines_of(test_list):
            if name not in by_name:
                raise PetsegError(
                    f"{test_list}, line {number} names {name!r}, which is not in {images}."
                )
            if name in test_names:
                raise PetsegError(
                    f"{test_list}, line {number} names {name!r} a second time; take one of them out."
                )
            test_names.add(name)
    else:
        test_names = {name for name in by_name if unit_hash("test", name) < test_fraction}
    return {
        "train": [item for name, item in by_name.items() if name not in test_names],
        "test": [item for name, item in by_name.items() if name in test_names],
    }


def _pictures_in(images: Path) -> list[Path]:
    """All pictures under a folder, hidden ones left out. What looks like a picture and can't be read is an error."""
    found = []
    for path in sorted(images.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(images).parts):
            continue
        suffix = path.suffix.lower()
        if suffix in _OTHER_PICTURES:
            raise PetsegError(
                f"{path} is of a kind that isn't read; save it as one of {', '.join(sorted(IMAGE_SUFFIXES))}."
            )
        if suffix in IMAGE_SUFFIXES and not path.is_dir():
            if not path.is_file():
                raise PetsegError(f"{path} is a link that leads nowhere; fix or remove it.")
            if (
                not path.relative_to(images).as_posix().isprintable()
            ):  # names go into tables and other files' names
                raise PetsegError(
                    f"The name of {str(path)!r} holds what can't be printed; give it another name."
                )
            found.append(path)
    return found


def _lines_of(list_file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list with their numbers, without blank ones and comments; a byte order mark does no harm."""
    try:
        text = list_file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PetsegError(f"{list_file} can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PetsegError(f"{list_file} is not UTF-8 text (byte {error.start}).") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _must_exist(path: Path, list_file: Path, number: int) -> None:
    if not path.is_file():
        raise PetsegError(
            f"{list_file}, line {number} names a picture whose file {path} is not there."
        )
