"""The stage export: from a trained model to the files of other runtimes, each compared with it."""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from petseg.batches import read_batches, whole_batches
from petseg.determinism import make_deterministic
from petseg.errors import PetsegError
from petseg.evaluation.predict import check_fit, keras_scorer
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILES, ModelFacts, read_exported, write_exported
from petseg.exporting.runtimes import exported_scorer
from petseg.exporting.verify import Picture, Tally, tally_all
from petseg.fields import ExportFormat
from petseg.files import whole_folder, write_whole
from petseg.hashing import sha256_of
from petseg.model.saved import MODEL_FILE, load_model
from petseg.params import ExportParams
from petseg.records.manifest import Manifest, checked_shards, read_manifest

_EXACT: tuple[ExportFormat, ...] = ("litert_float32", "onnx")
_TOLERANCE = 0.01  # that probabilities of an exact format may be off on average: a network of a few steps multiplies
# the last bits, and single pixels of it were off by 0.05
_DIGITS = 6
_BATCH = 16


def export(params: ExportParams, records_dir: Path, model_dir: Path, exported_dir: Path, metrics_file: Path) -> None:
    """Convert, run each file on test pictures, and write all if none is a different network. Raises PetsegError."""
    manifest, saved = read_manifest(records_dir), load_model(model_dir)
    check_fit(saved, manifest)
    make_deterministic()
    number = params.calibration_pictures if "litert_int8" in params.formats else 0
    examples = [image for image, _ in _pictures(records_dir, manifest, "train", number)]
    contents: dict[ExportFormat, bytes] = {}
    for name in tqdm(params.formats, desc="convert", unit="format", disable=None):
        contents[name] = convert(saved.network, saved.image_size, name, examples)
    facts = ModelFacts(classes=saved.classes, image_size=saved.image_size, sha256=sha256_of(model_dir / MODEL_FILE))
    with whole_folder(exported_dir) as folder:
        write_exported(folder, contents, facts)
        scorers = {name: exported_scorer(read_exported(folder / FILES[name]), threads=1) for name in contents}
        number = min(params.test_pictures, manifest.splits["test"].examples)
        pictures = _pictures(records_dir, manifest, "test", number)
        reference, tallies = tally_all(
            keras_scorer(saved.network, saved.image_size),
            scorers,
            tqdm(pictures, total=number, desc="compare", unit="picture", disable=None),
        )
        _check(tallies)
    table = _table(reference, tallies, {name: len(content) for name, content in contents.items()})
    rows = table.set_index("format").drop(columns="file").astype(object)
    rows = rows.where(rows.notna(), None)  # JSON knows no NaN
    write_whole(metrics_file, json.dumps({"export": rows.to_dict("index")}, indent=2, allow_nan=False) + "\n")
    _tell(table, reference, tallies)


def _pictures(records_dir: Path, manifest: Manifest, split: str, number: int) -> Iterator[Picture]:
    """The first ones of a split, in the order of its shards. Raises PetsegError if the shards aren't whole."""
    batches = read_batches(whole_batches(checked_shards(records_dir, manifest, split), _BATCH))
    pairs = (pair for batch in batches for pair in zip(batch["image"].numpy(), batch["mask"].numpy(), strict=True))
    return islice(pairs, number)


def _check(tallies: Mapping[ExportFormat, Tally]) -> None:
    for name, tally in tallies.items():
        if not math.isfinite(tally.largest_difference):
            raise PetsegError(f"{FILES[name]} gives what is no probability; take {name} out of export.formats.")
    for name in _EXACT:
        if name in tallies and not tallies[name].mean_difference <= _TOLERANCE:
            raise PetsegError(
                f"{FILES[name]} is not the network that was trained: its probabilities differ by "
                f"{tallies[name].mean_difference:.2g} on average; take {name} out of export.formats."
            )


def _table(reference: Tally, tallies: Mapping[ExportFormat, Tally], sizes: Mapping[ExportFormat, int]) -> pd.DataFrame:
    """A row per format; nothing in it depends on the clock, so that a second run gives the same bytes."""
    rows = [
        {
            "format": name,
            "file": FILES[name],
            "bytes": sizes[name],
            "mean_iou": tally.mean_iou,
            "mean_iou_change": tally.mean_iou - reference.mean_iou,
            "largest_difference": tally.largest_difference,
            "agreement": tally.agreement,
        }
        for name, tally in tallies.items()
    ]
    return pd.DataFrame(rows).round(_DIGITS)


def _tell(table: pd.DataFrame, reference: Tally, tallies: Mapping[ExportFormat, Tally]) -> None:
    """For whoever waits, with the times, which no two runs have in common."""
    timed = table.assign(milliseconds=[tally.milliseconds for tally in tallies.values()])
    print(timed.to_string(index=False, float_format="{:.4g}".format))
    print(
        f"On {len(reference.seconds)} test pictures, one at a time; milliseconds are the median with one thread. "
        f"Keras's network: mean IoU {reference.mean_iou:.4f}, {reference.milliseconds:.3g} ms with all threads."
    )
