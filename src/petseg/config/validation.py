"""Validate YAML and JSON with pydantic. Each error is one line: key, value, what is allowed."""

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from petseg.core.errors import PetsegError, translate

_MAX_VALUE_LENGTH = 60  # characters of an invalid value in a message
_MAX_LINES = 8
_LIMITS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


class Section(BaseModel):
    """A section of parameters.

    Error messages say what a field allows: its description, or text derived from its constraints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class InvalidValueError(ValueError):
    """Raised by validators that compare several values. `key` is relative to their section."""

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        super().__init__(allowed)
        self.key, self.value, self.allowed = key, value, allowed


def read_yaml(path: str | Path) -> Any:
    """Read YAML 1.2, as DVC does. Raises PetsegError with the error's line and column."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PetsegError(
            f"{path} can't be read ({error.strerror}); run from the project's root folder."
        ) from error
    except UnicodeDecodeError as error:
        raise PetsegError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """Return the content of YAML 1.2. Raises PetsegError, which calls its source `source`."""
    with translate(lambda error: f"{source} is not valid YAML{_yaml_problem(error)}."):
        return YAML(typ="safe", pure=True).load(text)


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    reason = getattr(error, "problem", None) or f"{type(error).__name__}, {error}".splitlines()[0]
    return f"{where}: {reason}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"train": {"epochs": 3}} as {"train.epochs": 3}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


_Root = TypeVar("_Root", bound=Section)


def validate(model: type[_Root], raw: Any, source: str) -> _Root:
    """Return the typed view of raw values.

    Raises PetsegError with one line per error, each beginning with `source`.
    """
    if not isinstance(raw, dict):
        names = ", ".join(list(model.model_fields)[:3])
        raise PetsegError(f"{source} must have sections such as {names}.")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        details = _drop_redundant(error.errors(include_url=False))
        lines = list(dict.fromkeys(f"{source}: {_message(model, dict(d))}" for d in details))
        if len(lines) > _MAX_LINES:
            lines[_MAX_LINES:] = [f"{source}: and {len(lines) - _MAX_LINES} more errors."]
        raise PetsegError("\n".join(lines)) from error


def _drop_redundant(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Drop "too short" for lists with invalid items, since pydantic counts only valid ones."""
    parents = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return [
        error for error in errors if error["type"] != "too_short" or error["loc"] not in parents
    ]


def _message(model: type[Section], error: dict[str, Any]) -> str:
    location = error["loc"]
    key = ".".join(map(str, location))
    invalid = error.get("ctx", {}).get("error")
    if isinstance(invalid, InvalidValueError):
        key = ".".join(map(str, [*location, invalid.key]))
        return f"{key} is {_short_repr(invalid.value)}, but must be {invalid.allowed}."
    if error["type"] in ("extra_forbidden", "invalid_key"):  # the latter is no string
        *_, section = _schemas_along(model, location[:-1])
        name = _shorten(repr(key)[1:-1])  # unprintable characters are escaped
        return f"{name} is not a parameter; {_hint(str(location[-1]), section)}"
    if error["type"] == "missing":
        return f"{key} is missing."
    schemas = [*_schemas_along(model, location)]
    allowed = next(filter(None, map(_describe, reversed(schemas))), error["msg"])
    known = [part for part in location[len(schemas) - 1 :] if isinstance(part, int)]
    key = ".".join(map(str, (*location[: len(schemas) - 1], *known)))  # without kinds of a union
    return f"{key} is {_short_repr(error['input'])}, but must be {allowed}."


def _hint(name: str, section: dict[str, Any]) -> str:
    known = list(section.get("properties", {}))
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."


def _short_repr(value: Any) -> str:
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = limits.maxlong = _MAX_VALUE_LENGTH + 3
    try:
        text = limits.repr(value)
    except ValueError:  # an integer of 5,000 digits
        text = f"a {type(value).__name__}"
    return _shorten(text)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}..."


@cache
def _json_schema(model: type[Section]) -> dict[str, Any]:
    return model.model_json_schema()


def _schemas_along(model: type[Section], location: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Yield the JSON schemas from the model down to the value at a location."""
    root = schema = _json_schema(model)
    yield root
    for part in location:
        if part in schema.get("properties", {}):
            schema = schema["properties"][part]
        elif part in range(len(schema.get("prefixItems", []))):
            schema = schema["prefixItems"][part]
        elif "items" in schema:
            schema = schema["items"]
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema["additionalProperties"]
        else:
            return
        if "anyOf" in schema:  # X of "X or None"; a description is of the whole union
            described = {key: schema[key] for key in ("description",) if key in schema}
            schema = schema["anyOf"][0] | described
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        yield schema


def _describe(schema: dict[str, Any]) -> str | None:
    """Describe in English what a JSON schema allows. Return None if that isn't possible."""
    if "properties" in schema:
        return "a section of parameters: " + ", ".join(schema["properties"])
    if "description" in schema:
        return str(schema["description"])
    if "enum" in schema or "const" in schema:
        *others, last = map(repr, schema.get("enum") or [schema["const"]])
        return f"{', '.join(others)} or {last}" if others else last
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return _describe_number(schema)
        case "array":
            item = _describe(schema.get("items", {}))
            if item and "minItems" in schema and "maxItems" in schema:
                return f"a list of {schema['minItems']} to {schema['maxItems']} items, each {item}"
        case "string":
            if schema.get("minLength") == 1 and "pattern" not in schema:
                return "a non-empty string"
    return None


def _describe_number(schema: dict[str, Any]) -> str:
    """Return, for example, "a whole number from 1 to 100" or "a number above 0 and at most 10"."""
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    if "multipleOf" in schema:
        kind = f"a multiple of {schema['multipleOf']}"
    # Older versions of pydantic write 1 as 1.0.
    limits = {key: f"{value:.15g}" for key, value in schema.items() if key in _LIMITS}
    if "minimum" in limits and "maximum" in limits:
        return f"{kind} from {limits['minimum']} to {limits['maximum']}"
    bounds = " and ".join(f"{word} {limits[key]}" for key, word in _LIMITS.items() if key in limits)
    return f"{kind} {bounds}".rstrip()
