"""Metrics of generated images, each comparable with the same metric of real ones."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
