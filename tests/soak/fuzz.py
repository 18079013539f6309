"""Broken bytes for everything that reads foreign files: shards, JSON, images, masks, folders.

    python tests/soak/fuzz.py --inputs 100000

Hypothesis makes each input from a sound one by changing, cutting, doubling and inserting bytes, or
from nothing. A reader must accept the sound inputs, and may accept or reject (PetsegError) any
other. Any other exception is a failure, and so are an input that takes over 20 seconds and a peak
memory above 2 GiB.
"""

import argparse
import faulthandler
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))  # this checkout's petseg

from petseg.batches import example_batches, read_batches
from petseg.config.data_params import FolderParams
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.sealed_json import sealed_json
from petseg.datasets.folder.checking import scan_folder
from petseg.datasets.folder.index import index_folder
from petseg.datasets.folder.masks.mask_files import MaskFile
from petseg.image_encoding import encode_image
from petseg.images.reading import read_facts, read_rgb
from petseg.model.saved import FORMAT, read_model_metadata
from petseg.model.unet import Architecture
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import FORMAT as MANIFEST_FORMAT
from petseg.shards.manifest import SPLITS, ShardSet, read_manifest
from support.memory import peak_mib

MAX_MEMORY = 2048  # MiB
MAX_SECONDS = 20
_MAX_EXAMPLES = 2000  # of one run of Hypothesis, which remembers them all

Reader = Callable[[Any], None]


@dataclass(frozen=True)
class Target:
    """A reader, inputs that it must accept, and inputs that may be anything."""

    read: Reader
    sound: list[Any]
    inputs: st.SearchStrategy[Any]


def mutated(sound: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for changed sound inputs and arbitrary bytes."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(sound)))
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, max(len(data) - 1, 0)))
            kind = draw(st.integers(0, 4))
            if kind <= 1 and data:
                data[at] = draw(st.integers(0, 255))
            elif kind == 2:
                data[at:at] = draw(st.binary(max_size=12))
            elif kind == 3:
                del data[at : at + draw(st.integers(1, 40))]
            else:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
        return bytes(data)

    return change() | st.binary(max_size=300)


def draw_images() -> list[bytes]:
    """Draw a small image of every kind that petseg reads."""
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    made = []
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "JPEG", {"exif": exif}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {}),
        ("L", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("1", "PNG", {}),
        ("I;16", "PNG", {}),
        ("RGB", "BMP", {}),
        ("P", "BMP", {}),
        ("RGB", "WEBP", {"lossless": True}),
        ("RGBA", "WEBP", {}),
    ]
    for mode, kind, options in kinds:
        content = io.BytesIO()
        image = (
            Image.fromarray(np.full((9, 7), 300, np.uint16))
            if mode == "I;16"
            else color.convert(mode)
        )
        image.save(content, kind, **options)
        made.append(content.getvalue())
    return made


def readers(folder: Path) -> dict[str, Target]:
    size, count = ImageSize(8, 12), 3
    rng = np.random.default_rng(0)
    image, mask = (
        rng.integers(0, 256, (*size, 3), np.uint8),
        rng.integers(0, 3, size, np.uint8),
    )
    examples = [
        serialize(Example(i, f"{i}.png", "pug", "dog", 9, 7, image, mask, b"png"))
        for i in range(count)
    ]
    shard = folder / "shard.tfrecord"
    batches = example_batches(ShardSet((str(shard),), count, size, 3), 2)  # its graph is made once

    def write_records(records: list[bytes]) -> bytes:
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for record in records:
                writer.write(record)
        return shard.read_bytes()

    def read_shard(data: bytes) -> None:
        shard.write_bytes(data)
        list(read_batches(batches))

    def read_record(data: bytes) -> None:
        read_shard(write_records([examples[0], data, examples[2]]))

    sealed, json_file = folder / "sealed", folder / "document.json"
    sealed.mkdir()

    def json_reader(read: Callable[[], Any]) -> Reader:
        def call(data: bytes) -> None:
            json_file.write_bytes(data)
            (folder / "manifest.json").write_bytes(data)
            read()

        return call

    def read_sealed(document: Any) -> None:
        json_file.write_text(
            sealed_json({**MODEL, **document}), encoding="utf-8", errors="surrogatepass"
        )
        read_model_metadata(json_file)

    def image_reader(read: Callable[[Path], Any]) -> Reader:
        def call(data: bytes) -> None:
            (folder / "image").write_bytes(data)
            read(folder / "image")

        return call

    names = st.sampled_from(
        ["a.png", "a.jpg", "b/a.png", ".x/a.png", "a.gif", "Thumbs.db", "x\ny.png", "a.png/a.png"]
    )
    contents = st.sampled_from(
        [
            b"",
            b"a.png\n",
            b"a 1 1 1\n",
            b"../a 1 1 1\n",
            b"\xff",
            b"\xef\xbb\xbfa.png\r\n",
            b"\0" * 9,
        ]
    )
    places = st.sampled_from(["images", "masks", "annotations", "annotations/trimaps"])
    paths = st.tuples(places, names).map("/".join) | st.sampled_from(
        [
            "test.txt",
            "images",
            "masks",
            "annotations",
            "annotations/trainval.txt",
            "annotations/test.txt",
        ]
    )
    pixels = {"images": image, "masks": mask % 2}
    sound = {
        f"{kind}/{name}": encode_image(Image.fromarray(pixels[kind]), "PNG")
        for kind in pixels
        for name in ("a.png", "b/a.png")
    }
    layout = st.dictionaries(paths, contents | st.none(), max_size=5).map(
        lambda changes: {**sound, "test.txt": b"a.png\n", **changes}
    )

    params = FolderParams(
        path="mine",
        annotations="auto",
        classes=("a", "b"),
        test_fraction=0.5,
        group="none",
        unlabeled="error",
    )

    def read_layout(files: dict[str, bytes | None]) -> None:
        root = folder / "layout"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, content in files.items():
            if content is None:
                continue
            with suppress(OSError):  # a file stands in the place of a folder
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        index = index_folder(params, root)
        scan_folder(index, params)
        index.findings.raise_problems(str(root))

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )
    documents = st.dictionaries(st.sampled_from([*MODEL]) | st.text(max_size=5), values, max_size=3)
    model, manifest = sealed_json(MODEL).encode(), sealed_json(MANIFEST).encode()

    def of_bytes(read: Reader, sound: list[bytes], rejected: Sequence[bytes] = ()) -> Target:
        """Make inputs of the sound ones and of some that are rejected as they are."""
        return Target(read, sound, mutated([*sound, *rejected]))

    images = draw_images()
    masks = [data for data in images if _is_mask(data)]
    no_masks = [data for data in images if not _is_mask(data)]
    return {
        "shards": of_bytes(read_shard, [write_records(examples)]),
        "records with a correct checksum": of_bytes(read_record, [examples[1]]),
        "model.json": of_bytes(json_reader(lambda: read_model_metadata(json_file)), [model]),
        "model.json with a correct checksum": Target(read_sealed, [{}], documents),
        "manifest.json": of_bytes(json_reader(lambda: read_manifest(folder)), [manifest]),
        "images": of_bytes(image_reader(lambda path: (read_facts(path), read_rgb(path))), images),
        "masks": of_bytes(image_reader(lambda path: MaskFile(path).read((9, 7))), masks, no_masks),
        "folder layouts": Target(read_layout, [{**sound, "test.txt": b"a.png\n"}], layout),
    }


def _is_mask(data: bytes) -> bool:
    """Whether Pillow sees one channel of 8 bits or less, stored without loss."""
    with Image.open(io.BytesIO(data)) as image:
        return image.format != "JPEG" and image.mode in ("L", "P", "1")


MODEL: dict[str, Any] = {
    "format": FORMAT,
    "architecture": Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 2).as_dict(),
    "classes": {"a": [1, 2, 3], "b": [4, 5, 6]},
    "ignore_label": 255,
    "input": {
        "size": 32,
        "channels": "RGB",
        "range": [0, 255],
        "rescaling": {"scale": 1.0, "offset": 0.0},
    },
    "weights": {"file": "model.weights.h5", "sha256": "0"},
    "origin": {
        "dataset": "pets",
        "train_images": 9,
        "val_images": 3,
        "val_sha256": "0",
        "seed": 0,
        "best_epoch": 2,
        "val_mean_iou": 0.5,
        "val_pixel_accuracy": 0.75,
    },
}
MANIFEST: dict[str, Any] = {
    "dataset": "folder",
    "image_size": [32, 64],
    "classes": {"a": [1, 2, 3], "b": [4, 5, 6]},
    "first_label": 0,
    "splits": {
        name: {
            "num_examples": 1,
            "pixels": {},
            "categories": {},
            "shards": [{"file": "x", "num_examples": 1, "sha256": ""}],
        }
        for name in SPLITS
    },
    "ignore_label": 255,
    "format": MANIFEST_FORMAT,
}


class TooSlowError(BaseException):
    """Not an Exception, so that no reader swallows it."""


def _too_slow(number: int, frame: Any) -> None:
    raise TooSlowError(f"this input takes longer than {MAX_SECONDS} seconds")


def fuzz(target: Target, inputs: int, number: int) -> tuple[int, int, float]:
    """Read the sound inputs and then others. Return (inputs, accepted, longest time in seconds)."""
    for data in target.sound:
        target.read(data)
    done = accepted = 0
    longest = 0.0
    signal.signal(signal.SIGALRM, _too_slow)

    def read(data: Any) -> None:
        nonlocal done, accepted, longest
        signal.alarm(MAX_SECONDS)
        faulthandler.dump_traceback_later(2 * MAX_SECONDS, exit=True)  # if it hangs outside Python
        start = time.monotonic()
        done += 1
        try:
            target.read(data)
            accepted += 1
        except PetsegError:
            pass
        except TooSlowError:
            print(f"too slow: {data!r}", flush=True)
            raise
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
            longest = max(longest, time.monotonic() - start)

    while done < inputs:
        limits = settings(
            max_examples=min(_MAX_EXAMPLES, inputs - done),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(number + done)(limits(given(target.inputs)(read)))()
    return done, accepted, longest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="for all readers together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="petseg-fuzz-") as folder:
        targets = readers(Path(folder))
        per_reader = -(-options.inputs // len(targets))  # rounded up
        print("| reader | inputs | accepted | rejected | longest (s) |\n|---|---|---|---|---|")
        for name, target in targets.items():
            done, accepted, longest = fuzz(target, per_reader, options.seed)
            print(
                f"| {name} | {done} | {accepted} | {done - accepted} | {longest:.2f} |", flush=True
            )
    peak = peak_mib()
    print(f"\npeak memory {peak:.0f} MiB")
    sys.exit(peak > MAX_MEMORY)


if __name__ == "__main__":
    main()
