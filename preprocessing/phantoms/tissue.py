"""Tissue that mammogram and mass phantoms share: random fields, fibres, specks."""

from collections.abc import Iterable

import cv2
import numpy as np
import scipy.fft


def power_law_pair(
    shape: tuple[int, int],
    exponent: float,
    longest: float,
    rng: np.random.Generator,
    *,
    blur: float = 0.0,
    stretch: float = 1.0,
    turn: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two independent random fields with spectrum 1/f^exponent and unit variance.

    They are the real and the imaginary part of one inverse transform of filtered white noise.

    Args:
        shape: (height, width).
        exponent: Of the power spectrum.
        longest: Wavelength in pixels from which on the spectrum is flat, so that the law does not tilt the whole image.
        blur: Sigma in pixels of a Gaussian low-pass.
        stretch: How much longer than wide the grain is.
        turn: Direction of the grain, radians.

    Returns:
        Two float32 arrays of `shape`.
    """
    squared = _squared_frequencies(shape, stretch, turn)
    amplitude = np.maximum(squared, np.float32(1 / longest**2)) ** np.float32(-exponent / 4)
    if blur:
        amplitude *= np.exp(-2 * (np.pi * blur) ** 2 * squared)
    amplitude[0, 0] = 0
    white = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.ifft2(white * amplitude, overwrite_x=True)
    return tuple(part / part.std() for part in (field.real, field.imag))


def _squared_frequencies(shape: tuple[int, int], stretch: float, turn: float) -> np.ndarray:
    """Return the squared length of the spatial frequency of each coefficient, cycles per pixel."""
    fy, fx = (scipy.fft.fftfreq(length).astype(np.float32) for length in shape)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = fx[None, :] * cos + fy[:, None] * sin
    across = fy[:, None] * cos - fx[None, :] * sin
    return np.float32(stretch) * along**2 + np.float32(1 / stretch) * across**2


def ridges(field: np.ndarray, sharpness: float) -> np.ndarray:
    """Draw thin bright curves along the zero level of a field, in [0, 1]: ligaments, ducts, fibres."""
    return 1 / (1 + (sharpness * field) ** 2)


def specks(shape: tuple[int, int], circles: Iterable[tuple[int, int, int, int]]) -> np.ndarray:
    """Draw bright specks.

    Args:
        shape: (height, width).
        circles: (x, y, radius, brightness) of each, lengths in eighths of a pixel, brightness of 255.

    Returns:
        uint8 of `shape`.
    """
    canvas = np.zeros(shape, np.uint8)
    for x, y, radius, brightness in circles:
        cv2.circle(canvas, (x, y), radius, brightness, -1, cv2.LINE_AA, 3)
    return canvas
