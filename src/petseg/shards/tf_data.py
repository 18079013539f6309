"""How every tf.data pipeline here runs: in a fixed order, on all cores, without tf.data's autotuner.

The autotuner's thread sleeps between its rounds, up to a minute, and in TensorFlow 2.21 an iterator's destructor waits
for it to wake: each pass over a data set ended in a pause of 10 to 60 seconds.
"""

import os

import tensorflow as tf

PARALLEL_CALLS = os.cpu_count() or 1
"""How many elements a `map` works on at a time; the order of its results doesn't depend on it."""


def finalize_dataset(dataset: tf.data.Dataset, prefetch: int) -> tf.data.Dataset:
    """The end of a pipeline: the options above, and so many elements prepared ahead."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.prefetch(prefetch).with_options(options)
