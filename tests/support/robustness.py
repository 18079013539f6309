"""docs/robustness.md, made from the tests: every invalid input and what it leads to.

A test module with invalid inputs has a literal `CASES` (input to message or action) and a literal `SECTION` (where on
the page they belong). Its tests compare the messages with those in the table, in which "…" stands for any text.

    python tests/support/robustness.py        writes the page
"""

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "robustness.md"


def matches(expected: str, message: str, folder: Path) -> bool:
    """Whether a message is the expected one. Paths in it are relative to the test's folder.

    If the expected text starts with a quotation, that is compared and the rest says what happens besides.
    """
    quoted = re.match(r'"(.*)"', expected)
    pattern = ".*".join(re.escape(part) for part in (quoted[1] if quoted else expected).split("…"))
    return re.fullmatch(pattern, message.replace(f"{folder}/", ""), re.DOTALL) is not None


def cases_of(path: Path) -> tuple[str, dict[str, str]]:
    """The section and the cases of a test module; no cases if it has none. The module isn't imported."""
    found: dict[str, Any] = {"SECTION": "", "CASES": {}}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in found:
                found[name] = ast.literal_eval(node.value)
    return str(found["SECTION"]), dict(found["CASES"])
