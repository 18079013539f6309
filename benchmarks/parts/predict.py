"""One image and a folder of photos, predicted by Keras and by the exported models."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.contenders import Contender, Measurement, Prepared, ratio, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table, Target
from benchmarks.workspace import random_batch, save_exported, save_untrained, synthetic_params
from petseg.config.types import ExportFormat
from petseg.datasets.synthetic.draw import draw_pet
from petseg.exporting.exported import FILE_NAMES, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.model.saved import load_model
from petseg.photos.find_files import InputFile, ResultKind
from petseg.photos.predict_files import predict_files
from petseg.photos.predictor import Predictor, load
from petseg.photos.result_files import ALL_KINDS

_NUM_PHOTOS, _SIDE = 48, 500  # of the folder, in pixels
_BATCH = 16
_CALLS = 50  # per repetition
_MASKS_ONLY = f"{FILE_NAMES['litert_int8']}, masks only"


def keras_predict(model: Path) -> Prepared:
    """Run Keras's `model.predict` on one image of the network's size."""
    saved = load_model(model)
    image = random_batch(1, saved.image_size)[0].astype(np.float32)
    return _latency(lambda: saved.network.predict(image, verbose=0))


def petseg_keras(model: Path) -> Prepared:
    predictor = load(model)
    image = random_batch(1, predictor.image_size)[0][0]
    return _latency(lambda: predictor.predict(image).mask)


def petseg_exported(exported: Path, name: ExportFormat) -> Prepared:
    predictor = _exported(exported, name, threads=1)
    image = random_batch(1, predictor.image_size)[0][0]
    return _latency(lambda: predictor.predict(image).mask)


def folder_keras(model: Path, photos: Path) -> Prepared:
    return _folder(load(model), photos)


def folder_exported(
    exported: Path, name: ExportFormat, photos: Path, kinds: Sequence[ResultKind] = ALL_KINDS
) -> Prepared:
    return _folder(_exported(exported, name, os.cpu_count() or 1), photos, kinds)


def _exported(folder: Path, name: ExportFormat, threads: int) -> Predictor:
    file = read_exported(folder / FILE_NAMES[name])
    return Predictor(exported_predict_fn(file, threads=threads), file.classes, file.image_size)


def _latency(predict: Callable[[], object]) -> Prepared:
    """Measure the median time of a call, and the 95th percentile over all repetitions."""
    details: dict[str, float] = {}
    taken: list[float] = []

    def measure() -> float:
        times = []
        for _ in range(_CALLS):
            start = time.perf_counter()
            predict()
            times.append((time.perf_counter() - start) * 1000)
        taken.extend(times)
        details["p95"] = float(np.percentile(taken, 95))
        return float(np.median(times))

    return Prepared(measure, details)


def _folder(
    predictor: Predictor, photos: Path, kinds: Sequence[ResultKind] = ALL_KINDS
) -> Prepared:
    """Read JPEGs, predict them and write results of these kinds."""
    files = [InputFile(path, path.stem) for path in sorted(photos.iterdir())]

    def measure() -> float:
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            done = predict_files(predictor, files, Path(out), _BATCH, kinds=kinds)
            assert not done.skipped, done.skipped
            return len(files) / (time.perf_counter() - start)

    return Prepared(measure)


def _write_photos(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(_NUM_PHOTOS):
        image, _, _ = draw_pet(0, number, _SIDE)
        Image.fromarray(image).save(folder / f"{number:03d}.jpg", quality=92)
    return folder


def _one_photo_name(name: ExportFormat) -> str:
    return f'`petseg.load("{FILE_NAMES[name]}")`, one thread'


def _row(measurements: Sequence[Measurement], name: str) -> Measurement:
    return next(row for row in measurements if row.name == name)


def run(options: Options) -> Results:
    size, photos = options.sizes[0], _write_photos(options.scratch / "photos")
    tables, targets = [], []
    for recipe in ("fast", "mobilenet pets128"):
        model = save_untrained(synthetic_params(recipe, options.num_images, size), options.scratch)
        exported = save_exported(model)
        single = take_turns(
            [
                Contender("Keras's `model.predict`, all cores", keras_predict, {"model": model}),
                Contender(
                    '`petseg.load("models/unet")`, all cores', petseg_keras, {"model": model}
                ),
                *(
                    Contender(
                        _one_photo_name(name),
                        petseg_exported,
                        {"exported": exported, "name": name},
                    )
                    for name in FILE_NAMES
                ),
            ],
            "ms",
            options.repetitions,
        )
        folder = take_turns(
            [
                Contender("models/unet", folder_keras, {"model": model, "photos": photos}),
                *(
                    Contender(
                        FILE_NAMES[name],
                        folder_exported,
                        {"exported": exported, "name": name, "photos": photos},
                    )
                    for name in FILE_NAMES
                ),
                Contender(
                    _MASKS_ONLY,
                    folder_exported,
                    {
                        "exported": exported,
                        "name": "litert_int8",
                        "photos": photos,
                        "kinds": ("mask",),
                    },
                ),
            ],
            "photos/s",
            options.repetitions,
        )
        tables += [
            Table(f"One image, `{recipe}` at {size} px", single),
            Table(
                f"`petseg predict`, a folder of JPEGs of {_SIDE} px, `{recipe}`, all cores", folder
            ),
        ]
        float32 = _row(single, _one_photo_name("litert_float32"))
        targets += [
            Target(f"ms per image, `{recipe}`, {float32.name}", float32.values, 10, at_least=False),
            Target(
                f"speed relative to `model.predict`, `{recipe}`, {float32.name}",
                ratio(single[0], float32),
                3,
            ),
        ]
        if recipe == "fast":
            all_kinds = _row(folder, FILE_NAMES["litert_int8"])
            masks = _row(folder, _MASKS_ONLY)
            what = f"photos/s of masks alone relative to all results, `{recipe}`, {all_kinds.name}"
            targets.append(Target(what, ratio(masks, all_kinds), 4))
    return Results("predict", tables, targets)
