"""Options for every tf.data pipeline: a fixed order, all cores, and no autotuner.

The autotuner's thread sleeps up to a minute between rounds. In TensorFlow 2.21 the destructor of an
iterator waits for it, so each pass over a dataset ended in a pause of 10 to 60 seconds.
"""

import os

import tensorflow as tf

PARALLEL_CALLS = os.cpu_count() or 1
"""How many elements a `map` processes at a time. The order of the results doesn't depend on it."""


def finalize_dataset(dataset: tf.data.Dataset, prefetch: int) -> tf.data.Dataset:
    """Apply the options and prefetch this many elements. Call it last."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return dataset.prefetch(prefetch).with_options(options)
