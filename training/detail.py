"""Fine stochastic detail for a generator: texture that its input vector mixes, as strong as an image is bright (ours).

A generator of this size is fed some hundred numbers, all of them at its lowest resolution, and in a short training
never learns to spread them over a hundred thousand pixels: tissue comes out airbrushed. So its image is multiplied by
1 + a random field, a sum of octaves. An octave is a bank of frozen random maps, mixed by frozen random weights from the
input vector (the same vector, the same texture), whose power spectrum and variance are what real images add at that
resolution. Nothing of it is trained. Fed to the features instead, as the noise of Karras et al., *StyleGAN*, 2019, with
a learned strength, it grew to two and a half times that of real detail, where noise stands in for the variety of
tissue. All layers are stock layers.
"""

import cv2
import keras
import numpy as np

from training.layers import PixelNorm

ERODED = 1 / 64  # of the height: the rim of a mask, which is outline and not texture
SMOOTHED = 3  # pixels that the smooth enlargement reaches over an outline


def octave(source, height: int, width: int, maps: int, name: str):
    """One octave of a field (n, height, width, 1), 0 until its bank is given maps; in float32.

    Args:
        source: symbolic (n, size), about N(0, 1).
        maps: size of the bank.
        name: prefix of the layers' names: `<name>_drawn`, `_mixture`, `_maps` and `_field`.
    """
    return _mixed_maps(source, height, width, maps, name, keras.initializers.Zeros())


def latent_noise(source, height: int, width: int, maps: int, name: str):
    """White noise (n, height, width, 1) of variance 1 that a random vector determines; as `octave`, in float32."""
    white = keras.initializers.RandomNormal(stddev=maps**-0.5)
    return _mixed_maps(source, height, width, maps, name, white)


def _mixed_maps(source, height: int, width: int, maps: int, name: str, bank: keras.Initializer):
    frozen = {"use_bias": False, "trainable": False, "dtype": "float32"}
    drawn = keras.initializers.RandomNormal(stddev=1.0)
    mixture = keras.layers.Dense(maps, kernel_initializer=drawn, name=f"{name}_drawn", **frozen)(source)
    mixture = PixelNorm(name=f"{name}_mixture", dtype="float32")(
        mixture
    )  # mean square 1: every vector gets as much texture
    field = keras.layers.Dense(height * width, kernel_initializer=bank, name=f"{name}_maps", **frozen)(mixture)
    return keras.layers.Reshape((height, width, 1), name=f"{name}_field", dtype="float32")(field)


def sum_of_octaves(octaves: list, name: str):
    """Octaves of doubling resolution, coarsest first, as one field of the finest."""
    field = octaves[0]
    for number, finer in enumerate(octaves[1:], start=1):
        double = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_double_{number}", dtype="float32")
        field = keras.layers.Add(name=f"{name}_sum_{number}", dtype="float32")([double(field), finer])
    return field


def textured(image, field, name: str):
    """`image + max(0, brightness) · field`, where an image in [−1, 1] has the brightness image + 1; in float32."""
    brightness = keras.layers.Rescaling(1.0, 1.0, name=f"{name}_brightness", dtype="float32")(image)
    brightness = keras.layers.ReLU(name=f"{name}_positive", dtype="float32")(brightness)
    detail = keras.layers.Multiply(name=f"{name}_detail", dtype="float32")([brightness, field])
    return keras.layers.Add(name=f"{name}_textured", dtype="float32")([image, detail])


def relative_detail(images: np.ndarray, masks: np.ndarray, maps: int, rng: np.random.Generator) -> np.ndarray:
    """A bank of maps for `octave`: like the finest detail of real images, relative to their brightness.

    Args:
        images: float (n, height, width) in [0, 1].
        masks: float or bool (n, height, width).

    Returns:
        float32 (maps, height · width), weights of the layer `<name>_maps`; variances add up to that of the detail.
    """
    details, inner = finest_detail(images, masks)
    strength = np.sqrt(np.sum(details**2) / (np.sum((images * inner) ** 2) + 1e-12))  # masks may be nothing but rim
    return np.float32(strength / np.sqrt(maps)) * textures(details, maps, rng)


def finest_detail(images: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What images hold that their smooth enlargement from half the size does not.

    Args:
        images: float (n, height, width).
        masks: float or bool (n, height, width).

    Returns:
        (detail float32 (n, height, width), 0 outside; bool (n, height, width), the masks without their rims). The frame
        of the image is a rim too: a line along it would become stripes all over a texture.
    """
    height, width = images.shape[1:]
    radius = max(SMOOTHED, round(ERODED * height))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    rimless = [cv2.erode(np.uint8(mask), disc, borderType=cv2.BORDER_CONSTANT, borderValue=0) for mask in masks]
    inner = np.stack(rimless).astype(bool)
    details = []
    for image in np.asarray(images, np.float32):
        half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        smooth = cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
        details.append(image - smooth)
    return np.stack(details) * inner, inner


def textures(details: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random fields with the mean power spectrum of `details`, variance 1.

    Args:
        details: float (n, height, width), mean about 0.

    Returns:
        float32 (count, height · width), rows of a bank of maps.
    """
    amplitude = np.sqrt(np.mean(np.abs(np.fft.rfft2(details)) ** 2, axis=0))
    amplitude[0, 0] = 0.0
    height, width = details.shape[1:]
    white = rng.standard_normal((count, height, width))
    fields = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(height, width))
    fields /= fields.std(axis=(1, 2), keepdims=True) + 1e-12
    return fields.reshape(count, -1).astype(np.float32)
