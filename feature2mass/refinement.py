"""Texture in the decoder (ours): convolutions that add to a unit's features, and noise from the visual feature.

Both are switches of `NetworkConfig` and change nothing at first: the last convolution of each starts at zero.
"""

import keras
from keras import ops

from training.layers import PACKAGE, PixelNorm, determined_noise, leaky_relu, repeat_border

HASH_UNITS = 32
HASH_LAYERS = 4
HASH_GAIN = 8.0  # deviation of what enters each tanh: far above 1, so that near features part
NOISE_STRENGTH = 0.1  # deviation at the start, by which the maps enter


@keras.saving.register_keras_serializable(PACKAGE)
class StopGradient(keras.layers.Layer):
    """Identity through which no gradient goes: an encoder cannot aim at the noise that its features will have."""

    def call(self, inputs):
        return ops.stop_gradient(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def stock_layer(self) -> keras.layers.Layer:
        return keras.layers.Identity(name=self.name, dtype="float32")


def hashed(feature):
    """Compute random numbers (n, 32) in [−1, 1] that the visual feature determines, in float32.

    Frozen tanh layers of large gain: features that differ by a half have hashes that differ nearly as much as those
    of any two. The feature's length does not count, so that mixtures, which are shorter, differ as much.
    """
    numbers = StopGradient(name="hash_feature", dtype="float32")(feature)
    numbers = PixelNorm(name="hash_feature_norm", dtype="float32")(numbers)
    for layer in range(1, HASH_LAYERS + 1):
        spread = HASH_GAIN / numbers.shape[-1] ** 0.5
        numbers = keras.layers.Dense(
            HASH_UNITS,
            activation="tanh",
            kernel_initializer=keras.initializers.RandomNormal(stddev=spread),
            bias_initializer=keras.initializers.RandomNormal(stddev=1.0),
            trainable=False,
            name=f"hash_{layer}",
            dtype="float32",
        )(numbers)
    return numbers


def refined(features, numbers, name: str, dtype: str):
    """Add to features (n, size, size, filters) what two 3×3 convolutions make of them, and of noise.

    Args:
        numbers: from `hashed`; None: without noise.
        name: prefix of the layers' names.
    """
    filters = features.shape[-1]
    inner = features
    if numbers is not None:
        strength = keras.layers.Conv2D(
            filters,
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=NOISE_STRENGTH),
            name=f"{name}_noise_strength",
            dtype=dtype,
        )
        _, height, width, _ = features.shape
        noise = strength(determined_noise(numbers, height, width, f"{name}_noise"))
        inner = keras.layers.Add(name=f"{name}_noise_added", dtype=dtype)([inner, noise])
    for pixel in (1, 2):
        inner = repeat_border(inner, f"{name}_border_{pixel}", dtype)
    for number, start in ((1, "he_normal"), (2, "zeros")):
        inner = leaky_relu(f"{name}_{number}_activation", dtype)(inner)
        inner = keras.layers.Conv2D(filters, 3, kernel_initializer=start, name=f"{name}_{number}", dtype=dtype)(inner)
    return keras.layers.Add(name=name, dtype=dtype)([features, inner])
