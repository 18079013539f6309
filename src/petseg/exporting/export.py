"""The export stage: convert a trained model for other runtimes and compare each file with it."""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from petseg.batches import example_batches, read_batches
from petseg.config.params import ExportParams
from petseg.config.paths import PipelinePaths
from petseg.config.types import ExportFormat
from petseg.core.atomic_io import atomic_directory, write_json
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.determinism import make_deterministic
from petseg.exporting.convert import convert
from petseg.exporting.exported import ALL_NAMES, Content, SourceModel, read_exported, write_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.exporting.saved_model import SAVED_MODEL_VERSION
from petseg.exporting.saved_model_process import saved_model_predict_fn
from petseg.exporting.verify import BackendStats, LabeledImage, compare_backends
from petseg.metrics import rounded
from petseg.model.saved import MODEL_FILE, SavedModel, load_model
from petseg.prediction.backend import PredictFn
from petseg.prediction.predict import check_model_fits, keras_predict_fn
from petseg.shards.manifest import Manifest, open_shards, read_manifest

_LOSSLESS: tuple[ExportFormat, ...] = ("litert_float32", "onnx", "onnx_photo", "saved_model")
# Allowed mean absolute error of a lossless format's probabilities. A network trained for a few
# steps amplifies rounding errors; single pixels were off by 0.05.
_TOLERANCE = 0.01
_BATCH_SIZE = 16


def export(params: ExportParams, paths: PipelinePaths) -> None:
    """Convert the model and compare each file with it on test images.

    Write the files and metrics if all are correct. Raises PetsegError.
    """
    manifest, saved = read_manifest(paths.shards), load_model(paths.model)
    check_model_fits(saved, manifest)
    make_deterministic()
    contents = _convert_all(params, paths.shards, manifest, saved)
    source = SourceModel(
        classes=saved.classes,
        image_size=saved.image_size,
        sha256=sha256_of(paths.model / MODEL_FILE),
        resize=saved.resize,
        tiles=saved.tiles,
        dataset=saved.origin.dataset if saved.origin else None,
    )
    with atomic_directory(paths.exported) as folder, ExitStack() as processes:
        write_exported(folder, contents, source)
        exported = {name: _predict_fn(folder, name, processes) for name in contents}
        num_images = min(params.test_images, manifest.splits["test"].num_examples)
        examples = _first_examples(paths.shards, manifest, "test", num_images)
        reference, stats = compare_backends(
            keras_predict_fn(saved.network, saved.image_size),
            exported,
            tqdm(examples, total=num_images, desc="compare", unit="image", disable=None),
        )
        _check(stats)
    metrics = {
        name: _metrics(_size(contents[name]), stats[name], reference) for name in params.formats
    }
    write_json(paths.export_metrics, {"export": metrics})
    _print_summary(metrics, reference, stats, "tiles" if saved.tiles else "images")


def _convert_all(
    params: ExportParams, shards_dir: Path, manifest: Manifest, saved: SavedModel
) -> dict[ExportFormat, Content]:
    calibration_images = []
    if "litert_int8" in params.formats:
        examples = _first_examples(shards_dir, manifest, "train", params.calibration_images)
        calibration_images = [image for image, _ in examples]
    return {
        name: convert(saved, name, calibration_images)
        for name in tqdm(params.formats, desc="convert", unit="format", disable=None)
    }


def _predict_fn(folder: Path, name: ExportFormat, processes: ExitStack) -> PredictFn:
    """Load an exported file or folder, on one thread."""
    if name == "saved_model":
        version = folder / ALL_NAMES[name] / SAVED_MODEL_VERSION
        return processes.enter_context(saved_model_predict_fn(version))
    return exported_predict_fn(read_exported(folder / ALL_NAMES[name]), threads=1)


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else sum(map(len, content.values()))


def _first_examples(
    shards_dir: Path, manifest: Manifest, split: str, count: int
) -> Iterator[LabeledImage]:
    """Yield a split's first images and masks. Raises PetsegError if a shard is damaged."""
    shards = open_shards(shards_dir, manifest, split)
    examples = (
        example
        for batch in read_batches(example_batches(shards, _BATCH_SIZE))
        for example in zip(batch["image"].numpy(), batch["mask"].numpy(), strict=True)
    )
    return islice(examples, count)


def _check(stats: Mapping[ExportFormat, BackendStats]) -> None:
    """Raise PetsegError if a file's probabilities are wrong."""
    for name, backend in stats.items():
        remedy = f"remove {name} from export.formats"
        if not math.isfinite(backend.max_abs_error):
            raise PetsegError(f"{ALL_NAMES[name]} outputs NaN or Inf; {remedy}.")
        if name in _LOSSLESS and backend.mean_abs_error > _TOLERANCE:
            raise PetsegError(
                f"{ALL_NAMES[name]} does not match the trained network: its probabilities differ "
                f"by {backend.mean_abs_error:.2g} on average; {remedy}."
            )


def _metrics(
    num_bytes: int, stats: BackendStats, reference: BackendStats
) -> dict[str, float | None]:
    """Return a format's metrics, without times, so that every run writes the same bytes."""
    return {
        "bytes": num_bytes,
        "mean_iou": rounded(stats.mean_iou),
        "mean_iou_delta": rounded(stats.mean_iou - reference.mean_iou),
        "max_abs_error": rounded(stats.max_abs_error),
        "pixel_agreement": rounded(stats.pixel_agreement),
    }


def _print_summary(
    metrics: Mapping[ExportFormat, Mapping[str, float | None]],
    reference: BackendStats,
    stats: Mapping[ExportFormat, BackendStats],
    inputs: str,
) -> None:
    """Print the metrics and the times."""
    rows = [
        {"format": name, **row, "milliseconds": stats[name].milliseconds}
        for name, row in metrics.items()
    ]
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4g}".format))
    print(
        f"Measured on {len(reference.seconds)} test {inputs}, one at a time; milliseconds are "
        f"medians with one thread. Keras network: mean IoU {reference.mean_iou:.4f}, "
        f"{reference.milliseconds:.3g} ms with all threads."
    )
