"""Find the GPUs and divide them among workers. Needs no TensorFlow."""

import os
import shutil
import subprocess


def query_gpus(field: str) -> list[str]:
    """Return one of nvidia-smi's fields (`nvidia-smi --help-query-gpu`) for every GPU."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return query_gpus("index")
    return [name for name in visible.replace(" ", "").split(",") if name not in ("", "-1")]


def assign_gpus(gpus: list[str], worker: int, num_workers: int) -> list[str]:
    """Return the GPUs of one worker (counted from 0); workers share them if there are too few."""
    if len(gpus) >= num_workers:
        return gpus[worker::num_workers]
    return [gpus[worker % len(gpus)]] if gpus else []
