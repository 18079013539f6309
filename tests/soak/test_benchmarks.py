"""The benchmarks measure what they say: turns are taken, peers are the published ones, figures are what they were."""

import json
import os
import sys
import time

import keras
import numpy as np
import psutil
import pytest
import yaml
from click.testing import CliRunner
from sklearn.metrics import jaccard_score

from benchmarks.__main__ import main
from benchmarks.commands import Halting, peak_of, run_command
from benchmarks.contenders import (
    Contender,
    ContenderError,
    Measured,
    Ready,
    rate,
    ratio,
    take_turns,
)
from benchmarks.findings import Outcome, Table, Target, as_json, show
from benchmarks.options import Options
from benchmarks.parts import evaluate, limits, memory, render, time_to_quality, train_step
from benchmarks.parts import input as reading
from benchmarks.parts.preprocess import repeated
from benchmarks.tutorial import (
    BATCH,
    build_tutorial_network,
    compile_tutorial,
    make_score,
    tutorial_batches,
)
from benchmarks.workspace import (
    CLASSES,
    build_network,
    drawn_params,
    million_multiply_adds,
    prepare,
)
from petseg.batches import example_batches, read_batches
from petseg.datasets.folder_index import index_folder
from support.datasets import draw_oxford_folder, folder_params
from support.project import ROOT


def noting(notes, name):
    """A contender that notes each of its turns."""

    def repeat():
        with notes.open("a") as file:
            file.write(name)
        return float(len(notes.read_text()))

    return Ready(repeat, {"process": os.getpid()})


def failing():
    raise ValueError("no such thing")


def dying():
    os._exit(3)


def test_contenders_take_turns_in_processes_of_their_own(tmp_path):
    notes = tmp_path / "notes"
    contenders = [Contender(name, noting, {"notes": notes, "name": name}) for name in "ABC"]
    rows = take_turns(contenders, "notes", repetitions=2)
    assert notes.read_text() == "ABCABCABC"
    assert [(row.first, row.values) for row in rows] == [(1, [4, 7]), (2, [5, 8]), (3, [6, 9])]
    assert len({row.facts["process"] for row in rows} | {os.getpid()}) == 4
    assert all(50 < row.facts["peak MiB"] < 5000 for row in rows)


@pytest.mark.parametrize(
    ("prepare", "told"), [(failing, "ValueError: no such thing"), (dying, "ended without a word")]
)
def test_a_contender_that_fails_is_named(tmp_path, prepare, told):
    works = Contender("A", noting, {"notes": tmp_path / "notes", "name": "A"})
    with pytest.raises(ContenderError, match=rf"(?s)the bad one.*{told}"):
        take_turns([works, Contender("the bad one", prepare)], "s", 1)


def test_a_rate_counts_whole_calls_until_the_time_is_over():
    calls = []

    def work():
        calls.append(time.perf_counter())
        time.sleep(0.05)

    assert rate(work, 3, 0.2) == pytest.approx(60, rel=0.3)
    assert 3 <= len(calls) <= 5
    calls.clear()
    assert rate(work, 1, 0.001) < 20
    assert len(calls) == 1


def rows():
    return [
        Measured("one", "images/s", [10.0, 20.0, 40.0], 5.0, {"parameters": 1234}),
        Measured("other", "images/s", [20.0, 60.0, 80.0], 8.0, {"peak MiB": 7}),
    ]


def test_ratios_are_those_of_a_turn_and_the_median_is_told():
    one, other = rows()
    assert ratio(other, one) == [2, 3, 2]
    text = show(Outcome("part", [Table("A title", [one, other])]))
    assert "| one | 20 (10 to 40) | 5 | 1.00 | 1,234 |  |" in text
    assert "| other | 60 (20 to 80) | 8 | 2.00 |  | 7 |" in text


@pytest.mark.parametrize(
    ("values", "at_least", "met"),
    [
        ([1.0, 3.0, 4.0], True, True),
        ([1.0, 1.0, 4.0], True, False),
        ([3.0, 1.0, 1.0], False, True),
        ([3.0], False, False),
    ],
)
def test_a_target_is_met_by_the_median(values, at_least, met):
    target = Target("speed", values, 2.0, at_least)
    outcome = Outcome("part", [Table("A title", rows())], [target])
    told = json.loads(as_json(outcome))
    assert told["targets"][0]["met"] is met
    assert f"| {'yes' if met else 'no'} |" in show(outcome)
    assert told["tables"][0]["rows"][1]["values"] == [20, 60, 80]
    assert str(os.cpu_count()) in told["machine"]
    assert told["versions"]["keras"] == keras.__version__


def test_the_peer_is_the_tutorial_s_network():
    network = build_tutorial_network(128, 3, None)
    assert (
        network.count_params() == 6_504_227
    )  # as in the tutorial's own summary, and 4,660,323 of them trained
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == 4_660_323
    assert network.output_shape == (None, 128, 128, 3)


def test_multiply_adds_are_those_of_the_layers():
    image = keras.Input((8, 8, 3))
    narrow = keras.layers.Conv2D(5, 3, padding="same", use_bias=False)(image)
    wide = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(narrow)
    assert million_multiply_adds(keras.Model(image, wide), 8) * 1e6 == 64 * (9 * 3 * 5 + 9 * 5)


def test_the_other_peer_s_process_is_without_tensorflow():
    code = "import sys, benchmarks.smp; sys.exit('tensorflow' in sys.modules)"
    run_command([sys.executable, "-c", code], ROOT)


def test_a_recipe_s_network_computes_in_its_precision():
    networks = [
        build_network(drawn_params("fast", 100, 32, train__precision=p))
        for p in ("float32", "mixed_bfloat16")
    ]
    assert [network.get_layer("bridge_conv").compute_dtype for network in networks] == [
        "float32",
        "bfloat16",
    ]


def test_our_network_has_fewer_multiply_adds_than_the_peer():
    ours = million_multiply_adds(build_network(drawn_params("fast", 100, 128)), 128)
    peer = million_multiply_adds(build_tutorial_network(128, CLASSES, None), 128)
    assert 2 < peer / ours < 4


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    params = drawn_params("fast", 160, 32)
    keras.utils.set_random_seed(
        0
    )  # the tutorial's recipe has none, and TensorFlow may be deterministic by now
    return params, prepare(params, tmp_path_factory.mktemp("bench"))


def test_the_tutorial_trains_on_all_pictures_but_those_of_validation(drawn):
    params, data = drawn
    batches = iter(tutorial_batches(data.raw, 32, params.preprocess.val_fraction, 0))
    count = data.shards("train").num_examples
    seen = set()
    for _ in range(2 * count // BATCH + 1):
        images, masks = next(batches)
        assert images.shape[1:] == (32, 32, 3)
        assert 0 <= images.numpy().min() < images.numpy().max() <= 1
        assert set(np.unique(masks)) <= {0, 1, 2}
        seen |= {
            min(np.round(image * 255).tobytes(), np.round(image[:, ::-1] * 255).tobytes())
            for image in images
        }
    trained, validated = (pictures_of(data, split) for split in ("train", "val"))
    assert seen == trained
    assert not seen & validated


def pictures_of(data, split):
    images = np.concatenate(
        [batch["image"] for batch in read_batches(example_batches(data.shards(split), 16))]
    )
    return {min(i.astype("f4").tobytes(), i[:, ::-1].astype("f4").tobytes()) for i in images}


def test_the_tutorial_mirrors_image_and_mask_together(drawn):
    params, data = drawn
    truth = {}
    for batch in read_batches(example_batches(data.shards("train"), 16)):
        for image, mask in zip(batch["image"].numpy(), batch["mask"].numpy(), strict=True):
            truth[image.astype("f4").tobytes()] = mask
    images, masks = next(iter(tutorial_batches(data.raw, 32, params.preprocess.val_fraction, 0)))
    mirrored = 0
    for image, mask in zip(np.round(images * 255), masks.numpy()[..., 0], strict=True):
        straight = image.tobytes() in truth
        mirrored += not straight
        found = mask if straight else mask[:, ::-1]
        np.testing.assert_array_equal(
            found, truth[(image if straight else image[:, ::-1]).tobytes()]
        )
    assert 0 < mirrored < len(masks)


def test_the_tutorial_is_scored_on_the_validation_part(drawn):
    _, data = drawn
    network = build_tutorial_network(32, CLASSES, None)
    reached, pixels = make_score(network, data.shards("val"))()
    batches = list(read_batches(example_batches(data.shards("val"), 16)))
    predicted = np.concatenate(
        [np.argmax(network(batch["image"].numpy() / np.float32(255)), -1) for batch in batches]
    )
    truth = np.concatenate([batch["mask"].numpy() for batch in batches])
    assert pixels == pytest.approx(np.mean(predicted == truth))
    assert reached == pytest.approx(
        jaccard_score(truth.ravel(), predicted.ravel(), average="macro")
    )


def test_the_tutorial_s_network_learns():
    network = compile_tutorial(build_tutorial_network(32, CLASSES, None))
    image = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    mask = (image[..., :1] > 0.5).astype(np.float32)
    losses = [float(network.train_on_batch(image, mask)[0]) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


def process_time_of(run):
    used = psutil.Process(run._process.pid).cpu_times()
    return used.user + used.system


WORK = """
import time
def work(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
"""


def test_a_halting_command_stands_still_between_its_lines(tmp_path):
    code = WORK + "for k in range(3):\n    print(k, flush=True)\n    work(0.3)"
    run = Halting([sys.executable, "-c", code], tmp_path)
    assert run.next_line() == "0\n"
    before = process_time_of(run)
    time.sleep(0.6)
    assert process_time_of(run) - before < 0.05
    stood = run.seconds
    assert [run.next_line() for _ in range(3)] == ["1\n", "2\n", None]
    assert run.seconds - stood > 0.85
    run.end()


def test_a_halting_command_that_fails_says_what_it_printed(tmp_path):
    run = Halting([sys.executable, "-c", "print('on my way'); raise SystemExit('lost')"], tmp_path)
    assert run.next_line() == "on my way\n"
    with pytest.raises(RuntimeError, match=r"gave 1:\non my way\nlost"):
        [run.next_line() for _ in range(2)]


def test_the_peak_is_the_command_s_own(tmp_path):
    held = np.zeros(400 * 2**20, np.uint8) + 1  # more than the command, and told of neither
    peaks = [
        peak_of([sys.executable, "-c", f"len(b'x' * {size} * 2**20)"], tmp_path)[1]
        for size in (1, 200)
    ]
    assert peaks[0] < 100
    assert peaks[1] - peaks[0] == pytest.approx(199, abs=20)
    del held


def test_a_command_that_ends_otherwise_is_an_error_with_what_it_printed(tmp_path):
    bad = [sys.executable, "-c", "raise SystemExit('no')"]
    assert "no" in run_command(bad, tmp_path, ok=False)[1]
    with pytest.raises(AssertionError, match="gave 1:\nno"):
        run_command(bad, tmp_path)
    with pytest.raises(AssertionError, match="gave 0"):
        run_command([sys.executable, "-c", "pass"], tmp_path, ok=False)


def test_a_part_is_printed_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__._RESULTS", tmp_path / "results")
    small = [
        "--pictures",
        "100",
        "--repetitions",
        "1",
        "--seconds",
        "0.1",
        "--size",
        "32",
        "--scratch",
        str(tmp_path),
    ]
    done = CliRunner().invoke(
        main, ["preprocess", "storage", "time_to_quality", *small], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "time_to_quality\n\nLeft out: it needs --photos and --weights." in done.output
    (table,) = json.loads((tmp_path / "results" / "preprocess.json").read_text())["tables"]
    assert [row["name"] for row in table["rows"]] == [
        "bare decoding and resizing",
        "stage preprocess",
    ]
    assert all(row["values"][0] > 1 and row["unit"] == "pictures/s" for row in table["rows"])
    (table,) = json.loads((tmp_path / "results" / "storage.json").read_text())["tables"]
    assert len(table["rows"]) == 4
    assert all(row["values"][0] > 1 and row["facts"]["shards"] == 8 for row in table["rows"])


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The first contender of each kind is measured, in this process, and the recipes' networks are tiny."""

    def at_once(contenders, unit, repetitions):
        seen = set()

        def measured(contender):
            figure, facts = 1.0, {}
            if contender.prepare not in seen:
                seen.add(contender.prepare)
                ready = contender.prepare(**contender.settings)
                figure, facts = ready.repeat(), ready.facts
            return Measured(contender.name, unit, [figure], 0.0, facts)

        return [measured(contender) for contender in contenders]

    def drawn_tiny(*told, **changes):
        tiny = {
            "model__alpha": 0.35,
            "model__decoder_filters": [8] * 3,
            "model__encoder_stride": 16,
        }
        return drawn_params(*told, **{**changes, **tiny})

    keras.utils.set_random_seed(0)
    for part in (evaluate, limits, reading, render, train_step):
        monkeypatch.setattr(part, "take_turns", at_once)
        if hasattr(part, "drawn_params"):
            monkeypatch.setattr(part, "drawn_params", drawn_tiny)
    monkeypatch.setattr(train_step.importlib.util, "find_spec", lambda name: None)
    return Options(tmp_path, 1, 0.01, (32,), 100, 1000, None, None)


@pytest.mark.parametrize(
    ("part", "rows", "targets"),
    [(limits, 2, 0), (reading, 4, 0), (evaluate, 4, 2), (render, 2, 0), (train_step, 12, 5)],
)
def test_a_part_s_contenders_and_targets(small, part, rows, targets):
    outcome = part.run(small)
    found = [row for table in outcome.tables for row in table.rows]
    assert len(found) == rows
    assert all(row.values[0] > 0 for row in found)
    assert len(outcome.targets) == targets
    assert f"## {outcome.part}" in show(outcome)


def test_a_small_set_of_photos_is_repeated_until_there_are_enough(default_params, tmp_path):
    draw_oxford_folder(tmp_path / "few")
    repeated(tmp_path / "few", tmp_path / "many", at_least=20)
    few, enough = (
        index_folder(folder_params(default_params, tmp_path / name).folder, tmp_path / name)
        for name in ("few", "many")
    )
    assert sum(map(len, few.splits.values())) < 20 <= sum(map(len, enough.splits.values()))
    assert enough.breeds == few.breeds
    assert {item.image.resolve() for item in enough.splits["test"]} == {
        item.image for item in few.splits["test"]
    }


def test_time_to_quality_is_the_time_that_a_run_was_going(tmp_path, monkeypatch):
    """Two trainings made up: an epoch of theirs takes 0.4 s, of ours 0.2, and ours is as good after its second."""
    code = (
        WORK
        + "for score in {}:\n    work({})\n    print(f'epoch val mean IoU {{score}}', flush=True)"
    )
    scores = {"tutorial": ([0.5, 0.7, 0.6, 0.6], 0.4), "quick": ([0.4, 0.65], 0.2)}
    monkeypatch.setattr(time_to_quality, "_folder", lambda options, name, params: tmp_path / name)

    def made_up(argv, cwd):
        return Halting([sys.executable, "-S", "-c", code.format(*scores[cwd.name])], tmp_path)

    monkeypatch.setattr(time_to_quality, "Halting", made_up)
    (tmp_path / "weights.h5").touch()
    outcome = time_to_quality.run(
        Options(tmp_path, 1, 1.0, (32,), 100, 1000, tmp_path, tmp_path / "weights.h5")
    )
    peer, ours = outcome.tables[0].rows
    assert [row.facts["epochs"] for row in (peer, ours)] == [4, 2]
    assert peer.values[0] > 1.6 / 60
    assert 0.4 / 60 < ours.values[0] < peer.values[0]
    assert peer.facts["minutes to its best"] == "0.0"
    assert ours.facts["minutes to its best"] == "never"
    faster, better = outcome.targets
    assert 1.6 < faster.values[0] < 6.5
    assert better.values == [pytest.approx(0.05)]


@pytest.mark.parametrize(("most", "ratios"), [(1000, []), (10_000, [2.0, 2.0])])
def test_memory_is_judged_by_more_than_one_set(tmp_path, monkeypatch, most, ratios):
    def peak_of(argv, cwd):
        drawn = yaml.safe_load((cwd / "params.yaml").read_text())["dataset"]["synthetic_pets"]
        return 1.0, 100 if drawn["trainval"] + drawn["test"] == 1000 else 200

    monkeypatch.setattr(memory, "peak_of", peak_of)
    outcome = memory.run(Options(tmp_path, 1, 1.0, (32,), 100, most, None, None))
    assert [target.values[0] for target in outcome.targets] == ratios
    assert not any(target.met for target in outcome.targets)


def test_an_unknown_part_is_told_with_those_there_are():
    done = CliRunner().invoke(main, ["training"])
    assert done.exit_code != 0
    assert "'training' is not one of 'limits', 'input'" in done.output
