"""Mask-embedding GAN: a breast mask and a random vector in, a mammogram out (Ren et al., MICCAI 2019)."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
