"""Guess the table of classes from the labels that occur, where nobody has named them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from petseg.core.labels import IGNORE_LABEL, MAX_CLASSES
from petseg.datasets.folder.classes.label_checks import FileLabels, compare_conventions
from petseg.datasets.folder.classes.label_text import as_hex, as_yaml, name_of, ordered
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, IGNORE_NAME, Label
from petseg.datasets.folder.classes.palette_checks import compare_indices, compare_palettes
from petseg.datasets.folder.findings import Findings
from petseg.datasets.folder.index import FolderIndex

NAMELESS = "The masks have no names for their labels"
_FOREGROUND = "foreground"
_FEW_NUMBERS = 32  # lower ones are no gray colors among others
_FEW_GRAYS, _MAX_GRAYS = 8, 64  # of masks that are never or always counted as blurred
_LARGE, _SHARE_OF_LARGE = 3, 0.8  # so many labels have that share if only edges are blurred


def guess_classes(
    index: FolderIndex, files: Sequence[FileLabels]
) -> dict[str, tuple[Label, ...]] | None:
    """Return a table for labels that nobody has named, if there is little to guess."""
    if not files:  # no annotation could be read, which is reported already
        return None
    findings, labels = index.findings, _labels_of(files)
    classes: dict[str, tuple[Label, ...]]
    if index.has_shapes:
        names = {name_of(label): (label,) for label in labels}
        classes = {BACKGROUND_NAME: (BACKGROUND_NAME,), **names}
        findings.note(f"The classes are the labels that occur: {as_yaml(classes)}")
        return classes
    if _report_mixed(findings, files):
        return None
    others = [label for label in labels if label != 0]
    if len(others) == 2 and has_void(others):
        others = others[:1]
    if 0 in labels and len(others) == 1 and not color_of_zero(files):
        classes = {BACKGROUND_NAME: (0,), _FOREGROUND: (others[0],)}
        findings.note(
            f"The masks have no names for their labels; dataset.folder.classes is assumed to be "
            f"{as_yaml(classes)}"
        )
        return classes
    if not report_blurred(findings, files):
        _report_nameless(findings, files)
    return None


def _report_mixed(findings: Findings, files: Sequence[FileLabels]) -> bool:
    """Report masks of numbers among masks in color, and return whether there are any."""
    in_color = [file for file in files if any(str(label).startswith("#") for label in file.pixels)]
    in_numbers = [
        file.file
        for file in files
        if file not in in_color and file.pixels.keys() & set(range(1, _FEW_NUMBERS))
    ]
    if not in_color or not in_numbers:
        return False
    findings.problem(
        f"Masks of numbers among masks in color ({len(in_color)}, {in_color[0].file})",
        in_numbers,
        "export all in one way, or set dataset.folder.classes to a table with both, such as "
        '{background: 0, cat: [1, "#804080"]}',
    )
    return True


def _report_nameless(findings: Findings, files: Sequence[FileLabels]) -> None:
    """Report labels without names, and propose a table, if there are any and not too many."""
    table = name_labels(files)
    num_labels = len(_labels_of(files))
    if len(table.keys() - {IGNORE_NAME}) > MAX_CLASSES:
        findings.problem(
            f"{num_labels} different labels in the masks, but at most {MAX_CLASSES} classes",
            remedy="if they number objects, set dataset.folder.classes to "
            '{background: 0, object: "1-65535"}, or else to a table that merges some',
        )
    elif num_labels:
        remedy = f"set dataset.folder.classes, for example to {as_yaml(table)}"
        if color := color_of_zero(files):
            remedy += f" ({explain_color_of_zero(color)})"
        findings.problem(NAMELESS, remedy=remedy)
        if compare_palettes(findings, files):
            compare_indices(findings, table, files)
        if table.pop(IGNORE_NAME, None):
            compare_conventions(findings, table, files, guessed=True)
    else:
        findings.problem(
            "No image has a mask or other annotation, so there are no classes",
            remedy="check the names of the masks",
        )


def report_blurred(
    findings: Findings,
    files: Sequence[FileLabels],
    classes: Mapping[str, Sequence[Label]] | None = None,
) -> bool:
    """Report masks that are blurred, and return whether they are.

    For those in black and white, a table of two ranges is proposed, with the names of `classes`.
    """
    gray_palettes = all(file.colors for file in files) and all(
        isinstance(color, int) for file in files for color in file.colors.values()
    )
    if not _is_blurred(files, by_color=gray_palettes):
        return False
    remedy = "export them again, or, if they are black and white, "
    if gray_palettes:
        remedy += "save them in gray, without a palette; or "
        remedy += "set dataset.folder.classes to a table of all labels"
    else:
        names = {label: name for name, labels in (classes or {}).items() for label in labels}
        black, white = names.get(0, BACKGROUND_NAME), names.get(IGNORE_LABEL, _FOREGROUND)
        ranges = as_yaml({black: ("0-127",), white: ("128-255",)})
        remedy += f"set dataset.folder.classes to {ranges}, or to a table of all labels"
    num_labels = len(_labels_of(files))
    findings.problem(
        f"The masks have {num_labels} different labels, so they are blurred or were resized",
        remedy=remedy,
    )
    return True


def _is_blurred(files: Sequence[FileLabels], *, by_color: bool) -> bool:
    """Whether labels look like mixtures: more than anybody has, or many between a few large ones.

    Numbers in sequence are never mixtures unless there are more than 64 from 0 to 255, nor are
    numbers above 255. With `by_color`, the palette's grays are the labels, not its indices.
    """
    pixels = sum((Counter(file.counted(by_color)) for file in files), Counter[Label]())
    labels = ordered(pixels.keys() - {BACKGROUND_NAME, IGNORE_NAME})
    if by_color and _is_even([label for label in labels if isinstance(label, int)]):
        return False
    has_colors = any(isinstance(label, str) for label in labels)
    if not has_colors and any(isinstance(label, int) and label > IGNORE_LABEL for label in labels):
        return False
    if len(labels) > _MAX_GRAYS:
        return has_colors or (0 in labels and IGNORE_LABEL in labels)
    numbers = [label for label in labels if isinstance(label, int) and 0 < label < IGNORE_LABEL]
    in_sequence = not has_colors and (not numbers or numbers[-1] < 2 * len(numbers))
    large = sum(count for _, count in pixels.most_common(_LARGE))
    return len(labels) > _FEW_GRAYS and not in_sequence and large > _SHARE_OF_LARGE * pixels.total()


def _is_even(grays: Sequence[int]) -> bool:
    """Whether grays are a ramp for a few labels, with equal steps but for rounding."""
    steps = [after - before for before, after in pairwise(grays)]
    return bool(steps) and max(steps) - min(steps) <= 1


def has_void(labels: Iterable[Label]) -> bool:
    """Whether 255 stands for no class, as among 0, 1, 2; among grays or colors it is white."""
    others = set(labels) - {0, BACKGROUND_NAME, IGNORE_NAME}
    numbers = {label for label in others if isinstance(label, int)} - {IGNORE_LABEL}
    return others == numbers | {IGNORE_LABEL} and (
        not numbers or max(numbers) < max(_FEW_NUMBERS, 2 * len(numbers))
    )


def explain_color_of_zero(color: str) -> str:
    return f"index 0 of their palettes is {color}, so it may not be the background"


def color_of_zero(files: Iterable[FileLabels]) -> str:
    """Return the color of index 0 in palettes where it isn't black; empty if there are none."""
    colors = {file.colors.get(0, 0) for file in files} - {0}
    return as_hex(ordered(colors)[0]) if colors else ""


def name_labels(files: Sequence[FileLabels]) -> dict[str, tuple[Label, ...]]:
    """Return a table with a name for each label of masks; 255 may be in no class."""
    labels = _labels_of(files)
    ignored = len(labels) > 2 and has_void(labels)
    named = [label for label in labels if not (ignored and label == IGNORE_LABEL)]
    table: dict[str, tuple[Label, ...]] = {
        BACKGROUND_NAME if label == 0 and not color_of_zero(files) else name_of(label): (label,)
        for label in named
    }
    return table | ({IGNORE_NAME: (IGNORE_LABEL,)} if ignored else {})


def _labels_of(files: Iterable[FileLabels]) -> list[Label]:
    """Return the labels that occur, in order, without those that are names already."""
    seen = {label for file in files for label in file.pixels}
    return ordered(seen - {BACKGROUND_NAME, IGNORE_NAME})
