"""Fix the table of classes of a folder: as given, as exported, or guessed from the labels."""

from collections.abc import Iterable, Mapping, Sequence

from petseg.config.data_params import FolderParams
from petseg.core.labels import IGNORE_LABEL
from petseg.datasets.folder.classes.class_files import lacks_background
from petseg.datasets.folder.classes.class_table import ClassTable, canonical, table_of
from petseg.datasets.folder.classes.guessing import guess_classes, has_void, report_blurred
from petseg.datasets.folder.classes.label_checks import (
    FileLabels,
    compare,
    compare_conventions,
    report_lossy,
    report_repeated,
)
from petseg.datasets.folder.classes.label_text import as_yaml
from petseg.datasets.folder.classes.labels import BACKGROUND_NAME, IGNORE_NAME, Label
from petseg.datasets.folder.classes.palette_checks import (
    compare_black,
    compare_indices,
    compare_palettes,
)
from petseg.datasets.folder.found import ExportedClasses
from petseg.datasets.folder.index import FolderIndex
from petseg.datasets.folder.masks.voc import PASCAL_VOC


def resolve_classes(
    params: FolderParams, index: FolderIndex, files: Sequence[FileLabels]
) -> ClassTable | None:
    """Return the table that `dataset.folder.classes` means for this folder.

    What doesn't fit is among the index's findings. None if there is no table, which is a problem.
    """
    findings = index.findings
    if params.classes == "auto":
        _note_uncertain_names(index)
    lossy = [file.file for file in files if file.lossy]
    before = len(findings.problems)
    classes = _given(params, index)
    if len(findings.problems) > before:
        return None
    implicit_ignore = classes is None or isinstance(params.classes, tuple)
    if classes is None:
        if lossy and not index.has_shapes:
            report_lossy(findings, lossy)
            return None
        classes = guess_classes(index, files)
        if classes is None:
            return None
    if not index.has_shapes and implicit_ignore:
        compare_conventions(findings, classes, files, guessed=params.classes == "auto")
        labels = {label for labels in classes.values() for label in labels}
        if IGNORE_LABEL not in labels and has_void({*labels, IGNORE_LABEL}):
            classes = {**classes, IGNORE_NAME: (*classes.get(IGNORE_NAME, ()), IGNORE_LABEL)}
    report_repeated(findings, classes, of_shapes=index.has_shapes)
    table = table_of(classes)
    if _report_mixtures(index, classes, table, files):
        return table
    if not table.by_color:
        agree = compare_palettes(findings, files)
        if agree and implicit_ignore and not index.has_shapes:
            compare_black(findings, classes, files)
            compare_indices(findings, classes, files)
    return compare(findings, classes, table, files)


def _report_mixtures(
    index: FolderIndex,
    classes: Mapping[str, tuple[Label, ...]],
    table: ClassTable,
    files: Sequence[FileLabels],
) -> bool:
    """Report masks whose labels are mixtures of others: of JPEG, or blurred."""
    lossy = [
        file.file
        for file in files
        if file.lossy
        and not (table.ranges and all(table.class_of(label) is not None for label in file.pixels))
    ]
    if lossy:
        report_lossy(index.findings, lossy)
        return True
    labels = {label for file in files for label in file.counted(table.by_color)}
    is_complete = all(table.class_of(label) is not None for label in labels)
    if index.has_shapes or table.ranges or is_complete:
        return False
    return report_blurred(index.findings, files, classes if len(table.names) <= 2 else None)


def _note_uncertain_names(index: FolderIndex) -> None:
    if index.classes_from == PASCAL_VOC:
        index.findings.note(
            "No file names the classes, but the masks have Pascal VOC's colors, so its names are "
            "taken; if they are others (LabelMe has the same colors), set dataset.folder.classes"
        )
    elif not index.has_shapes and lacks_background(index.classes or {}, index.classes_from):
        named = {label: name for name, labels in (index.classes or {}).items() for label in labels}
        if 0 in named:
            index.findings.note(
                f"{index.classes_from} names no background, so the label 0 is {named[0]}; if it is "
                "the background, correct the file"
            )


def _given(params: FolderParams, index: FolderIndex) -> dict[str, tuple[Label, ...]] | None:
    """Return the table that the parameters or the export give; None if neither does."""
    exported = dict(index.classes or {})
    if params.classes == "auto":
        return exported or None
    if isinstance(params.classes, dict):
        table = {name: _expand(labels, exported) for name, labels in params.classes.items()}
        used = {canonical(label) for labels in table.values() for label in labels}
        void = [label for label in exported.get(IGNORE_NAME, ()) if canonical(label) not in used]
        if not any(isinstance(label, str) and label.startswith("#") for label in used):
            void = [
                label for label in void if isinstance(label, int)
            ]  # a color would make all count
        return {**table, IGNORE_NAME: (*table.get(IGNORE_NAME, ()), *void)} if void else table
    names = tuple(params.classes)
    if len(names) == 1 and names[0] != BACKGROUND_NAME:
        index.findings.note(f"dataset.folder.classes has one name; {BACKGROUND_NAME} is added")
        names = (BACKGROUND_NAME, *names)
    unknown = [name for name in names if name not in exported] if exported else []
    by_number = not index.has_shapes and all(
        isinstance(label, int) for labels in exported.values() for label in labels
    )
    if unknown and not by_number:
        index.findings.problem(
            f"Names in dataset.folder.classes that {index.classes_from} lacks",
            unknown,
            f"use its names, {', '.join(exported)}, or a table",
        )
    elif unknown:
        _report_renamed(index, names, exported)
    if exported and not (unknown and by_number):
        ignored = {IGNORE_NAME: exported[IGNORE_NAME]} if IGNORE_NAME in exported else {}
        return {name: exported.get(name, (name,)) for name in names} | ignored
    if index.format == "yolo":  # without data.yaml: numbers, from 0, without the background
        others = [name for name in names if name != BACKGROUND_NAME]
        return {n: (BACKGROUND_NAME if n == BACKGROUND_NAME else others.index(n),) for n in names}
    if index.has_shapes:
        return {name: (name,) for name in names}
    return {name: (value,) for value, name in enumerate(names)}


def _report_renamed(index: FolderIndex, names: Sequence[str], exported: ExportedClasses) -> None:
    """Report names that replace those of the export. Others must keep their labels.

    They change if the only new name is that of a background which the export lacks.
    """
    moved = [
        f"{name}: {value}, but {exported[name][0]} in {index.classes_from}"
        for value, name in enumerate(names)
        if name in exported and value not in exported[name]
    ]
    known = {name: labels for name, labels in exported.items() if name != IGNORE_NAME}
    if tuple(names) != (BACKGROUND_NAME, *exported):
        index.findings.problem(
            "Names in dataset.folder.classes that would get another label than in the list",
            moved,
            f"write the labels, as in {as_yaml(known)}",
        )
    index.findings.note(
        f"Names of dataset.folder.classes that replace those in {index.classes_from}",
        [f"{name} (label {value})" for value, name in enumerate(names) if name not in exported],
    )


def _expand(labels: Iterable[Label], exported: ExportedClasses) -> tuple[Label, ...]:
    """Replace the names of exported classes by their labels.

    The background keeps its name as well, which is the label of images without annotation.
    """
    found: list[Label] = []
    for label in labels:
        found += exported.get(label, (label,)) if isinstance(label, str) else (label,)
        found += [label] * (label == BACKGROUND_NAME)
    return tuple(found)
