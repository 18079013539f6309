"""Labels and tables of classes as messages show them."""

import json
import re
from collections.abc import Collection, Iterable, Mapping

from petseg.datasets.folder.classes.labels import Label

_PLAIN_YAML = re.compile(r"[^\W\d][\w .+/-]*[\w+]|[^\W\d]")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none", "auto"}


def as_yaml(classes: Mapping[str, Iterable[Label]]) -> str:
    """Return a table of classes as one line of YAML."""

    def text(value: Label) -> str:
        plain = _PLAIN_YAML.fullmatch(str(value)) and str(value).lower() not in _YAML_WORDS
        return (
            str(value) if isinstance(value, int) or plain else json.dumps(value, ensure_ascii=False)
        )

    def text_of_all(labels: Iterable[Label]) -> str:
        texts = [text(label) for label in labels]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    texts = (f"{text(name)}: {text_of_all(labels)}" for name, labels in classes.items())
    return "{" + ", ".join(texts) + "}"


def as_hex(color: Label) -> str:
    """Return a color, or the number of a shade of gray, as "#rrggbb"."""
    return f"#{color:02x}{color:02x}{color:02x}" if isinstance(color, int) else color


def name_of(label: Label) -> str:
    """Return a name for a class of one label."""
    text = str(label).strip("#")
    return f"class_{text}" if isinstance(label, int) or str(label).startswith("#") else text


def ordered(labels: Collection[Label]) -> list[Label]:
    """Return labels in order: numbers, then colors and names."""
    numbers = sorted(label for label in labels if isinstance(label, int))
    return [*numbers, *sorted(label for label in labels if isinstance(label, str))]
