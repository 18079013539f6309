"""What the parts of the benchmarks compute from their measurements."""

import keras
import pytest
import yaml
from click.testing import CliRunner

from benchmarks.__main__ import PARTS, main
from benchmarks.contenders import Measurement
from benchmarks.options import Options
from benchmarks.parts import memory, predict
from benchmarks.parts.preprocess import repeat_photos
from benchmarks.parts.time_to_quality import TrainingRun, run_in_turns, summarize
from benchmarks.workspace import million_multiply_adds
from petseg.core.geometry import ImageSize
from petseg.datasets.folder.index import index_folder
from support.datasets import draw_oxford_folder, folder_params


class ScriptedTraining:
    """A training that prints given lines, each after a minute."""

    def __init__(self, log, name, *scores):
        self.lines = ["Training on 1 CPU\n", *(f"epoch  val mean IoU {s}\n" for s in scores)]
        self.log, self.name = log, name
        self.seconds = 0
        self.killed = False

    def next_line(self):
        self.seconds += 60
        self.log.append(self.name)
        return self.lines.pop(0) if self.lines else None

    def kill(self):
        self.killed = True


def test_two_training_runs_take_turns_and_their_time_to_quality_is_compared():
    log = []
    peer = TrainingRun(ScriptedTraining(log, "p", 0.5, 0.7, 0.6, 0.6))
    ours = TrainingRun(ScriptedTraining(log, "o", 0.4, 0.65))
    run_in_turns([peer, ours])
    assert "".join(log) == "ppoopopopp"  # the last of each finds the end
    assert peer.command.killed
    assert ours.command.killed
    results = summarize({"peer": peer, "ours": ours}, "pets")
    rows = results.tables[0].rows
    assert [row.values for row in rows] == [[5], [3]]
    assert [row.details["epochs"] for row in rows] == [4, 2]
    assert [row.details["minutes to the tutorial's final"] for row in rows] == ["3.0", "3.0"]
    assert [row.details["minutes to the tutorial's best"] for row in rows] == ["3.0", "never"]
    faster, better = results.targets
    assert faster.values == [pytest.approx(5 / 3)]
    assert better.values == [pytest.approx(0.05)]


@pytest.mark.parametrize(
    ("max_images", "ratios"), [(1000, []), (10_000, [2.0, 2.0])], ids=["one set", "two sets"]
)
def test_memory_growth_needs_more_than_one_data_set(tmp_path, monkeypatch, max_images, ratios):
    def measure_peak(argv, cwd):
        dataset = yaml.safe_load((cwd / "params.yaml").read_text())["dataset"]["synthetic_pets"]
        return 1.0, 100 if dataset["trainval"] + dataset["test"] == 1000 else 200

    monkeypatch.setattr(memory, "measure_peak", measure_peak)
    results = memory.run(Options(tmp_path, 1, 1.0, (32,), 100, max_images, None, None))
    assert [target.values[0] for target in results.targets] == ratios
    assert not any(target.met for target in results.targets)


def test_the_ratios_of_predict_compare_the_rows_that_their_names_say(tmp_path, monkeypatch):
    values = {
        "Keras's `model.predict`, all cores": 6.0,
        '`petseg.load("unet_float32.tflite")`, one thread': 2.0,
        "unet_int8.tflite": 10.0,
        "unet_int8.tflite, masks only": 40.0,
    }

    def take_turns(contenders, unit, repetitions):
        names = [contender.name for contender in contenders]
        return [Measurement(name, unit, [values.get(name, 1e3)], 0, {}) for name in names]

    monkeypatch.setattr(predict, "take_turns", take_turns)
    for name in ("_write_photos", "save_untrained", "save_exported"):
        monkeypatch.setattr(predict, name, lambda *_: tmp_path)
    results = predict.run(Options(tmp_path, 1, 1.0, (32,), 100, 100, None, None))
    assert [target.values for target in results.targets] == [[2.0], [3.0], [4.0], [2.0], [3.0]]


def test_photos_are_repeated_until_there_are_enough(default_params, tmp_path):
    draw_oxford_folder(tmp_path / "few")
    repeat_photos(tmp_path / "few", tmp_path / "many", at_least=20)
    few, many = (
        index_folder(folder_params(default_params, tmp_path / name).folder, tmp_path / name)
        for name in ("few", "many")
    )
    assert sum(map(len, few.splits.values())) < 20 <= sum(map(len, many.splits.values()))
    assert many.categories == few.categories
    assert {item.image.resolve() for item in many.splits["test"]} == {
        item.image for item in few.splits["test"]
    }


def test_multiply_adds_are_the_sum_over_the_layers():
    image = keras.Input((8, 8, 3))
    narrow = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)(image)
    wide = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(narrow)
    assert million_multiply_adds(keras.Model(image, wide), ImageSize(8, 8)) * 1e6 == 64 * (
        9 * 3 * 5 + 9 * 5
    )


def test_an_unknown_part_is_rejected_with_the_known_ones():
    done = CliRunner().invoke(main, ["training"])
    assert done.exit_code != 0
    assert f"'training' is not one of '{PARTS[0]}', '{PARTS[1]}'" in done.output


def test_a_part_that_needs_photos_is_skipped_without_them():
    done = CliRunner().invoke(main, ["time_to_quality"])
    assert done.exit_code == 0
    assert "time_to_quality\n\nSkipped: needs --photos and --weights." in done.output
