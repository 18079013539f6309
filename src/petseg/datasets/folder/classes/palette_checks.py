"""Compare the palettes of masks, whose indices and colors may mean different things in each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from petseg.datasets.folder.classes.label_checks import FileLabels
from petseg.datasets.folder.classes.label_text import as_hex, as_yaml, name_of, ordered
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, IGNORE_NAME, Label
from petseg.datasets.folder.findings import Findings

PALETTES = "Palettes in which"
_MAX_COLORS = 8  # in the table that is proposed


def compare_palettes(findings: Findings, files: Sequence[FileLabels]) -> bool:
    """Report colors that have different indices in different files; whether there are none."""
    files_of: dict[Label, dict[Label, list[str]]] = defaultdict(lambda: defaultdict(list))
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
        BACKGROUND_NAME if color == 0 else name_of(color): (as_hex(color),)
        for color in ordered(files_of)[:_MAX_COLORS]
    }
    findings.problem(
        f"{PALETTES} a color has different indices",
        places,
        f"set dataset.folder.classes to a table of colors, for example {as_yaml(colors)}",
    )
    return False


def _without_unused_ignored(
    classes: Mapping[str, tuple[Label, ...]], files: Sequence[FileLabels]
) -> dict[str, tuple[Label, ...]]:
    """Return the classes, and those of the ignored labels that occur."""
    table = dict(classes)
    ignored = table.pop(IGNORE_NAME, ())
    occurring = tuple(label for label in ignored if any(label in file.pixels for file in files))
    return table | ({IGNORE_NAME: occurring} if occurring else {})


def compare_indices(
    findings: Findings, classes: Mapping[str, tuple[Label, ...]], files: Sequence[FileLabels]
) -> None:
    """Report indices that have different colors in different palettes: they may be two classes."""
    colors_of: dict[Label, dict[Label, str]] = defaultdict(dict)
    for file in files:
        for number, color in file.colors.items():
            colors_of[number].setdefault(color, file.file)
    several = []
    for number in ordered(colors_of):
        colors = [f"{as_hex(color)} ({file})" for color, file in colors_of[number].items()]
        if len(colors) > 1:
            more = f" and {len(colors) - 2} other colors" if len(colors) > 2 else ""
            several.append(f"{number} is {colors[0]} and {colors[1]}{more}")
    findings.problem(
        f"{PALETTES} an index has different colors",
        several,
        "set dataset.folder.classes to a table of colors; if the indices are right, to "
        f"{as_yaml(_without_unused_ignored(classes, files))}",
    )


def compare_black(
    findings: Findings, classes: Mapping[str, tuple[Label, ...]], files: Sequence[FileLabels]
) -> None:
    """Report palettes in which black is an object and the background has a color.

    Image editors number a palette's colors as they like.
    """
    if next(iter(classes)) != BACKGROUND_NAME or classes[BACKGROUND_NAME] != (0,):
        return
    odd = [file.file for file in files if file.colors.get(0, 0) != 0 and 0 in file.colors.values()]
    if odd:
        findings.problem(
            f"{PALETTES} {BACKGROUND_NAME}, index 0, has a color and another index is black",
            odd,
            "set dataset.folder.classes to a table of colors or indices; if the indices are "
            f"right, to {as_yaml(_without_unused_ignored(classes, files))}",
        )
