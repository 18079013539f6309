"""The stage export: from a trained model to the files of other runtimes, each compared with it."""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from petseg.batches import example_batches, read_batches
from petseg.config.params import ExportParams
from petseg.config.paths import PipelinePaths
from petseg.config.types import ExportFormat
from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.determinism import make_deterministic
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILE_NAMES, SourceModel, read_exported, write_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.exporting.verify import Picture, Tally, tally_all
from petseg.metrics import rounded
from petseg.model.saved import MODEL_FILE, load_model
from petseg.prediction.predict import check_fit, keras_predict_fn
from petseg.shards.manifest import Manifest, open_shards, read_manifest

_EXACT: tuple[ExportFormat, ...] = ("litert_float32", "onnx")
_TOLERANCE = 0.01  # that probabilities of an exact format may be off on average: a network of a few steps multiplies
# the last bits, and single pixels of it were off by 0.05
_BATCH = 16


def export(params: ExportParams, paths: PipelinePaths) -> None:
    """Convert, run each file on test pictures, and write all if none is a different network. Raises PetsegError."""
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    check_fit(saved, manifest)
    make_deterministic()
    calibrating = params.calibration_images if "litert_int8" in params.formats else 0
    examples = [image for image, _ in _pictures(paths.shards, manifest, "train", calibrating)]
    contents: dict[ExportFormat, bytes] = {}
    for name in tqdm(params.formats, desc="convert", unit="format", disable=None):
        contents[name] = convert(saved.network, saved.image_size, name, examples)
    facts = SourceModel(
        classes=saved.classes,
        image_size=saved.image_size,
        sha256=sha256_of(paths.model / MODEL_FILE),
    )
    with atomic_directory(paths.exported) as folder:
        write_exported(folder, contents, facts)
        scorers = {
            name: exported_predict_fn(read_exported(folder / FILE_NAMES[name]), threads=1)
            for name in contents
        }
        compared = min(params.test_images, manifest.splits["test"].num_examples)
        pictures = _pictures(paths.shards, manifest, "test", compared)
        reference, tallies = tally_all(
            keras_predict_fn(saved.network, saved.image_size),
            scorers,
            tqdm(pictures, total=compared, desc="compare", unit="picture", disable=None),
        )
        _check(tallies)
    rows = {name: _row(len(contents[name]), tally, reference) for name, tally in tallies.items()}
    atomic_write(
        paths.export_metrics, json.dumps({"export": rows}, indent=2, allow_nan=False) + "\n"
    )
    _tell(rows, reference, tallies)


def _pictures(shards_dir: Path, manifest: Manifest, split: str, number: int) -> Iterator[Picture]:
    """The first ones of a split, in the order of its shards. Raises PetsegError if the shards aren't whole."""
    batches = read_batches(example_batches(open_shards(shards_dir, manifest, split), _BATCH))
    pairs = (
        pair
        for batch in batches
        for pair in zip(batch["image"].numpy(), batch["mask"].numpy(), strict=True)
    )
    return islice(pairs, number)


def _check(tallies: Mapping[ExportFormat, Tally]) -> None:
    for name, tally in tallies.items():
        if not math.isfinite(tally.max_abs_error):
            raise PetsegError(
                f"{FILE_NAMES[name]} gives what is no probability; take {name} out of export.formats."
            )
    for name in _EXACT:
        if name in tallies and not tallies[name].mean_abs_error <= _TOLERANCE:
            raise PetsegError(
                f"{FILE_NAMES[name]} is not the network that was trained: its probabilities differ by "
                f"{tallies[name].mean_abs_error:.2g} on average; take {name} out of export.formats."
            )


def _row(size: int, tally: Tally, reference: Tally) -> dict[str, float | None]:
    """What is stored of a format; nothing in it depends on the clock, so that a second run gives the same bytes."""
    return {
        "bytes": size,
        "mean_iou": rounded(tally.mean_iou),
        "mean_iou_delta": rounded(tally.mean_iou - reference.mean_iou),
        "max_abs_error": rounded(tally.max_abs_error),
        "agreement": rounded(tally.agreement),
    }


def _tell(
    rows: Mapping[ExportFormat, Mapping[str, float | None]],
    reference: Tally,
    tallies: Mapping[ExportFormat, Tally],
) -> None:
    """For whoever waits, with the times, which no two runs have in common."""
    table = pd.DataFrame(
        [
            {"format": name, **row, "milliseconds": tallies[name].milliseconds}
            for name, row in rows.items()
        ]
    )
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print(
        f"On {len(reference.seconds)} test pictures, one at a time; milliseconds are the median with one thread. "
        f"Keras's network: mean IoU {reference.mean_iou:.4f}, {reference.milliseconds:.3g} ms with all threads."
    )
