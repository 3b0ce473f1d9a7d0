"""Numbers about generated images, each of them comparable with the same number of real ones."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
