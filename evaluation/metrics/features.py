"""Features of images, by which sets are compared: radiomic numbers, or the output of a network."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from skimage.feature import graycomatrix, graycoprops

from evaluation.image_set import EvaluationError
from preprocessing.tensorflow_settings import import_tensorflow_quietly

if TYPE_CHECKING:
    import keras

# (images float32 (n, height, width) in [0, 1], masks bool) to features float (n, d)
Extractor = Callable[[np.ndarray, np.ndarray], np.ndarray]

GREYS = 32  # of the co-occurrence matrix
DISTANCES = (1, 3)  # pixels
PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")
WAVELET_LEVELS = 4
PERCENTILES = (5, 25, 50, 75, 95)
LEAST_SIDE = 75  # pixels that every network of Keras Applications can take


def radiomic(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Describe images by 31 numbers that need no network and no download.

    Inside the mask: percentiles, mean, deviation, skewness and kurtosis of the intensity; contrast, homogeneity, energy
    and correlation of the grey-level co-occurrence matrix at 1 and 3 pixels (Haralick 1973); mean and deviation of the
    gradient; log energy of the Haar wavelet's horizontal, vertical and diagonal details at four levels.

    Returns:
        float64 (n, 31); each row depends on its own image alone.
    """
    return np.array([_radiomic(image, mask) for image, mask in zip(images, masks, strict=True)])


def _radiomic(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    mask = mask if mask.any() else np.ones_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    image, mask = np.asarray(image, np.float32)[box], mask[box]
    return np.concatenate([_intensity(image[mask]), _co_occurrence(image, mask), _gradient(image, mask), _haar(image)])


def _intensity(values: np.ndarray) -> np.ndarray:
    mean, spread = values.mean(), max(float(values.std()), 1e-6)
    normal = (values - mean) / spread
    moments = [mean, spread, (normal**3).mean(), (normal**4).mean()]
    return np.array([*np.percentile(values, PERCENTILES), *moments], np.float64)


def _co_occurrence(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average over four directions. Grey 0 is reserved for what lies outside, and its pairs are left out."""
    greys = np.where(mask, 1 + np.minimum(image * GREYS, GREYS - 1), 0).astype(np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = graycomatrix(greys, list(DISTANCES), angles, levels=GREYS + 1, symmetric=True)[1:, 1:]
    shares = counts / np.maximum(counts.sum(axis=(0, 1)), 1)
    return np.concatenate([graycoprops(shares, name).mean(axis=1) for name in PROPERTIES])


def _gradient(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    length = np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)) / 8
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # without the step at the mask's edge
    values = length[inner] if inner.any() else length[mask]
    return np.array([values.mean(), values.std()], np.float64)


def _haar(image: np.ndarray) -> np.ndarray:
    energies = []
    for _ in range(WAVELET_LEVELS):
        height, width = (max(2, length // 2 * 2) for length in image.shape)
        image = np.pad(image, ((0, max(0, 2 - image.shape[0])), (0, max(0, 2 - image.shape[1]))), "edge")
        image = image[:height, :width]
        a, b, c, d = image[::2, ::2], image[::2, 1::2], image[1::2, ::2], image[1::2, 1::2]
        details = (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
        energies += [np.log10((detail**2).mean() + 1e-10) for detail in details]
        image = (a + b + c + d) / 4
    return np.array(energies, np.float64)


def keras_extractor(model: str | os.PathLike) -> Extractor:
    """Make an extractor of a network: a `.keras` file of the user's, or one of Keras Applications by its name.

    A file's model has one image input. Images are resized to it (bilinear), given as many channels as it takes, and
    passed in [0, 1]; what the model was trained on must be scaled inside it (a `Rescaling` layer). The output is
    flattened. A name, `MobileNetV2` say, means that network with its ImageNet weights, which Keras downloads once and
    keeps: what it averages over all positions before its classes, of images of their own size, 75 pixels or more.

    Raises:
        EvaluationError: no such file or name, not a Keras model, not one image input, or weights that cannot be had.
    """
    path = Path(model)
    if path.is_file():
        return _described_by(*_of_file(path))
    if path.suffix or len(path.parts) > 1:
        raise EvaluationError(f"--extractor {path}: no such file; give a .keras model that takes images")
    return _described_by(*_of_keras_applications(str(model)))


def _of_file(path: Path) -> tuple:
    """Return (model, no preprocessing, no least side)."""
    import_tensorflow_quietly()  # only who brings a network needs it
    from training.export import ModelError, open_model

    try:
        model = open_model(path)
    except ModelError as error:
        raise EvaluationError(f"--extractor {error}; give a .keras file") from error
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(shape) != 4:
        raise EvaluationError(f"--extractor {path}: must take one image (n, height, width, channels), takes {shape}")
    return model, lambda images: images, 1


def _of_keras_applications(name: str) -> tuple:
    """Return (model, what its training did to pixels, least side of an image)."""
    import_tensorflow_quietly()
    import keras

    networks = [one for one in dir(keras.applications) if one[0].isupper()]
    if name not in networks:
        raise EvaluationError(f"--extractor {name}: no such file, nor one of Keras Applications: {', '.join(networks)}")
    build = getattr(keras.applications, name)
    module = sys.modules[build.__module__]
    try:
        model = build(include_top=False, pooling="avg", weights="imagenet")
    except Exception as error:  # a failed download is no more than that to Keras
        raise EvaluationError(
            f"--extractor {name}: its weights cannot be downloaded; connect to the network once, or give a .keras file"
        ) from error
    return model, lambda images: module.preprocess_input(255 * images), LEAST_SIDE


def _described_by(model: "keras.Model", preprocess: Callable[[np.ndarray], np.ndarray], least_side: int) -> Extractor:
    from training.export import ModelError, computing

    _, rows, columns, channels = model.inputs[0].shape

    def extract(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        enlargement = max(1, least_side / min(images.shape[1:]))
        height, width = (round(enlargement * side) for side in images.shape[1:])
        size = columns or width, rows or height
        resized = np.array([cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in images], np.float32)
        try:
            with computing():
                features = model.predict(preprocess(np.repeat(resized[..., None], channels or 1, axis=3)), verbose=0)
        except ModelError as error:
            raise EvaluationError(f"--extractor: {error}; give another .keras file") from error
        return np.asarray(features, np.float64).reshape(len(images), -1)

    return extract
