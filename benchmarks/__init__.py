"""Measures petseg against its peers and the machine's limits: python -m benchmarks

Importing it says where the package is, and makes TensorFlow Keras's backend, quietly.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "checks"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from petseg.startup import import_tensorflow

import_tensorflow()
