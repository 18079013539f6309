"""Peak memory of a process."""

import resource
import sys
from pathlib import Path


def peak_mib() -> float:
    """Return the most memory that this process has held.

    On Linux, ru_maxrss starts at the size of the parent process; VmHWM doesn't.
    """
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")
