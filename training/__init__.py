"""What all trainings share: the base of the models, the trainer, checkpoints, run directories, and export."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
