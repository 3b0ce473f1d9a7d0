"""Synthetic mammograms from a trained generator: where masks come from, drawing, and writing."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
