"""Train with one, two and four processes over loopback; compare losses and metrics over 50 steps.

    python tests/soak/workers.py

See tests/support/workers.py for what is compared, and why in float64. It takes about five minutes
on two cores.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for support

from support.workers import losses_of, make_shards, start_workers

_COUNTS = (2, 4)
_BOUND = 1e-5
_SETTINGS: dict[str, Any] = {
    "train__epochs": 17,  # of 3 steps
    "train__learning_rate": 1e-4,
    "train__encoder_learning_rate": 1e-4,
}


@click.command(help=__doc__)
def main() -> None:
    """Compare; exit with 1 if a difference is larger than the bound."""
    failed = False
    with tempfile.TemporaryDirectory(prefix="petseg-workers-") as temporary:
        folder = Path(temporary)
        shards = make_shards(folder, max(_COUNTS))
        [single], metrics = train(folder / "1", shards, 1)
        for count in _COUNTS:
            losses, own_metrics = train(folder / str(count), shards, count)
            loss_error = float(np.abs(np.subtract(losses[0], single)).max())
            metrics_error = float(np.abs(own_metrics - metrics).max())
            failed |= max(loss_error, metrics_error) > _BOUND
            failed |= any(own != losses[0] for own in losses)
            print(
                f"{count} processes: {len(single)} losses differ from one process's by at most "
                f"{loss_error:.1e}, the metrics of {len(metrics)} epochs by {metrics_error:.1e}.",
                flush=True,
            )
    sys.exit(failed)


def train(folder: Path, shards: Path, count: int) -> tuple[list[list[float]], NDArray[np.float64]]:
    """Return each process's losses, and the chief's history."""
    losses = losses_of(start_workers(folder, shards, count, encoder="mobilenet_v2", **_SETTINGS))
    history = folder / "worker0" / "plots" / "history.csv"
    return losses, np.loadtxt(history, delimiter=",", skiprows=1)


if __name__ == "__main__":
    main()
