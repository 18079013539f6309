"""Kill the pipeline's stages at random moments, run them again, and compare every byte.

    python tests/soak/kills.py --kills 40 --seed 0

Works with tiny parameters in a temporary clone. For each kill it takes away the stage's outs,
also from DVC's cache, and its entry in dvc.lock, starts `dvc repro STAGE`, ends it in one of
`WAYS` at a random moment (every second kill of train: shortly after a random step), and runs `dvc
repro STAGE` again. Outs and dvc.lock must be those of an undisturbed run, and a training must
resume from the newest whole checkpoint. Prints a table in Markdown, and exits with 1 if a byte
differs or a step was lost.

It does not imitate what a power cut does to DVC's own files: see docs/robustness.md.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for support

from support.clones import make_clone, stages_of
from support.kills import SETTINGS, STEPS, WAYS, Harness, Kill

EPOCHS = 8
_WEIGHTS = {"train": 2}  # the longest stage is killed twice as often


def run_undisturbed(folder: Path) -> tuple[Harness, dict[str, float]]:
    """Run all stages in a new clone. Return the harness, and the seconds of each stage."""
    clone = make_clone(folder)
    clone.set_params(**SETTINGS, train__epochs=EPOCHS)
    seconds = {}
    for stage in stages_of(folder):
        start = time.monotonic()
        clone.run("dvc", "repro", stage)
        seconds[stage] = time.monotonic() - start
    clone.commit("the undisturbed run")
    return Harness(clone), seconds


def plan(kills: int, stages: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """Choose (stage, way) for each kill: evenly, in random order."""
    turns = [stage for stage in stages for _ in range(_WEIGHTS.get(stage, 1))]
    ways = list(WAYS)
    chosen = []
    counts: Counter[str] = Counter()
    for number in range(kills):
        stage = turns[number % len(turns)]
        chosen.append((stage, ways[(counts[stage] + stages.index(stage)) % len(ways)]))
        counts[stage] += 1
    rng.shuffle(chosen)
    return chosen


def table(done: list[Kill]) -> str:
    """Return a row per stage in Markdown."""
    titles = ["stage", "kills", "moments (s)", "resumed from a checkpoint", *WAYS, "different"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for stage in dict.fromkeys(kill.stage for kill in done):
        rows = [kill for kill in done if kill.stage == stage]
        ways = Counter(kill.way for kill in rows)
        cells = [
            stage,
            len(rows),
            f"{min(k.after for k in rows):.1f} to {max(k.after for k in rows):.1f}",
            sum(kill.resumed_after > 0 for kill in rows),
            *(ways[way] for way in WAYS),
            sum(bool(kill.different) for kill in rows),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def run_kills(harness: Harness, seconds: dict[str, float], kills: int, seed: int) -> list[str]:
    """Kill, resume and compare. Print the progress and a table; return what is wrong."""
    rng = random.Random(seed)
    done: list[Kill] = []
    trainings = 0
    for number, (stage, way) in enumerate(plan(kills, list(harness.stages), rng), 1):
        # Most of the training's short time is its start: every second kill comes after a step.
        trainings += stage == "train"
        step = rng.randrange(1, EPOCHS * STEPS) if stage == "train" and trainings % 2 else None
        while True:
            if step:
                due = harness.after_step(step, rng)
            else:
                due = harness.at(rng.uniform(0, seconds[stage]))
            kill = harness.kill(stage, way, rng, due)
            if not kill.ended_before:
                break
            print("too late:", kill, flush=True)
        done.append(kill)
        print(f"{number}/{kills}", kill, flush=True)
    print(f"\n{len(done)} kills, seed {seed}\n\n{table(done)}\n")
    wrong = harness.finish()
    wrong += [f"different: {kill}" for kill in done if kill.different]
    return wrong + [f"lost steps: {kill}" for kill in done if kill.lost]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="petseg-kills-") as folder:
        harness, seconds = run_undisturbed(Path(folder) / "petseg")
        print("undisturbed:", {k: round(v, 1) for k, v in seconds.items()}, flush=True)
        wrong = run_kills(harness, seconds, options.kills, options.seed)
    print("\n".join(wrong) or "In the end everything is as in the undisturbed run.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
