"""Benchmarks of petseg against its peers and the machine's limits: python -m benchmarks

Importing the package makes petseg and the tests' helpers importable and selects Keras's backend.
"""

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "tests")]
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # contenders share a GPU
