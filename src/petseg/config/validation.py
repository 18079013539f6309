"""YAML checked against pydantic models: each mistake in one sentence with the key, its value and what is allowed."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from petseg.core.errors import PetsegError

_SHOWN = 60  # characters of a wrong value
_MAX_LINES = 8


class Section(BaseModel):
    """A section of parameters. A field's description is what an error says is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InvalidValueError(ValueError):
    """Raised by a validator for a value that is of the right type but can't be; `key` is relative to its section."""

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        super().__init__(allowed)
        self.key, self.value, self.allowed = key, value, allowed


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key that stands twice is a mistake; by default the last one wins in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = (key_node.tag, str(key_node.value))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds. Raises PetsegError with the line of a mistake."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PetsegError(
            f"{path} can't be read ({error.strerror}); run from the project's root folder."
        ) from error
    except UnicodeDecodeError as error:
        raise PetsegError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise PetsegError(
            f"{path} is not valid YAML{where}: {getattr(error, 'problem', None) or error}."
        ) from error
    except (ValueError, RecursionError) as error:  # an impossible date, a thousand brackets
        raise PetsegError(f"{path} is not valid YAML: {type(error).__name__}, {error}.") from error


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"epochs": 3}} as {"train.epochs": 3}"""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            flatten(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat


_Root = TypeVar("_Root", bound=Section)


def validate(model: type[_Root], raw: Any, source: str) -> _Root:
    """The typed view of raw values. Raises PetsegError with one line per mistake; `source` names them there."""
    if not isinstance(raw, dict):
        names = ", ".join(list(model.model_fields)[:3])
        raise PetsegError(f"{source} must hold sections such as {names}.")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [
            f"{source}: {_sentence(model, dict(e))}"
            for e in _independent(error.errors(include_url=False))
        ]
        if len(lines) > _MAX_LINES:
            lines[_MAX_LINES:] = [f"{source}: and {len(lines) - _MAX_LINES} more mistakes."]
        raise PetsegError("\n".join(lines)) from error


def _independent(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those of lists that are only too short because pydantic doesn't count their wrong items."""
    wrong_within = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return [
        error
        for error in errors
        if error["type"] != "too_short" or error["loc"] not in wrong_within
    ]


def _sentence(root: type[Section], error: dict[str, Any]) -> str:
    """One of pydantic's errors in our words."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    impossible = error.get("ctx", {}).get("error")
    if isinstance(impossible, InvalidValueError):
        key = ".".join([*location, impossible.key])
        return f"{key} is {_shown(impossible.value)}, but must be {impossible.allowed}."
    if error["type"] == "extra_forbidden":
        known = list(_section_at(root, location[:-1]).model_fields)
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."
        return f"{_shown(key)[1:-1]} is not a parameter; {hint}"
    if error["type"] == "missing":
        return f"{key} is missing."
    return f"{key} is {_shown(error['input'])}, but must be {_allowed(root, location, error)}."


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of 5,000 digits, a list within itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _section_at(root: type[Section], location: list[str]) -> type[BaseModel]:
    """The innermost section that a place in the parameters lies in."""
    section: type[BaseModel] = root
    for part in location:
        field = section.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        section = annotation
    return section


def _allowed(root: type[Section], location: list[str], error: dict[str, Any]) -> str:
    """What a field accepts: its description, else pydantic's own words (the choices of a Literal, say)."""
    inner = _section_at(root, location)
    for part in location:  # what follows the field's name is a place in its list or mapping
        field = inner.model_fields.get(part)
        if field is not None and field.description:
            return field.description
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    if error["type"] in ("model_type", "model_attributes_type"):
        return "a section of parameters: " + ", ".join(inner.model_fields)
    return str(error["msg"])
