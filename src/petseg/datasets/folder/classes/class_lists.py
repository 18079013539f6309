"""Read the lists of classes that labeling tools write.

labelmap.txt       CVAT, VOC       label:red,green,blue:parts:actions
_classes.csv       Roboflow        Pixel Value, Class
class_dict.csv     CamVid          name,r,g,b
label_colors.txt   CamVid          red green blue name
class_names.txt, classes.txt, codes.txt, labels.txt,   a name per line, in the order of values, or
label_names.txt                                        with them (1: cat; cat 1)
"""

import csv
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from petseg.datasets.folder.classes.labels import (
    BACKGROUND_NAME,
    IGNORE_NAME,
    MAX_LABEL,
    Label,
    color_label,
)
from petseg.images.files import IMAGE_SUFFIXES

Classes = dict[str, tuple[Label, ...]]
_NUMBERED = re.compile(r"([0-9]+)(?:(\s*[:=,;)]\s*|\s+-\s+|\.\s+)(\S.*)|\s+([^\W\d].*))")
_NAME_AND_NUMBER = re.compile(r"(.*[^\s\d:=,;-])(?:\s*[:=,;]\s*|\s+-\s+|\s+)([0-9]+)")
_TRAILING_LABEL_LIMIT = 32  # numbers below may be labels wherever they are
_HEADER_WORDS = {
    *("id", "ids", "idx", "index", "value", "label", "labels", "class", "classes", "name", "names"),
    *("pixel", "number", "category", "categories"),
}
LISTS_OF_NAMES = ("class_names.txt", "classes.txt", "codes.txt", "labels.txt")


def group_by_class(pairs: list[tuple[str, Label]]) -> Classes:
    """Group labels by class, background first. Raises ValueError if nothing is left."""
    classes: dict[str, list[Label]] = {}
    for name, label in pairs:
        clean = name.strip()
        name = BACKGROUND_NAME if clean.lower() in ("_background_", "background") else clean
        if name == "__ignore__":
            name = IGNORE_NAME
        if not name:
            raise ValueError("a class has no name")
        classes.setdefault(name, []).append(label)
    if not classes:
        raise ValueError("it names no classes")
    return {name: tuple(labels) for name, labels in classes.items()}


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]


def _color(fields: list[str]) -> Label:
    if len(fields) != 3 or not all(field.strip().isdigit() for field in fields):
        raise ValueError(f"{' '.join(fields)!r} is not a color of three numbers")
    red, green, blue = map(int, fields)
    if max(red, green, blue) > 255:
        raise ValueError(f"the color {red},{green},{blue} is above 255")
    return color_label(red, green, blue)


def _label_map(text: str) -> Classes:
    pairs = []
    for line in _lines(text):
        name, _, rest = line.rpartition(":") if line.count(":") < 2 else _split_label(line)
        pairs.append((name, _color(re.split(r"[,\s]+", rest.strip()))))
    return group_by_class(pairs)


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
    pairs: list[tuple[str, Label]] = []
    rows = _rows(text)
    for row in rows if _is_number(rows[0][0]) else rows[1:]:
        if len(row) != 2 or not _is_number(row[0]) or int(row[0]) > MAX_LABEL:
            raise ValueError(f"{','.join(row)!r} is not a pixel value and a class")
        pairs.append((row[1], int(row[0])))
    return group_by_class(pairs)


def _class_dict(text: str) -> Classes:
    rows = _rows(text)
    has_header = not all(map(_is_number, rows[0][1:4]))
    return group_by_class([(row[0], _color(row[1:4])) for row in rows[has_header:]])


def _label_colors(text: str) -> Classes:
    fields = [line.split() for line in _lines(text)]
    return group_by_class([(" ".join(row[3:]), _color(row[:3])) for row in fields])


def _names(text: str) -> Classes:
    names = _lines(text)
    if names and PurePosixPath(re.split(r"[\s,;]", names[0])[0]).suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(f"it lists images, such as {names[0]!r}, not classes")
    if names and names[0] == "__ignore__":
        names = names[1:]
    pairs, _ = _numbered(names)
    if not pairs and len(names) > 2 and not re.search(r"[0-9]", names[0]):
        others, is_sure = _numbered(names[1:])
        if set(re.findall(r"[^\W\d_]+", names[0].lower())) <= _HEADER_WORDS:
            pairs = others
        elif is_sure:
            raise ValueError(f"{names[0]!r} has no number, but the other lines have")
    return group_by_class(pairs or [(name, value) for value, name in enumerate(names)])


def _numbered(lines: list[str]) -> tuple[list[tuple[str, Label]], bool]:
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
    is_small = len(before) == len(lines) or highest < max(_TRAILING_LABEL_LIMIT, 2 * len(lines))
    if not (is_sure or (distinct and is_small)):
        return [], False
    if highest > MAX_LABEL:
        raise ValueError(f"the label {highest} is above {MAX_LABEL}")
    pairs: list[tuple[str, Label]] = list(found)
    return pairs, is_sure


READERS: dict[str, Callable[[str], Classes]] = {
    "labelmap.txt": _label_map,
    "_classes.csv": _roboflow,
    "class_dict.csv": _class_dict,
    "label_colors.txt": _label_colors,
    **dict.fromkeys(LISTS_OF_NAMES, _names),
    "label_names.txt": _names,  # labelme_json_to_dataset's, in a folder for each image
}
"""By the name of the file, the first to count first. They raise ValueError or csv.Error."""
