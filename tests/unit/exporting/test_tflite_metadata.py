"""The metadata of LiteRT files, read back field by field, and their class names."""

import io
import zipfile

import flatbuffers
import pytest
from flatbuffers.number_types import Float32Flags, Int32Flags, UOffsetTFlags

from petseg.exporting.exported import FILE_NAMES
from petseg.exporting.tflite_metadata import append_labels, metadata_buffer

UINT8 = flatbuffers.number_types.Uint8Flags


def root_of(buffer):
    return flatbuffers.table.Table(
        buffer, flatbuffers.encode.Get(UOffsetTFlags.packer_type, buffer, 0)
    )


def position(table, slot):
    offset = table.Offset(4 + 2 * slot)
    assert offset, f"field {slot} is missing"
    return table.Pos + offset


def child(table, *slots):
    """The table in a field, or the first in the field's list."""
    for slot, is_list in slots:
        start = position(table, slot)
        start = table.Vector(start - table.Pos) if is_list else start
        table = flatbuffers.table.Table(table.Bytes, table.Indirect(start))
    return table


def text(table, slot):
    return table.String(position(table, slot)).decode()


def number(table, slot, kind=Int32Flags):
    return table.Get(kind, position(table, slot))


def floats(table, slot):
    offset = table.Offset(4 + 2 * slot)
    start = table.Vector(offset)
    return [table.Get(Float32Flags, start + 4 * i) for i in range(table.VectorLen(offset))]


ONE, FIRST = False, True


def test_the_metadata_says_how_to_feed_the_network():
    model = root_of(metadata_buffer())
    image = child(model, (3, FIRST), (2, FIRST))
    assert text(image, 0) == "image"
    assert number(child(image, (3, ONE)), 0, UINT8) == 2  # ImageProperties
    assert number(child(image, (3, ONE), (1, ONE)), 0, UINT8) == 1  # RGB
    unit = child(image, (4, FIRST))
    assert number(unit, 0, UINT8) == 1  # NormalizationOptions
    normalization = child(unit, (1, ONE))
    assert (floats(normalization, 0), floats(normalization, 1)) == ([0.0], [1.0])
    assert (floats(child(image, (5, ONE)), 0), floats(child(image, (5, ONE)), 1)) == (
        [255.0],
        [0.0],
    )


def test_the_metadata_says_where_the_class_names_are():
    buffer = metadata_buffer()
    assert buffer[4:8] == b"M001"
    model = root_of(buffer)
    assert text(model, 7) == "1.0.0"  # the oldest parser that understands it
    probabilities = child(model, (3, FIRST), (3, FIRST))
    file = child(probabilities, (6, FIRST))
    assert text(file, 0) == "labels.txt"
    assert number(file, 2, UINT8) == 2  # TENSOR_AXIS_LABELS
    axes = child(probabilities, (3, ONE), (2, ONE))
    assert (number(axes, 0), number(axes, 1)) == (1, 2)  # height and width


@pytest.mark.parametrize("name", ["litert_float32", "litert_float16", "litert_int8"])
def test_a_litert_file_carries_the_metadata_and_the_class_names(exported_run, name):
    content = (exported_run.exported / FILE_NAMES[name]).read_bytes()
    assert content.count(metadata_buffer()) == 1
    assert b"TFLITE_METADATA" in content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt") == b"pet\nbackground\nborder\n"


def test_bytes_of_the_network_that_look_like_an_archive_stay():
    network = b"TFL3" + zip_of_nothing() + b"weights"
    content = append_labels(network, ["käse"])
    assert content.startswith(network)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode() == "käse\n"


def zip_of_nothing():
    file = io.BytesIO()
    zipfile.ZipFile(file, "w").close()
    return file.getvalue()
