"""Labelled masses: the dual-discriminator autoencoder GAN of Lee et al. 2018 and its visual feature processing."""

import preprocessing  # noqa: F401  settings of TensorFlow, made before it is imported
