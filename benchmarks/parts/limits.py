"""The machine's limits: a large matrix product and a large copy by TensorFlow on all cores."""

import tensorflow as tf

from benchmarks.contenders import Contender, Prepared, rate, take_turns
from benchmarks.options import Options
from benchmarks.results import Results, Table

_SIDE = 2048  # rows and columns of the matrices
_NUMBERS = 2**26  # float32 to copy, more than any cache holds


def product(seconds: float) -> Prepared:
    """Measure billions of multiply-adds per second."""
    matrix = tf.ones([_SIDE, _SIDE])
    work = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)[0]))
    return Prepared(lambda: rate(lambda: work().numpy(), _SIDE**3, seconds) / 1e9)


def copy(seconds: float) -> Prepared:
    """Measure gigabytes read and written per second."""
    numbers = tf.ones([_NUMBERS])
    work = tf.function(lambda: numbers * 2.0)
    return Prepared(lambda: rate(work, 2 * 4 * _NUMBERS, seconds) / 1e9)


def run(options: Options) -> Results:
    tables = []
    for title, unit, prepare in (
        (f"Product of two matrices of {_SIDE} x {_SIDE}, float32", "G multiply-adds/s", product),
        (f"{_NUMBERS:,} float32 doubled", "GB/s", copy),
    ):
        contender = Contender("TensorFlow, all cores", prepare, {"seconds": options.seconds})
        tables.append(Table(title, take_turns([contender], unit, options.repetitions)))
    return Results("limits", tables)
