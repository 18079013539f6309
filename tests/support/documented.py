"""docs/robustness.md as the tests read it: what is promised for each bad input."""

import re
from pathlib import Path

from support.clones import ROOT

_ROW = re.compile(r"^\| (.+?) \| (.+?) \|$", re.MULTILINE)


def promises() -> dict[str, str]:
    """By the input's name: the sentence that is printed, "…" standing for a library's words, or what is done."""
    text = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    text = text[: text.index("## Fuzzing")]
    rows = {name: what for name, what in _ROW.findall(text) if name not in ("input", "---")}
    return {name.replace("`", ""): what.replace(r"\|", "|") for name, what in rows.items()}


def keeps(promise: str, sentence: str, folder: Path) -> bool:
    """Whether the sentence is the one promised; paths in it are relative to the test's folder."""
    said = sentence.replace(f"{folder}/", "")
    pattern = ".*".join(re.escape(part) for part in promise.strip("`").split("…"))
    return re.fullmatch(pattern, said, re.DOTALL) is not None
