"""What is measured, a module each: `run(options)` gives the outcome. Importing one imports TensorFlow, quietly."""

from petseg.core.tf_import import import_tensorflow

import_tensorflow()
