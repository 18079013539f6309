"""What a folder's owner should know: problems, which stop the stage, and notes, which don't."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from petseg.core.errors import PetsegError

_MAX_SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One kind of thing, with everything that it applies to."""

    what: str  # "Images without a mask"
    examples: tuple[str, ...] = ()  # all of them, not only those shown
    remedy: str = ""  # "add the masks"

    @property
    def count(self) -> int:
        return len(self.examples)

    def __str__(self) -> str:
        shown = ", ".join(self.examples[:_MAX_SHOWN_EXAMPLES])
        more = ", ..." if self.count > _MAX_SHOWN_EXAMPLES else ""
        listed = f" ({self.count}): {shown}{more}" if self.examples else ""
        return f"{self.what}{listed}{'; ' if self.remedy else ''}{self.remedy}."


@dataclass
class Findings:
    """All problems and notes about a folder.

    One that applies to files or labels is recorded only if there are any, so callers needn't ask,
    and each only once.
    """

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def problem(self, what: str, examples: Sequence[str] | None = None, remedy: str = "") -> None:
        _record(self.problems, what, examples, remedy)

    def note(self, what: str, examples: Sequence[str] | None = None, remedy: str = "") -> None:
        _record(self.notes, what, examples, remedy)

    def raise_problems(self, folder: str) -> None:
        """Raise one PetsegError with every problem, if there is any."""
        if len(self.problems) == 1:
            raise PetsegError(f"{folder}: {self.problems[0]}")
        if self.problems:
            lines = "".join(f"\n- {problem}" for problem in self.problems)
            raise PetsegError(f"{folder} has {len(self.problems)} problems:{lines}")


def as_example(error: Exception, root: Path) -> str:
    """Return an error about a file below a folder as an example of a finding."""
    text = str(error).replace(f"{root}{os.sep}", "").rstrip(".")
    return text.removesuffix("; fix or remove it").removesuffix("; fix it")


def _record(
    findings: list[Finding], what: str, examples: Sequence[str] | None, remedy: str
) -> None:
    # Names of files that aren't UTF-8 can't be printed or stored.
    shown = [text.encode(errors="backslashreplace").decode() for text in examples or ()]
    finding = Finding(what, tuple(shown), remedy)
    if (examples is None or len(examples) > 0) and finding not in findings:
        findings.append(finding)
