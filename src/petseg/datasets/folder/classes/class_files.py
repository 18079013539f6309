"""The names of classes in the files that labeling tools put next to the masks.

labelmap.txt       CVAT, VOC       label:red,green,blue:parts:actions
_classes.csv       Roboflow        Pixel Value, Class
class_dict.csv     CamVid          name,r,g,b
label_colors.txt   CamVid          red green blue name
class_names.txt, classes.txt, codes.txt, labels.txt,   a name per line, in the order of values, or
label_names.txt                                        with them (1: cat; cat 1)
dataset.json       nnU-Net         labels: {name: value} or {value: name}
"""

import csv
import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from pydantic import BaseModel

from petseg.core.errors import PetsegError
from petseg.datasets.folder.classes.labels import (
    BACKGROUND_KEY,
    IGNORE_KEY,
    MAX_LABEL,
    Key,
    color_key,
)
from petseg.datasets.folder.findings import as_example
from petseg.datasets.folder.found import ExportedClasses
from petseg.datasets.folder.listing.files import Folder
from petseg.datasets.folder.text_files import read_json, read_text

Classes = dict[str, tuple[Key, ...]]
_NUMBERED = re.compile(r"([0-9]+)(?:(\s*[:=,;)]\s*|\s+-\s+|\.\s+)(\S.*)|\s+([^\W\d].*))")
_NAME_AND_NUMBER = re.compile(r"(.*[^\s\d:=,;-])(?:\s*[:=,;]\s*|\s+-\s+|\s+)([0-9]+)")
_FEW = 32  # numbers below may be labels wherever they are
_HEADER_WORDS = {
    *("id", "ids", "idx", "index", "value", "label", "labels", "class", "classes", "name", "names"),
    *("pixel", "number", "category", "categories"),
}
_BACKGROUNDS = {BACKGROUND_KEY, "bg", "void", "unlabeled", "unlabelled", "none", "other"}
_LISTS = ("class_names.txt", "classes.txt", "codes.txt", "labels.txt")


def read_classes(folder: Folder) -> tuple[ExportedClasses | None, str]:
    """Return the classes and the name of the file that has them; (None, "") without one.

    A file with an invalid line is a problem, and so are files that disagree. If the root has none,
    those next to or above all masks count, as exports have them that lie side by side. Of several
    kinds at the root, the first counts; lists of numbers that disagree with it are a problem, too.
    """
    readers = {
        "labelmap.txt": _label_map,
        "_classes.csv": _roboflow,
        "class_dict.csv": _class_dict,
        "label_colors.txt": _label_colors,
        **dict.fromkeys(_LISTS, _names),
        "label_names.txt": _names,  # labelme_json_to_dataset's, in a folder for each image
    }
    kinds = (folder.at_root(name) for name in readers)
    files = next(filter(None, kinds), []) or folder.above_masks(readers)
    if not files:
        return _nnunet_classes(folder)
    found: list[tuple[Classes, str]] = []
    unreadable = []
    for file in files:
        try:
            reader = readers[file.path.name.lower()]
            found.append((reader(read_text(file.path)), str(file.relative)))
        except (ValueError, csv.Error) as error:
            unreadable.append(f"{file.relative} ({error})")
        except PetsegError as error:
            unreadable.append(as_example(error, folder.root))
    folder.findings.problem("Lists of classes that can't be read", unreadable, "fix them")
    if not found:
        return None, ""
    classes, source = found[0]
    others = [other for its_classes, other in found if its_classes != classes]
    others += _contradicting(folder, classes, files[0].path.name.lower(), readers)
    folder.findings.problem(
        f"Lists of classes that differ from {source}",
        others,
        "the same label must mean the same everywhere: export all images at once, or remove lists "
        "that don't describe the masks",
    )
    return classes, source


def _contradicting(
    folder: Folder, classes: Classes, kind: str, readers: Mapping[str, Callable[[str], Classes]]
) -> list[str]:
    """Return the lists of other kinds at the root that give a class another number.

    Those without a background may be of another tool, which numbers objects only.
    """
    found = []
    for name in (name for name in readers if name != kind):
        for file in folder.files:
            if file.path.name.lower() != name or len(file.relative.parts) > 1:
                continue
            with suppress(ValueError, csv.Error, PetsegError):
                its_classes = readers[name](read_text(file.path))
                if not lacks_background(its_classes, str(file.relative)):
                    found += [str(file.relative)] * _numbers_otherwise(its_classes, classes)
    return found


def _numbers_otherwise(one: Classes, other: Classes) -> bool:
    """Whether two lists give classes other numbers, not only because one counts from 1.

    A list in which a name has several numbers has a label for each image, perhaps.
    """
    keys = [(one[name], other[name]) for name in one.keys() & other.keys()]
    steps = {
        first - second
        for (first, *rest), (second, *more) in keys
        if isinstance(first, int) and isinstance(second, int) and not rest and not more
    }
    has_repeated = any(len(labels) > 1 for labels in one.values())
    return not has_repeated and len(steps) > 1


def lacks_background(classes: ExportedClasses, source: str) -> bool:
    """Whether the classes are from a list of names, and none sounds like the background."""
    names = {name.strip("_ ").lower() for name in classes}
    return source.rpartition("/")[2].lower() in _LISTS and not names & _BACKGROUNDS


def _merge(pairs: list[tuple[str, Key]]) -> Classes:
    """Group labels by class, background first. Raises ValueError if nothing is left."""
    classes: dict[str, list[Key]] = {}
    for name, key in pairs:
        clean = name.strip()
        name = BACKGROUND_KEY if clean.lower() in ("_background_", "background") else clean
        if name == "__ignore__":
            name = IGNORE_KEY
        if not name:
            raise ValueError("a class has no name")
        classes.setdefault(name, []).append(key)
    if not classes:
        raise ValueError("it names no classes")
    return {name: tuple(keys) for name, keys in classes.items()}


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]


def _color(fields: list[str]) -> Key:
    if len(fields) != 3 or not all(field.strip().isdigit() for field in fields):
        raise ValueError(f"{' '.join(fields)!r} is not a color of three numbers")
    red, green, blue = map(int, fields)
    if max(red, green, blue) > 255:
        raise ValueError(f"the color {red},{green},{blue} is above 255")
    return color_key(red, green, blue)


def _label_map(text: str) -> Classes:
    pairs = []
    for line in _lines(text):
        name, _, rest = line.rpartition(":") if line.count(":") < 2 else _split_label(line)
        pairs.append((name, _color(re.split(r"[,\s]+", rest.strip()))))
    return _merge(pairs)


def _split_label(line: str) -> tuple[str, str, str]:
    """Split "label:color:parts:actions"; the label may contain colons."""
    match = re.match(r"(.*?):(\d+,\s*\d+,\s*\d+)(:.*)?$", line)
    if match is None:
        raise ValueError(f"{line!r} is not label:red,green,blue:parts:actions")
    return match[1], ":", match[2]


def _rows(text: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    rows = [row for row in rows if any(row)]
    if not rows:
        raise ValueError("it names no classes")
    return rows


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _roboflow(text: str) -> Classes:
    pairs: list[tuple[str, Key]] = []
    rows = _rows(text)
    for row in rows if _is_number(rows[0][0]) else rows[1:]:
        if len(row) != 2 or not _is_number(row[0]) or int(row[0]) > MAX_LABEL:
            raise ValueError(f"{','.join(row)!r} is not a pixel value and a class")
        pairs.append((row[1], int(row[0])))
    return _merge(pairs)


def _class_dict(text: str) -> Classes:
    rows = _rows(text)
    has_header = not all(map(_is_number, rows[0][1:4]))
    return _merge([(row[0], _color(row[1:4])) for row in rows[has_header:]])


def _label_colors(text: str) -> Classes:
    fields = [line.split() for line in _lines(text)]
    return _merge([(" ".join(row[3:]), _color(row[:3])) for row in fields])


def _names(text: str) -> Classes:
    names = _lines(text)
    if names and names[0] == "__ignore__":
        names = names[1:]
    pairs, _ = _numbered(names)
    if not pairs and len(names) > 2 and not re.search(r"[0-9]", names[0]):
        others, is_sure = _numbered(names[1:])
        if set(re.findall(r"[^\W\d_]+", names[0].lower())) <= _HEADER_WORDS:
            pairs = others
        elif is_sure:
            raise ValueError(f"{names[0]!r} has no number, but the other lines have")
    return _merge(pairs or [(name, value) for value, name in enumerate(names)])


def _numbered(lines: list[str]) -> tuple[list[tuple[str, Key]], bool]:
    """Return the name and the label in each line, and whether a sign stands between all of them.

    Nothing unless every line has both. Without a sign, "2 doors" or "cat 1" may be a name: then
    names and labels must be distinct, and the labels small if they stand behind.
    """
    before = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    behind = [match for line in lines if (match := _NAME_AND_NUMBER.fullmatch(line))]
    found = [(match[3] or match[4], int(match[1])) for match in before]
    is_sure = bool(before) and all(match[2] for match in before)
    if len(found) < len(lines):
        found, is_sure = [(match[1].strip("\"'"), int(match[2])) for match in behind], False
    if len(found) < len(lines) or not lines:
        return [], False
    highest = max(number for _, number in found)
    distinct = len(lines) == len(dict(found)) == len({number for _, number in found})
    is_small = len(before) == len(lines) or highest < max(_FEW, 2 * len(lines))
    if not (is_sure or (distinct and is_small)):
        return [], False
    if highest > MAX_LABEL:
        raise ValueError(f"the label {highest} is above {MAX_LABEL}")
    pairs: list[tuple[str, Key]] = list(found)
    return pairs, is_sure


def _nnunet_classes(folder: Folder) -> tuple[ExportedClasses | None, str]:
    """Return the classes in nnU-Net's dataset.json, if the folder has one that can be used."""
    for file in folder.at_root("dataset.json"):
        try:
            labels = read_json(file.path, _NnUNet).labels
            return _merge([_name_and_label(*item) for item in labels.items()]), str(file.relative)
        except ValueError as error:
            folder.findings.note(f"Classes of {file.relative}, not used: {error}")
        except PetsegError:  # another tool's
            folder.read.discard(file.path)
    return None, ""


class _NnUNet(BaseModel):
    numTraining: int  # noqa: N815
    labels: dict[str, object]  # names and values, or values and names


def _name_and_label(first: str, second: object) -> tuple[str, Key]:
    is_first_version = isinstance(second, str) and first.isdecimal()
    name, value = (second, first) if is_first_version else (first, second)
    if not re.fullmatch("[0-9]{1,5}", str(value)) or int(str(value)) > MAX_LABEL:
        raise ValueError(f"the label of {name!r} is {value}, not one number up to {MAX_LABEL}")
    return str(name), int(str(value))
