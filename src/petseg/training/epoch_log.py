"""What the chief shows and writes of a training: a line per epoch, the history, the events."""

from pathlib import Path

from petseg.config.train_params import TrainParams
from petseg.training.history import best_epoch, write_history
from petseg.training.progress import Throughput, summarize
from petseg.training.tensorboard import EventLog
from petseg.training.train_state import TrainState

_MIN_STEPS = 300  # from 50 photos, they outlined objects far better than 48 (experiments.md)


class EpochLog:
    """Prints, and writes plots/history.csv and, with an `events_dir`, TensorBoard's events."""

    def __init__(
        self,
        state: TrainState,
        params: TrainParams,
        unit: str,
        history_file: Path,
        events_dir: Path | None,
    ) -> None:
        self._state = state
        self._params = params
        self._history_file = history_file
        self._events = EventLog(events_dir, state.history) if events_dir else None
        self._throughput = Throughput(params.epochs - len(state.history), unit)

    def warn_of_few_steps(self, steps_per_epoch: int) -> None:
        """Say so if the whole training has few steps, as with few images."""
        num_steps = self._params.epochs * steps_per_epoch
        if num_steps < _MIN_STEPS:
            print(
                f"Only {num_steps} training steps, {steps_per_epoch} per epoch; fewer than "
                f"{_MIN_STEPS} often give a worse model. Raise train.epochs or lower "
                "train.batch_size.",
                flush=True,
            )

    def print_resuming(self) -> None:
        """Say where a resumed training begins, and restore its history."""
        print(f"Resuming after {self._state.progress()}.", flush=True)
        write_history(self._state.history, self._history_file)

    def write_epoch(self, preview: Path | None) -> None:
        """Write the last epoch, before its checkpoint: a run killed in between trains it again."""
        write_history(self._state.history, self._history_file)
        if self._events:
            self._events.add(self._state.history[-1], preview)

    def print_epoch(self, num_examples: int) -> None:
        """Print the last epoch, which trained on this many examples."""
        history = self._state.history
        row = history[-1]
        metrics = summarize(row, is_best=best_epoch(history) is row)
        speed = self._throughput.update(num_examples)
        print(f"epoch {row.epoch}/{self._params.epochs}  {metrics}  {speed}", flush=True)

    def print_end(self, steps_per_epoch: int) -> None:
        """Say why training stopped early, if it did, and how many steps were skipped, if any."""
        state, history = self._state, self._state.history
        if len(history) < self._params.epochs:
            print(
                f"Stopped after {state.progress()}: no better validation mean IoU than epoch "
                f"{best_epoch(history).epoch}'s for {self._params.patience} epochs "
                "(train.patience).",
                flush=True,
            )
        if state.loss_scale and (skipped := state.loss_scale.num_skipped):
            print(
                f"{skipped} of {len(history) * steps_per_epoch} steps were skipped, because "
                f"their gradients overflowed in float16. The loss scale is {state.loss_scale}.",
                flush=True,
            )
