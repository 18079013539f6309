"""The parameters of a folder: read from params.yaml, shown as YAML, written back."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from petseg.config.data_params import FolderParams
from petseg.config.params import Params, parse_params
from petseg.config.validation import read_yaml, validate
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.remote import is_remote
from petseg.datasets.folder.classes.labels import Label
from petseg.inspection.image_size import ProposedSize

PARAMS = Path("params.yaml")
DEFAULTS = {
    "annotations": "auto",
    "classes": "auto",
    "test_fraction": 0.2,
    "group": "none",
    "unlabeled": "error",
}
"""Of `dataset.folder`; as in the project's params.yaml."""

_PREFIX = "dataset.folder."
_NOT_OF_A_PROJECT = (OSError, UnicodeDecodeError, YAMLError, LookupError, TypeError, AttributeError)
"""What reading and updating another params.yaml raises."""


def folder_settings(folder: str, settings: Sequence[str]) -> tuple[FolderParams, bool]:
    """Return the parameters for a folder, and whether they come from params.yaml.

    They do if its `dataset.folder.path` is this folder. `settings` are texts such as
    "unlabeled=skip", which count more. Raises PetsegError.
    """
    path = folder if is_remote(folder) else str(Path(folder).expanduser().resolve())
    if not is_remote(folder) and not Path(path).is_dir():
        remedy = "unpack it if it is an archive, or give the folder that contains it"
        remedy = remedy if Path(path).is_file() else "check the path"
        raise PetsegError(f"{folder!r} is not a folder; {remedy}.")
    written = _written_for(path)
    given = dict(map(_parse_setting, settings))
    if "path" in given:
        raise PetsegError("-S path isn't used; the folder is petseg data's argument.")
    values = {**DEFAULTS, **written, **given, "path": path}
    return validate(FolderParams, values, "petseg data"), bool(written)


def as_yaml_section(params: FolderParams, size: ProposedSize | None) -> str:
    """Return the sections of params.yaml for a folder, with the comments that are there."""
    try:
        document = _round_trip().load(PARAMS.read_text(encoding="utf-8-sig"))
        sections = {"dataset": _update(document, params, size)["dataset"]}
    except _NOT_OF_A_PROJECT:
        sections = {"dataset": {"name": "folder", "folder": _as_yaml_values(params)}}
    if size:
        sections["preprocess"] = _as_yaml_size(size)
    return _dump(sections)


def write_params(params: FolderParams, size: ProposedSize | None) -> None:
    """Put the parameters of a folder into params.yaml; comments stay. Raises PetsegError."""
    parse_params(read_yaml(PARAMS))
    document = _round_trip().load(PARAMS.read_text(encoding="utf-8-sig"))
    text = _dump(_update(document, params, size))
    validate(Params, YAML(typ="safe", pure=True).load(text), str(PARAMS))
    atomic_write(PARAMS.resolve(), text)


def _written_for(path: str) -> dict[str, Any]:
    """Return `dataset.folder` of params.yaml if it is about this folder."""
    if not PARAMS.is_file():
        return {}
    document = read_yaml(PARAMS)
    section = document.get("dataset", {}) if isinstance(document, dict) else {}
    folder = section.get("folder") if isinstance(section, dict) else None
    if not isinstance(folder, dict) or not isinstance(folder.get("path"), str):
        return {}
    its_path = folder["path"]
    if not is_remote(its_path):
        its_path = str(Path(its_path).resolve())
    return dict(folder) if its_path == path else {}


def _parse_setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise PetsegError(f"-S {text} must be KEY=VALUE, such as unlabeled=skip.")
    try:
        return key.removeprefix(_PREFIX), YAML(typ="safe", pure=True).load(value)
    except YAMLError as error:
        raise PetsegError(f"-S {text} is not valid YAML; quote the value.") from error


def _update(document: Any, params: FolderParams, size: ProposedSize | None) -> Any:
    document["dataset"]["name"] = "folder"
    document["dataset"]["folder"].update(_as_yaml_values(params))
    if size:
        document["preprocess"].update(_as_yaml_size(size))
    return document


def _as_yaml_values(params: FolderParams) -> dict[str, Any]:
    values = params.model_dump()
    if isinstance(params.classes, Mapping):
        values["classes"] = CommentedMap(
            {name: _label_or_list(labels) for name, labels in params.classes.items()}
        )
    elif params.classes != "auto":
        values["classes"] = CommentedSeq(params.classes)
    if values["classes"] != "auto":
        values["classes"].fa.set_flow_style()
    return values


def _label_or_list(labels: tuple[Label, ...]) -> Any:
    return labels[0] if len(labels) == 1 else _in_one_line(labels)


def _as_yaml_size(size: ProposedSize) -> dict[str, Any]:
    value = size.value.as_parameter()
    image_size = _in_one_line(value) if isinstance(value, list) else value
    if not size.tiles:
        return {"image_size": image_size, "tiles": "none"}
    tiles = CommentedMap(size.tiles.model_dump())
    tiles.fa.set_flow_style()
    return {"image_size": image_size, "resize": "stretch", "tiles": tiles}


def _in_one_line(values: Sequence[Any]) -> CommentedSeq:
    listed = CommentedSeq(values)
    listed.fa.set_flow_style()
    return listed


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 10_000  # never break a line
    yaml.preserve_quotes = True
    return yaml


def _dump(document: Any) -> str:
    text = io.StringIO()
    _round_trip().dump(document, text)
    return text.getvalue()
