"""Compare the labels that occur with the table of classes, and report what doesn't fit."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from petseg.core.labels import IGNORE_LABEL, MAX_CLASSES
from petseg.datasets.folder.classes.class_table import ClassTable, canonical, table_of
from petseg.datasets.folder.classes.label_text import as_yaml, name_of, ordered
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, IGNORE_NAME, Label
from petseg.datasets.folder.findings import Findings

CONVENTIONS = "Masks of 0 and 255 among masks of other labels"
_MAX_UNKNOWN = 8


@dataclass(frozen=True)
class FileLabels:
    """The labels that occur in one annotation."""

    file: str  # for messages
    pixels: Mapping[Label, int]
    colors: Mapping[Label, Label] = field(default_factory=dict)  # a palette's, by index
    lossy: bool = False

    def counted(self, by_color: bool) -> dict[Label, int]:
        """Return the pixels by index, or by the palette's colors."""
        if not (by_color and self.colors):
            return dict(self.pixels)
        counts: Counter[Label] = Counter()
        for label, count in self.pixels.items():
            counts[self.colors[label]] += count
        return dict(counts)


def report_repeated(
    findings: Findings, classes: Mapping[str, tuple[Label, ...]], *, of_shapes: bool
) -> None:
    """Report labels that two classes have. Those of shapes are names, and no ranges."""
    names_of: dict[Label, list[str]] = defaultdict(list)
    for name, labels in classes.items():
        for label in dict.fromkeys(map(canonical, labels)):
            names_of[label].append(name)
    repeated = [
        f"{label} ({' and '.join(names)})" for label, names in names_of.items() if len(names) > 1
    ]
    ranges = [
        (low, high, name)
        for name, labels in classes.items()
        if not of_shapes
        for low, high, _ in table_of({name: labels}).ranges
    ]
    repeated += [
        f"{max(low, first)} to {min(high, last)} ({name} and {other})"
        for (low, high, name), (first, last, other) in combinations(ranges, 2)
        if name != other and max(low, first) <= min(high, last)
    ]
    findings.problem("Labels that several classes have", repeated, "leave each in one class")
    odd = [f"{low}-{high} ({name})" for low, high, name in ranges if low > high]
    findings.problem("Ranges that end below their start", odd, "exchange their ends")


def report_lossy(findings: Findings, files: Sequence[str]) -> None:
    findings.problem(
        "Masks saved as JPEG or lossy WebP, which blurs labels",
        files,
        "export them as PNG, or, if they are black and white, set dataset.folder.classes to "
        '{background: "0-127", foreground: "128-255"}',
    )


def compare_conventions(
    findings: Findings,
    classes: Mapping[str, tuple[Label, ...]],
    files: Sequence[FileLabels],
    guessed: bool,
) -> None:
    """Report masks of 0 and 1 among masks of 0 and 255, unless 255 is a class.

    If as many masks have all three, 255 belongs to no class. Masks of 255 alone count only if the
    classes are `guessed`.
    """
    white = [{0, IGNORE_LABEL}, {IGNORE_LABEL}] if guessed else [{0, IGNORE_LABEL}]
    if any(IGNORE_LABEL in labels for labels in classes.values()):
        return
    others = [file for file in files if file.pixels.keys() - {0, IGNORE_LABEL}]
    alone = [file for file in files if file.pixels.keys() in white and not file.colors]
    both = [file for file in others if IGNORE_LABEL in file.pixels]
    if not alone or not others or len(both) >= len(alone):
        return
    names = list(classes)
    merged = {**classes, names[-1]: (*classes[names[-1]], IGNORE_LABEL)}
    findings.problem(
        f"{CONVENTIONS} ({len(others)}, {others[0].file})",
        [file.file for file in alone],
        f"set dataset.folder.classes to {as_yaml(merged)} if both mean the same, or to "
        f"{as_yaml({**classes, IGNORE_NAME: (IGNORE_LABEL,)})} if 255 belongs to no class",
    )


def compare(
    findings: Findings,
    classes: Mapping[str, tuple[Label, ...]],
    table: ClassTable,
    files: Sequence[FileLabels],
) -> ClassTable | None:
    """Report labels that are in no class. Return the table without classes that no label has."""
    pixels: Counter[Label] = Counter()
    files_with: dict[Label, list[str]] = defaultdict(list)
    for file in files:
        for label, count in file.counted(table.by_color).items():
            pixels[label] += count
            files_with[label].append(file.file)
    unknown = [label for label in pixels if table.class_of(label) is None]
    present = {table.class_of(label) for label in pixels}
    missing = [name for i, name in enumerate(table.names) if i not in present]
    if unknown:
        _report_unknown(
            findings, classes, table, pixels, files_with, _suggest(classes, table, pixels)
        )
    found = [name for i, name in enumerate(table.names) if i in present]
    if len(found) == 1 and not missing and not unknown:
        remedy = "check the masks, or correct dataset.folder.classes"
        findings.problem("All masks show one class", found, remedy)
    if missing and pixels and not unknown:
        if len(missing) > len(table.names) - 2:
            remedy = f"correct dataset.folder.classes{_suggest(classes, table, pixels)}"
            findings.problem("Classes that no image has", missing, remedy)
            return table
        findings.note("Classes that no image has, left out", missing)
        table = table_of({name: labels for name, labels in classes.items() if name not in missing})
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
    classes: Mapping[str, tuple[Label, ...]],
    table: ClassTable,
    pixels: Mapping[Label, int],
    files_with: Mapping[Label, Sequence[str]],
    suggested: str,
) -> None:
    unknown = ordered([label for label in pixels if table.class_of(label) is None])
    places = [
        f"{_shown(label)} ({pixels[label]} pixels in {len(files)} files: {files[0]})"
        for label, files in ((label, files_with[label]) for label in unknown)
    ]
    if unknown == [BACKGROUND_NAME] and (zero := table.class_of(0)) is not None:
        # Of images without a mask, with dataset.folder.unlabeled=background.
        name = table.names[zero] if zero != IGNORE_LABEL else IGNORE_NAME
        whole = as_yaml({name: (*classes.get(name, ()), BACKGROUND_NAME)})[1:-1]
        remedy = f"add it to {name} in dataset.folder.classes, as '{whole}'"
        findings.problem("Labels that are in no class", places, remedy)
        return
    some = unknown[:_MAX_UNKNOWN]
    lines = as_yaml({name_of(label): (label,) for label in some})[1:-1]
    ignored = as_yaml({IGNORE_NAME: tuple(some)})[1:-1]
    findings.problem(
        "Labels that are in no class",
        places,
        f"add them to dataset.folder.classes as '{lines}' or '{ignored}'{suggested}",
    )


def _suggest(
    classes: Mapping[str, tuple[Label, ...]], table: ClassTable, pixels: Mapping[Label, int]
) -> str:
    """Return a table that fits if there is an obvious one, else an empty text.

    The background may be missing from the names. If there are as many labels as names, they go
    together in order.
    """
    labels = [label for label in ordered(pixels) if label not in (BACKGROUND_NAME, IGNORE_NAME)]
    names = table.names
    unknown = [label for label in labels if table.class_of(label) is None]
    if unknown == [0] and BACKGROUND_NAME not in names:
        return f", or set it to {as_yaml({BACKGROUND_NAME: (0,), **classes})}"
    if BACKGROUND_NAME not in names and len(labels) == len(names) + 1 and labels[0] == 0:
        names = (BACKGROUND_NAME, *names)
    numbers = [label for label in labels if isinstance(label, int)]
    if not len(numbers) == len(labels) == len(names):
        return ""
    fitting = dict(zip(names, numbers, strict=True))
    if 0 in numbers and fitting.get(BACKGROUND_NAME, 0) != 0:
        return ""
    if _moves_a_label(fitting, table) and not _counts_up(classes, table):
        return ""
    return f", or set it to {as_yaml({name: (label,) for name, label in fitting.items()})}"


def _moves_a_label(fitting: Mapping[str, int], table: ClassTable) -> bool:
    """Whether a label would be in another class than in the table."""
    known = {name: table.class_of(label) for name, label in fitting.items()}
    return any(
        index is not None and index != IGNORE_LABEL and table.names[index] != name
        for name, index in known.items()
    )


def _counts_up(classes: Mapping[str, tuple[Label, ...]], table: ClassTable) -> bool:
    """Whether the classes have the labels 0, 1, 2, ... or 1, 2, 3, ..., as lists count them."""
    labels = [classes[name] for name in table.names]
    counts = [[(number,) for number, _ in enumerate(labels, first)] for first in (0, 1)]
    return labels in counts


def _shown(label: Label) -> str:
    return repr(label) if isinstance(label, str) else str(label)
