"""Commands as a user starts them: how long they take, how much memory they hold, what they print."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import MAXRSS_UNIT, Ready
from support.clones import Clone


def command(argv: Sequence[str], cwd: Path, ok: bool = True) -> Ready:
    """A contender whose repetition is a run of the command, in milliseconds; `ok` says whether it must succeed."""
    return Ready(lambda: run_command(argv, cwd, ok)[0] * 1000)


def run_command(argv: Sequence[str], cwd: Path, ok: bool = True) -> tuple[float, str]:
    """(seconds, what it printed). Raises AssertionError if it doesn't end as `ok` says."""
    start = time.perf_counter()
    printed = Clone(cwd).run(*argv, ok=ok)
    return time.perf_counter() - start, printed


# The system counts towards a process's peak what the one that started it held at that moment: so a small one does.
_WITNESS = """
import os, sys
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_of(argv: Sequence[str], cwd: Path) -> tuple[float, int]:
    """(seconds, the most MiB that the command's own process held). Raises AssertionError if it fails."""
    seconds, printed = run_command([sys.executable, "-S", "-c", _WITNESS, *argv], cwd)
    return seconds, round(int(printed.split()[-1]) * MAXRSS_UNIT / 2**20)


class Halting:
    """A command that runs from one line of its output to the next, and stands still between them.

    So that two long runs share the machine's good and bad minutes. `seconds` is the time that it ran.
    """

    def __init__(self, argv: Sequence[str], cwd: Path) -> None:
        start = time.perf_counter()
        self._process = Clone(cwd).start(*argv)
        self._printed: list[str] = []
        os.killpg(self._process.pid, signal.SIGSTOP)
        self.seconds = time.perf_counter() - start

    def next_line(self) -> str | None:
        """Run until a line comes; None at the end. Raises RuntimeError with what was printed if it failed."""
        assert self._process.stdout is not None
        start = time.perf_counter()
        os.killpg(self._process.pid, signal.SIGCONT)
        line = self._process.stdout.readline()
        if not line and self._process.wait():
            raise RuntimeError(
                f"{self._process.args!r} gave {self._process.returncode}:\n{''.join(self._printed)}"
            )
        if line:
            os.killpg(self._process.pid, signal.SIGSTOP)
        self.seconds += time.perf_counter() - start
        self._printed.append(line)
        return line or None

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
