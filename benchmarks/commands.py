"""Run commands as a user does, and measure their time, memory and output."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.contenders import MAXRSS_UNIT, Prepared
from support.clones import Clone


def prepare_command(argv: Sequence[str], cwd: Path, ok: bool = True) -> Prepared:
    """Return a contender that times a command in milliseconds; `ok` says if it must succeed."""
    return Prepared(lambda: run_command(argv, cwd, ok)[0] * 1000)


def run_command(argv: Sequence[str], cwd: Path, ok: bool = True) -> tuple[float, str]:
    """Return (seconds, output). Raises AssertionError unless the command ends as `ok` says."""
    start = time.perf_counter()
    output = Clone(cwd).run(*argv, ok=ok)
    return time.perf_counter() - start, output


# A process's peak memory starts at what its parent holds, so this small process is the parent.
_SMALL_PARENT = """
import os, sys
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measure_peak(argv: Sequence[str], cwd: Path) -> tuple[float, int]:
    """Return (seconds, peak MiB of the command's process). Raises AssertionError if it fails."""
    seconds, output = run_command([sys.executable, "-S", "-c", _SMALL_PARENT, *argv], cwd)
    return seconds, round(int(output.split()[-1]) * MAXRSS_UNIT / 2**20)


class PausedCommand:
    """A command that is paused except while `next_line` waits for a line of its output.

    If two long commands take turns line by line, changes in the machine's speed affect both alike.
    """

    def __init__(
        self, argv: Sequence[str], cwd: Path, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        start = clock()
        self._process = Clone(cwd).start(*argv)
        os.killpg(self._process.pid, signal.SIGSTOP)
        self._output: list[str] = []
        self.seconds = clock() - start  # of running, without pauses

    def next_line(self) -> str | None:
        """Run until the next line, or None at the end. Raises RuntimeError if the command fails."""
        assert self._process.stdout is not None
        start = self._clock()
        os.killpg(self._process.pid, signal.SIGCONT)
        line = self._process.stdout.readline()
        if line:
            os.killpg(self._process.pid, signal.SIGSTOP)
        elif self._process.wait():
            raise RuntimeError(
                f"{self._process.args!r} failed with {self._process.returncode}:\n"
                f"{''.join(self._output)}"
            )
        self.seconds += self._clock() - start
        self._output.append(line)
        return line or None

    def kill(self) -> None:
        """Kill the command if it is still running."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
