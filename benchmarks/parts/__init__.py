"""The benchmarks, one module each with `run(options)`. Importing one imports TensorFlow."""

from petseg.core.tf_import import import_tensorflow

import_tensorflow()
