"""docs/robustness.md, made from the tests: every invalid input and what it leads to.

A test module with invalid inputs has a literal `CASES` (input to message or action) and a literal
`SECTION` (the page's section that they belong to). Its tests compare the messages with those in the
table, in which "…" stands for any text.

    python tests/support/robustness.py        writes the page, as `make robustness` does
"""

import ast
import re
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "robustness.md"

SECTIONS = {
    "Images and masks": """\
In a folder of your own images, and among the photos that `petseg predict` reads.
""",
    "Folders of images and lists": """\
For `dataset.name: folder`. The stages download and preprocess raise these errors.
""",
    "Prepared data": """\
data/raw and data/tfrecords name each of their files with its sha256, in a JSON that ends with its
own sha256. "Sealed" means that somebody edited the JSON and updated that checksum.
""",
    "Models": """\
A model is a weights file and a JSON with the sha256 of both. "Sealed" means that somebody edited
them and updated all checksums: even then, the contents must make sense and stay within the folder.
Pretrained weights are those that `model.weights` names.
""",
    "Exported models": """\
`petseg predict`, `petseg info` and `petseg.load` raise these errors.
""",
    "Parameters": """\
The same code checks params.yaml, `--set-param` and the JSON of models.
""",
    "Training": """\
The last checkpoint is left as it was. If you change a parameter, such as the learning rate,
training starts over.
""",
    "Archives and environment": "",
    "The command line": """\
`petseg predict`, `info`, `compare`, `data`, `review`, `sweep`, `demo` and `export-web`. A photo
that is skipped doesn't affect the others. A wrong command line ends with click's usage message and
exit code 2.
""",
}

_HEAD = """\
# Invalid and hostile input

This page lists the invalid inputs that the tests try, and their outcomes. It is generated from the
tests: change a case there and run `make robustness`.

Most inputs end in an error message as shown and exit code 1, without a traceback or a partially
written file. "…" stands for text that varies. Errors in parameters, data and environment are
raised as `PetsegError`; `petseg.core.errors.explain` explains full disks, permissions and memory.
Any other traceback is a bug: please report it.
"""

_TAIL = """\
## What is not tested

A kill while DVC writes its list of locks can leave that list truncated (seen once): `Unable to
read RWLock-file '.dvc/tmp/rwlock'`. Run `rm .dvc/tmp/rwlock`, and `dvc repro` resumes. We have not
tried a power cut that damages DVC's own files in .dvc/cache or .dvc/tmp. What DVC doesn't notice,
the checksums of data set, shards and model reveal. Then run `rm -r .dvc/cache .dvc/tmp` and
`dvc repro`, which recreates everything with the same bytes.

## Fuzzing

`python tests/soak/fuzz.py --inputs 100000` (seed 0) changes, truncates and extends valid inputs
byte by byte. Each reader accepted the input or rejected it with an error message. There were no
other exceptions and no hangs, and peak memory was 1,131 MiB. Accepted inputs were still valid.

| reader | inputs | accepted | rejected | longest (s) |
|---|---|---|---|---|
| shards | 12500 | 162 | 12338 | 1.05 |
| records with a correct checksum | 12500 | 1139 | 11361 | 0.45 |
| model.json | 12500 | 213 | 12287 | 0.02 |
| model.json with a correct checksum | 12500 | 15 | 12485 | 0.04 |
| manifest.json | 12500 | 244 | 12256 | 0.38 |
| images | 12500 | 2049 | 10451 | 0.60 |
| masks | 12500 | 1968 | 10532 | 0.65 |
| folder layouts | 12500 | 5381 | 7119 | 0.75 |
"""


def matches(expected: str, message: str, folder: Path) -> bool:
    """Whether a message is the expected one. Paths in it are relative to the test's folder.

    If the expected text starts with a quotation, only the quotation is compared.
    """
    quoted = re.match(r'"(.*)"', expected)
    pattern = ".*".join(re.escape(part) for part in (quoted[1] if quoted else expected).split("…"))
    return re.fullmatch(pattern, message.replace(f"{folder}/", ""), re.DOTALL) is not None


def cases_of(path: Path) -> tuple[str, dict[str, str]]:
    """Return the section and the cases of a test module, without importing it."""
    found: dict[str, Any] = {"SECTION": "", "CASES": {}}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in found:
                found[name] = ast.literal_eval(node.value)
    return str(found["SECTION"]), dict(found["CASES"])


def all_cases() -> list[tuple[str, str, str]]:
    """Return (section, input, outcome) of all test modules, in the page's order."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        section, cases = cases_of(path)
        found += [(section, case, outcome) for case, outcome in cases.items()]
    order = list(SECTIONS)
    return sorted(found, key=lambda item: order.index(item[0]))


def page() -> str:
    """Return the text of docs/robustness.md."""
    cases = all_cases()
    parts = [_HEAD]
    for title, text in SECTIONS.items():
        rows = [f"| {_cell(case)} | {_cell(text)} |" for key, case, text in cases if key == title]
        table = "\n".join(["| input | outcome |", "|---|---|", *rows])
        parts += [f"## {title}\n", *([text] if text else []), f"{table}\n"]
    return "\n".join([*parts, _TAIL])


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
