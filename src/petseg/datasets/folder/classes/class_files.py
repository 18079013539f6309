"""The classes that files next to the masks name: which files count, and whether they agree."""

import csv
import re
from contextlib import suppress

from pydantic import BaseModel

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.class_lists import (
    LISTS_OF_NAMES,
    READERS,
    Classes,
    group_by_class,
)
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, MAX_LABEL, Label
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import ExportedClasses
from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.text_files import read_json, read_text

_BACKGROUNDS = {BACKGROUND_NAME, "bg", "void", "unlabeled", "unlabelled", "none", "other"}


def read_classes(folder: Folder) -> tuple[ExportedClasses | None, str]:
    """Return the classes and the name of the file that has them; (None, "") without one.

    A file with an invalid line is a problem, and so are files that disagree. If the root has none,
    those next to or above all masks count, as exports have them that lie side by side. Of several
    kinds at the root, the first counts; lists of numbers that disagree with it are a problem, too.
    """
    kinds = (folder.at_root(name) for name in READERS)
    files = next(filter(None, kinds), []) or folder.above_masks(READERS)
    if not files:
        return _nnunet_classes(folder)
    found: list[tuple[Classes, str]] = []
    unreadable = []
    for file in files:
        try:
            reader = READERS[file.path.name.lower()]
            found.append((reader(read_text(file.path)), str(file.relative)))
        except (ValueError, csv.Error) as error:
            unreadable.append(f"{file.relative} ({error})")
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
    folder.findings.problem("Lists of classes that can't be read", unreadable, "fix or remove them")
    if not found:
        return None, ""
    classes, source = found[0]
    others = [other for its_classes, other in found if its_classes != classes]
    others += _contradicting(folder, classes, files[0].path.name.lower())
    folder.findings.problem(
        f"Lists of classes that differ from {source}",
        others,
        "the same label must mean the same everywhere: export all images at once, or remove lists "
        "that don't describe the masks",
    )
    return classes, source


def _contradicting(folder: Folder, classes: Classes, kind: str) -> list[str]:
    """Return the lists of other kinds at the root that give a class another number.

    Those without a background may be of another tool, which numbers objects only.
    """
    kinds = READERS.keys() - {kind}
    return [
        file.path.name
        for file in folder.files
        if len(file.relative.parts) == 1
        and file.path.name.lower() in kinds
        and _numbers_otherwise(_read_if_possible(file), classes)
    ]


def _read_if_possible(file: FoundFile) -> Classes:
    """Return the classes of a list that has a background; none if it lacks one or can't be read."""
    with suppress(ValueError, csv.Error, PetsegError):
        classes = READERS[file.path.name.lower()](read_text(file.path))
        return {} if lacks_background(classes, file.path.name) else classes
    return {}


def _numbers_otherwise(classes: Classes, others: Classes) -> bool:
    """Whether two lists give classes other numbers, not only because one counts from 1.

    A list in which a name has several numbers has a label for each image, perhaps.
    """
    common = [(classes[name], others[name]) for name in classes.keys() & others.keys()]
    steps = {
        first - second
        for (first, *rest), (second, *more) in common
        if isinstance(first, int) and isinstance(second, int) and not rest and not more
    }
    has_repeated = any(len(labels) > 1 for labels in classes.values())
    return not has_repeated and len(steps) > 1


def lacks_background(classes: ExportedClasses, source: str) -> bool:
    """Whether the classes are from a list of names, and none sounds like the background."""
    names = {name.strip("_ ").lower() for name in classes}
    return source.rpartition("/")[2].lower() in LISTS_OF_NAMES and not names & _BACKGROUNDS


def _nnunet_classes(folder: Folder) -> tuple[ExportedClasses | None, str]:
    """Return the classes in nnU-Net's dataset.json, if the folder has one that can be used."""
    for file in folder.at_root("dataset.json"):
        try:
            labels = read_json(file.path, _NnUNet).labels
            classes = group_by_class([_name_and_label(*item) for item in labels.items()])
            return classes, str(file.relative)
        except ValueError as error:
            folder.findings.note(f"Classes of {file.relative}, not used: {error}")
        except PetsegError:  # another tool's
            folder.read.discard(file.path)
    return None, ""


class _NnUNet(BaseModel):
    numTraining: int  # noqa: N815
    labels: dict[str, object]  # names and values, or values and names


def _name_and_label(first: str, second: object) -> tuple[str, Label]:
    is_first_version = isinstance(second, str) and first.isdecimal()
    name, value = (second, first) if is_first_version else (first, second)
    if not re.fullmatch("[0-9]{1,5}", str(value)) or int(str(value)) > MAX_LABEL:
        raise ValueError(f"the label of {name!r} is {value}, not one number up to {MAX_LABEL}")
    return str(name), int(str(value))
