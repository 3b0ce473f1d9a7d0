"""One fixed filter that gives the images of a finished generator the power spectrum of real ones (ours).

The finest levels of a generator that was trained briefly have too much detail of some frequencies and directions, such
as a mesh along the pixel grid, and too little of others. The mean spectra of tissue in real and in generated images say
how much; a filter of `FILTER`×`FILTER` pixels with the root of their ratio as its frequency response corrects it. It
only scales what the generator draws, and what is wider than about 16 pixels stays as it is.

The last level that is trained on whole images can have a filter of its own, which its image passes before levels that
are trained on windows add to it (`NetworkConfig.levelled`).
"""

import cv2
import keras
import numpy as np

from mask_embedding_gan.blocks import FILTER, levelled
from mask_embedding_gan.generator import clipped
from preprocessing.shards import Dataset

LEAST_WINDOWS = 8  # of an image that counts
IMAGES = 128  # real and generated, that are compared
BATCH = 16
IDENTITY = np.pad(np.ones((1, 1), np.float32), FILTER // 2)  # a filter that changes nothing


class NoRoomError(ValueError):
    """No breast has room for the windows in which spectra are measured."""


def window_size(height: int) -> int:
    """Return the size, in pixels, of the windows in which the spectra of images of a height are measured."""
    return 32 if height >= 256 else 16  # smaller breasts have no room for larger ones


def level_spectrum(generator: keras.Model, dataset: Dataset, seed: int = 0, image: str = "image") -> keras.Model:
    """Add the filter to a finished generator whose images are zero outside their masks.

    Args:
        generator: keras.Model. Of stock layers, from [mask (H, W, 1), latent] to an image (H, W, 1) in [0, 1].
        dataset: Dataset. Its training images are what the spectrum is taken from, and their masks are filled.
        seed: int. Which images, and the latents.
        image: str. Of `with_filter`.

    Returns:
        The generator with its filter, of stock layers.

    Raises:
        NoRoomError: No breast has room for `LEAST_WINDOWS` windows.
    """
    rng = np.random.default_rng(seed)
    level = generator.input_shape[0][1:3]
    items = np.sort(rng.permutation(dataset.indices("train"))[:IMAGES])
    masks = dataset.masks(level, items)
    latents = rng.standard_normal((len(items), generator.input_shape[1][1]), np.float32)
    inputs = [masks[..., None].astype(np.float32), latents]
    generated = generator.predict(inputs, batch_size=BATCH, verbose=0)[..., 0]
    spectra = [log_spectrum(images, masks) for images in (dataset.images(level, items), generated)]
    return with_filter(generator, levelling_filter(*spectra), image)


def log_spectrum(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the mean over images of the logarithm of their power spectrum inside the mask, float (size, size).

    The size is that of `window_size`.

    Args:
        images: float (n, height, width) in [0, 1].
        masks: bool (n, height, width).

    Raises:
        NoRoomError: No mask has room for `LEAST_WINDOWS` windows.
    """
    size = window_size(images.shape[1])
    taper = np.hanning(size + 1)[:size]
    spectra = []
    for image, mask in zip(images, masks, strict=True):
        windows = np.array(_windows(image, mask, size))
        if len(windows) >= LEAST_WINDOWS:
            windows = windows - windows.mean(axis=(1, 2), keepdims=True)
            power = np.abs(np.fft.fft2(windows * np.outer(taper, taper))) ** 2
            spectra.append(np.log(power.mean(axis=0) + 1e-20))
    if not spectra:
        raise NoRoomError(f"no breast has room for {LEAST_WINDOWS} windows of {size}×{size} pixels")
    return np.mean(spectra, axis=0)


def _windows(image: np.ndarray, mask: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut windows, half overlapping, that lie inside the mask and 2 pixels from its edge."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    corners = [range(0, extent - size + 1, size // 2) for extent in image.shape]
    parts = [(slice(y, y + size), slice(x, x + size)) for y in corners[0] for x in corners[1]]
    return [image[part].astype(float) for part in parts if inner[part].all()]


def levelling_filter(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Return the filter that takes one spectrum of `log_spectrum` to another, float32 (FILTER, FILTER), of sum 1.

    It is symmetric up and down, left and right, so that it moves nothing.
    """
    ratio = real - generated
    for axis in (0, 1):
        ratio = (ratio + np.roll(np.flip(ratio, axis), 1, axis)) / 2
    size = len(ratio)
    near = np.abs(np.fft.fftfreq(size, 1 / size)) <= 1
    response = np.exp(ratio / 2)
    response[np.ix_(near, near)] = 1  # the window's taper mixes the mean into these
    whole = np.fft.fftshift(np.fft.ifft2(response).real)
    kept = slice(size // 2 - FILTER // 2, size // 2 + FILTER // 2 + 1)
    taper = np.hanning(FILTER + 2)[1:-1]
    taps = whole[kept, kept] * np.outer(taper, taper)
    taps[FILTER // 2, FILTER // 2] += 1 - taps.sum()
    return taps.astype(np.float32)


def with_filter(generator: keras.Model, taps: np.ndarray, image: str = "image") -> keras.Model:
    """Return a generator whose image is filtered before it is cut out by the mask; stock layers.

    Args:
        generator: keras.Model. From `generator.finished_generator`, of a network with `times_mask`.
        taps: float32 (size, size), size odd.
        image: layer whose output is filtered: "image" in [0, 1], or the last level's "image_<level>" in [−1, 1].
    """
    mask, _ = generator.inputs
    filtered = levelled(generator.get_layer(image).output, image, len(taps))
    if image != "image":
        filtered = keras.layers.Rescaling(0.5, 0.5, name="image", dtype="float32")(filtered)
    filtered = keras.layers.Multiply(name="image_in_mask", dtype="float32")([filtered, mask])
    model = keras.Model(generator.inputs, clipped(filtered), name=generator.name)
    model.get_layer(f"{image}_levelled").set_weights([taps[..., None, None]])
    return model
