"""Measures petseg against its peers and the machine's limits: python -m benchmarks

Importing it says where the package is, and that TensorFlow is Keras's backend.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # contenders share a GPU
