"""Compare the losses and metrics of training with one, two and four workers over fifty steps.

    python tests/soak/workers.py

Several workers do the same arithmetic in another order than one, and a network in training doubles
any difference within a few steps. So that only the last bits differ at first, the check computes in
float64, without the parts that compute in float32 (augmentation except flips, TensorFlow's fused
batch norm). Takes about five minutes on two cores.
"""

import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for support
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))  # this checkout's petseg

from support.workers import losses_of, make_records, start_workers

_COUNTS = (2, 4)
_STEPS = 50
_BOUND = 1e-5


def history_of(folder: Path) -> NDArray[np.float64]:
    """Return the losses and metrics of each epoch as the chief wrote them, in six digits."""
    return np.loadtxt(folder / "worker0" / "history.csv", delimiter=",", skiprows=1)


@click.command(help=__doc__)
def main() -> None:
    """See the module."""
    missed = False
    with tempfile.TemporaryDirectory(prefix="petseg-workers-") as temporary:
        folder = Path(temporary)
        records = make_records(folder, max(_COUNTS))
        settings = {
            "train__epochs": 17,
            "train__learning_rate": 1e-4,
            "train__encoder_learning_rate": 1e-4,
        }
        [alone] = losses_of(start_workers(folder / "1", records, 1, **settings))
        epochs = history_of(folder / "1")
        for count in _COUNTS:
            all_of_them = losses_of(start_workers(folder / str(count), records, count, **settings))
            together = all_of_them[0]
            difference = float(np.abs(np.subtract(together, alone)).max())
            metrics = float(np.abs(history_of(folder / str(count)) - epochs).max())
            missed |= max(difference, metrics) > _BOUND or any(
                losses != together for losses in all_of_them
            )
            print(
                f"{count} workers: {len(alone)} losses at most {difference:.1e} off those of one, "
                f"the metrics of {len(epochs)} epochs at most {metrics:.1e}",
                flush=True,
            )
    sys.exit(missed)


if __name__ == "__main__":
    main()
