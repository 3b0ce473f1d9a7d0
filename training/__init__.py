"""What every adversarial run shares: the model base, checkpoints, run directory, and export."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
