"""Fix the table of classes of a folder, and compare it with the labels that occur."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from petseg.config.params import FolderParams
from petseg.core.labels import IGNORE_LABEL, MAX_CLASSES
from petseg.datasets.folder.classes import ClassTable, table_of
from petseg.datasets.folder.findings import Findings
from petseg.datasets.folder.found import ExportedClasses
from petseg.datasets.folder.index import FolderIndex
from petseg.datasets.folder.labels import BACKGROUND_KEY, IGNORE_KEY, Key

NAMELESS = "The masks have no names for their labels"
CONVENTIONS = "Masks of 0 and 255 among masks of other labels"
_FOREGROUND = "foreground"
_MAX_UNKNOWN = 8
_MAX_GRAYS = 64  # of masks that are not blurred, unless all their labels have names
_PLAIN_YAML = re.compile(r"[^\W\d][\w .+/-]*[\w+]|[^\W\d]")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none", "auto"}


@dataclass(frozen=True)
class FileLabels:
    """The labels that occur in one annotation."""

    file: str  # for messages
    pixels: Mapping[Key, int]
    colors: Mapping[Key, Key] = field(default_factory=dict)  # a palette's, by index
    lossy: bool = False

    def counted(self, by_color: bool) -> dict[Key, int]:
        """Return the pixels by index, or by the palette's colors."""
        if not (by_color and self.colors):
            return dict(self.pixels)
        counts: Counter[Key] = Counter()
        for key, count in self.pixels.items():
            counts[self.colors[key]] += count
        return dict(counts)


def resolve_classes(
    params: FolderParams, index: FolderIndex, files: Sequence[FileLabels]
) -> ClassTable | None:
    """Return the table that `dataset.folder.classes` means for this folder.

    What doesn't fit is among the index's findings. None if there is no table, which is a problem.
    """
    findings = index.findings
    lossy = [file.file for file in files if file.lossy]
    before = len(findings.problems)
    classes = _given(params, index)
    if len(findings.problems) > before:
        return None
    implicit_ignore = classes is None or isinstance(params.classes, tuple)
    if classes is None:
        if lossy and not index.has_shapes:
            _report_lossy(findings, lossy)
            return None
        classes = _guess(index, files)
        if classes is None:
            return None
    if not index.has_shapes and implicit_ignore:
        _compare_conventions(findings, classes, files)
        if not any(IGNORE_LABEL in keys for keys in classes.values()):
            classes = {**classes, IGNORE_KEY: (*classes.get(IGNORE_KEY, ()), IGNORE_LABEL)}
    table = table_of(classes)
    blurred = [
        file.file
        for file in files
        if file.lossy and not all(_in_range(table, key) for key in file.pixels)
    ]
    if blurred:
        _report_lossy(findings, blurred)
        return table
    if not table.by_color:
        agree = _compare_palettes(findings, files)
        if agree and implicit_ignore and not index.has_shapes:
            _compare_black(findings, classes, files)
    return _compare(findings, classes, table, files)


def as_yaml(classes: Mapping[str, Iterable[Key]]) -> str:
    """Return a table of classes as one line of YAML."""

    def text(value: Key) -> str:
        plain = _PLAIN_YAML.fullmatch(str(value)) and str(value).lower() not in _YAML_WORDS
        return (
            str(value) if isinstance(value, int) or plain else json.dumps(value, ensure_ascii=False)
        )

    def labels(keys: Iterable[Key]) -> str:
        texts = [text(key) for key in keys]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    return "{" + ", ".join(f"{text(name)}: {labels(keys)}" for name, keys in classes.items()) + "}"


def _given(params: FolderParams, index: FolderIndex) -> dict[str, tuple[Key, ...]] | None:
    """Return the table that the parameters or the export give; None if neither does."""
    exported = dict(index.classes or {})
    if params.classes == "auto":
        return exported or None
    if isinstance(params.classes, dict):
        table = {name: _expand(keys, exported) for name, keys in params.classes.items()}
        return {IGNORE_KEY: exported[IGNORE_KEY], **table} if IGNORE_KEY in exported else table
    names = tuple(params.classes)
    if len(names) == 1 and names[0] != BACKGROUND_KEY:
        index.findings.note(f"dataset.folder.classes has one name; {BACKGROUND_KEY} is added")
        names = (BACKGROUND_KEY, *names)
    unknown = [name for name in names if name not in exported] if exported else []
    by_number = not index.has_shapes and all(
        isinstance(key, int) for keys in exported.values() for key in keys
    )
    if unknown and not by_number:
        index.findings.problem(
            f"Names in dataset.folder.classes that {index.classes_from} lacks",
            unknown,
            f"use its names, {', '.join(exported)}, or a table",
        )
    elif unknown:
        index.findings.note(
            f"Names of dataset.folder.classes that replace those in {index.classes_from}", unknown
        )
    if exported and not (unknown and by_number):
        ignored = {IGNORE_KEY: exported[IGNORE_KEY]} if IGNORE_KEY in exported else {}
        return {name: exported.get(name, (name,)) for name in names} | ignored
    if index.format == "yolo":  # without data.yaml: numbers, from 0, without the background
        others = [name for name in names if name != BACKGROUND_KEY]
        return {n: (BACKGROUND_KEY if n == BACKGROUND_KEY else others.index(n),) for n in names}
    if index.has_shapes:
        return {name: (name,) for name in names}
    return {name: (value,) for value, name in enumerate(names)}


def _expand(keys: Iterable[Key], exported: ExportedClasses) -> tuple[Key, ...]:
    """Replace the names of exported classes by their labels."""
    found: list[Key] = []
    for key in keys:
        found += exported.get(key, (key,)) if isinstance(key, str) else (key,)
    return tuple(found)


def _guess(index: FolderIndex, files: Sequence[FileLabels]) -> dict[str, tuple[Key, ...]] | None:
    """Return a table for labels that nobody has named, if there is little to guess."""
    seen = {key for file in files for key in file.pixels}
    findings = index.findings
    if index.has_shapes:
        labels = sorted(seen - {BACKGROUND_KEY, IGNORE_KEY}, key=str)
        classes: dict[str, tuple[Key, ...]] = {BACKGROUND_KEY: (BACKGROUND_KEY,)}
        classes.update((_name_of(label), (label,)) for label in labels)
        findings.note(f"The classes are the labels that occur: {as_yaml(classes)}")
        return classes
    labels = ordered(seen - {BACKGROUND_KEY, IGNORE_KEY})
    others = [label for label in labels if label != 0]
    if others and others[-1] == IGNORE_LABEL and len(others) == 2:
        others = others[:1]
    if 0 in labels and len(others) == 1:
        classes = {BACKGROUND_KEY: (0,), _FOREGROUND: (others[0],)}
        findings.note(
            f"The masks have no names for their labels; dataset.folder.classes is taken as "
            f"{as_yaml(classes)}"
        )
        return classes
    if len(labels) > _MAX_GRAYS and 0 in labels and IGNORE_LABEL in labels:
        findings.problem(
            f"The masks have {len(labels)} different labels, so they are blurred or were resized",
            remedy="export them again, or, if they are black and white, set dataset.folder.classes "
            'to {background: "0-127", foreground: "128-255"}',
        )
    elif labels:
        table = name_labels(labels)
        findings.problem(
            NAMELESS, remedy=f"set dataset.folder.classes, for example to {as_yaml(table)}"
        )
        if table.pop(IGNORE_KEY, None):
            _compare_conventions(findings, table, files)
    return None


def name_labels(labels: Iterable[Key]) -> dict[str, tuple[Key, ...]]:
    """Return a table with a name for each label of a mask; 255 among several is in no class."""
    labels = ordered(set(labels) - {BACKGROUND_KEY, IGNORE_KEY})
    ignored = len(labels) > 2 and IGNORE_LABEL in labels
    named = [key for key in labels if not (ignored and key == IGNORE_LABEL)]
    table: dict[str, tuple[Key, ...]] = {
        BACKGROUND_KEY if key == 0 else _name_of(key): (key,) for key in named
    }
    return table | ({IGNORE_KEY: (IGNORE_LABEL,)} if ignored else {})


def _name_of(label: Key) -> str:
    text = str(label).strip("#")
    return f"class_{text}" if isinstance(label, int) or str(label).startswith("#") else text


def ordered(labels: Iterable[Key]) -> list[Key]:
    """Return labels in order: numbers, then colors and names."""
    return sorted(labels, key=lambda label: (isinstance(label, str), str(label).zfill(9)))


def _in_range(table: ClassTable, key: Key) -> bool:
    return isinstance(key, int) and any(low <= key <= high for low, high, _ in table.ranges)


def _report_lossy(findings: Findings, files: Sequence[str]) -> None:
    findings.problem(
        "Masks saved as JPEG or lossy WebP, which blurs labels",
        files,
        "export them as PNG, or, if they are black and white, set dataset.folder.classes to "
        '{background: "0-127", foreground: "128-255"}',
    )


def _compare_conventions(
    findings: Findings, classes: Mapping[str, tuple[Key, ...]], files: Sequence[FileLabels]
) -> None:
    """Report masks of 0 and 1 among masks of 0 and 255, unless 255 is a class."""
    if any(IGNORE_LABEL in keys for keys in classes.values()):
        return
    with_255 = [file for file in files if IGNORE_LABEL in file.pixels and not file.colors]
    others = [file for file in files if file.pixels.keys() - {0, IGNORE_LABEL}]
    if not with_255 or not others or any(IGNORE_LABEL in file.pixels for file in others):
        return
    names = list(classes)
    both = {**classes, names[-1]: (*classes[names[-1]], IGNORE_LABEL)}
    findings.problem(
        f"{CONVENTIONS} ({len(others)}, {others[0].file})",
        [file.file for file in with_255],
        f"set dataset.folder.classes to {as_yaml(both)} if both mean the same, or to "
        f"{as_yaml({**classes, IGNORE_KEY: (IGNORE_LABEL,)})} if 255 belongs to no class",
    )


def _compare_palettes(findings: Findings, files: Sequence[FileLabels]) -> bool:
    """Report colors that have different indices in different files; whether there are none."""
    files_of: dict[Key, dict[Key, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        if len(set(file.colors.values())) == len(file.colors):
            for number, color in file.colors.items():
                files_of[color][number].append(file.file)
    moving = [color for color, by_number in files_of.items() if len(by_number) > 1]
    if not moving:
        return True
    places = [
        f"{as_hex(color)} is {' and '.join(map(str, sorted(files_of[color], key=str)))} "
        f"({min(files_of[color].values(), key=len)[0]})"
        for color in moving
    ]
    colors = {
        BACKGROUND_KEY if color == 0 else _name_of(color): (as_hex(color),)
        for color in ordered(files_of)[:_MAX_UNKNOWN]
    }
    findings.problem(
        "Palettes in which a color has different indices",
        places,
        f"set dataset.folder.classes to a table of colors, for example {as_yaml(colors)}",
    )
    return False


def as_hex(color: Key) -> str:
    """Return a color, or the number of a shade of gray, as "#rrggbb"."""
    return f"#{color:02x}{color:02x}{color:02x}" if isinstance(color, int) else color


def _compare_black(
    findings: Findings, classes: Mapping[str, tuple[Key, ...]], files: Sequence[FileLabels]
) -> None:
    """Report palettes in which black is an object and the background has a color.

    Image editors number a palette's colors as they like.
    """
    if next(iter(classes)) != BACKGROUND_KEY or classes[BACKGROUND_KEY] != (0,):
        return
    odd = [file.file for file in files if file.colors.get(0, 0) != 0 and 0 in file.colors.values()]
    if odd:
        as_it_is = {name: keys for name, keys in classes.items() if name != IGNORE_KEY}
        findings.problem(
            f"Palettes in which {BACKGROUND_KEY}, index 0, has a color and another index is black",
            odd,
            "set dataset.folder.classes to a table of colors or indices; if the indices are "
            f"right, to {as_yaml(as_it_is)}",
        )


def _compare(
    findings: Findings,
    classes: Mapping[str, tuple[Key, ...]],
    table: ClassTable,
    files: Sequence[FileLabels],
) -> ClassTable | None:
    """Report labels that are in no class. Return the table without classes that no label has."""
    pixels: Counter[Key] = Counter()
    files_with: dict[Key, list[str]] = defaultdict(list)
    for file in files:
        for key, count in file.counted(table.by_color).items():
            pixels[key] += count
            files_with[key].append(file.file)
    unknown = [key for key in pixels if table.class_of(key) is None]
    present = {table.class_of(key) for key in pixels}
    missing = [name for i, name in enumerate(table.names) if i not in present]
    if unknown:
        _report_unknown(findings, ordered(unknown), pixels, files_with, _suggest(table, pixels))
    if missing and pixels and not unknown:
        if len(missing) > len(table.names) - 2:
            remedy = f"correct dataset.folder.classes{_suggest(table, pixels)}"
            findings.problem("Classes that no image has", missing, remedy)
            return table
        findings.note("Classes that no image has, left out", missing)
        table = table_of({name: keys for name, keys in classes.items() if name not in missing})
    if len(table.names) > MAX_CLASSES:
        findings.problem(
            f"{len(table.names)} classes",
            remedy=f"merge some in dataset.folder.classes, so that at most {MAX_CLASSES} are left",
        )
        return None
    odd = [repr(name) for name in table.names if not name.isprintable() or name == "ignored"]
    if odd:
        remedy = "give them other names in dataset.folder.classes"
        findings.problem("Names of classes that can't be used", odd, remedy)
    return table


def _report_unknown(
    findings: Findings,
    unknown: Sequence[Key],
    pixels: Mapping[Key, int],
    files_with: Mapping[Key, Sequence[str]],
    suggested: str,
) -> None:
    places = [
        f"{_shown(key)} ({pixels[key]} pixels in {len(files)} files: {files[0]})"
        for key, files in ((key, files_with[key]) for key in unknown)
    ]
    some = unknown[:_MAX_UNKNOWN]
    lines = as_yaml({_name_of(key): (key,) for key in some})[1:-1]
    ignored = as_yaml({IGNORE_KEY: tuple(some)})[1:-1]
    findings.problem(
        "Labels that are in no class",
        places,
        f"add them to dataset.folder.classes as '{lines}' or '{ignored}'{suggested}",
    )


def _suggest(table: ClassTable, pixels: Mapping[Key, int]) -> str:
    """Return the table that fits if there are as many labels as classes, else an empty text."""
    labels = [key for key in ordered(pixels) if key not in (BACKGROUND_KEY, IGNORE_KEY)]
    names = table.names
    if len(labels) != len(names) or not all(isinstance(key, int) for key in labels):
        return ""
    fitting = {name: (label,) for name, label in zip(names, labels, strict=True)}
    return f", or set it to {as_yaml(fitting)}"


def _shown(key: Key) -> str:
    return repr(key) if isinstance(key, str) else str(key)
