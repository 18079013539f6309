"""What NVIDIA's driver says about this machine. Needs no TensorFlow."""

import re
import shutil
import subprocess
from pathlib import Path

_DRIVER_FILE = Path("/proc/driver/nvidia/version")


def query_gpus(field: str) -> list[str]:
    """Return one of nvidia-smi's fields (`nvidia-smi --help-query-gpu`) for every GPU."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def driver_version() -> str:
    """Return the driver's version, such as 550.54.15, or "unknown"."""
    try:
        found = re.search(r"Module\D* (\d[\d.]+) ", _DRIVER_FILE.read_text(encoding="utf-8"))
    except OSError:  # Windows' subsystem for Linux has no such file
        found = None
    return found[1] if found else next(iter(query_gpus("driver_version")), "unknown")
