"""`petseg sweep` in DVC's queue, with stubs for the stages."""

import re

import pandas as pd
import pytest

from support.stubs import make_stub_clone

# Each experiment notes its GPU; the first waits for the second, so that two workers run them.
_EVALUATE = """
import os, sys

notes = Path({notes!r})
(notes / str(params["train"]["epochs"])).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
while len(list(notes.iterdir())) < 2:
    time.sleep(0.05)
if params["train"]["epochs"] == 41 and Path({broken!r}).exists():
    sys.exit("broken")
"""


@pytest.fixture
def clone(tmp_path):
    clone = make_stub_clone(tmp_path / "petseg")
    (tmp_path / "notes").mkdir()
    stub = clone.path / "stages" / "evaluate.py"
    notes, broken = str(tmp_path / "notes"), str(tmp_path / "broken")
    stub.write_text(stub.read_text() + _EVALUATE.format(notes=notes, broken=broken))
    clone.commit("notes")
    return clone


def test_a_sweep_runs_in_parallel_and_repeats_only_what_failed(clone, tmp_path):
    (tmp_path / "broken").touch()
    environment = {"CUDA_VISIBLE_DEVICES": "3,5", "PYTHONPATH": "src"}

    def sweep(ok, metric="val_value"):
        words = ["sweep", "-S", "train.epochs=40,41", "--jobs", "2", "--metric", metric]
        return clone.run("petseg", *words, ok=ok, env=environment)

    printed = sweep(ok=False)
    assert "2 experiments, 2 to run." in printed
    assert sorted(note.read_text() for note in (tmp_path / "notes").iterdir()) == ["3", "5"]
    [failed] = re.findall(r"^(\S+): failed\. See dvc queue logs", printed, re.MULTILINE)
    assert "broken" in clone.run("dvc", "queue", "logs", failed)
    assert len(pd.read_csv(clone.path / "sweep" / "experiments.csv").dropna()) == 1

    (tmp_path / "broken").unlink()
    printed = sweep(ok=True)
    assert "2 experiments, 1 to run." in printed
    table = pd.read_csv(clone.path / "sweep" / "experiments.csv")
    assert failed not in set(table["experiment"])
    assert set(table["train.epochs"]) == {40, 41}
    assert set(table["state"]) == {"success"}
    assert table["val_value"].is_monotonic_decreasing
    chart = (clone.path / "sweep" / "parallel_coordinates.png").read_bytes()
    assert chart.startswith(b"\x89PNG")

    assert "2 experiments, 0 to run." in sweep(ok=True)
    assert "--metric is x, but must be a number in the experiments' metrics:" in sweep(False, "x")
