"""Breast texture: its power spectrum, the exponent of the power law that it follows, and its finest part."""

import numpy as np

from evaluation.image_set import EvaluationError

PATCH = 64  # pixels
LOWEST_CYCLES = 5  # a patch: below, what the window smears of the strong low frequencies steepens the law
HIGHEST_FREQUENCY = 0.25  # cycles a pixel: above, resizing has taken power away


def patches_inside(image: np.ndarray, mask: np.ndarray, patch: int = PATCH) -> np.ndarray:
    """Patches that lie wholly inside a mask, in steps of half a patch: (n, patch, patch)."""
    inside = [
        image[y : y + patch, x : x + patch]
        for y in range(0, image.shape[0] - patch + 1, patch // 2)
        for x in range(0, image.shape[1] - patch + 1, patch // 2)
        if mask[y : y + patch, x : x + patch].all()
    ]
    return np.array(inside, np.float64).reshape(-1, patch, patch)


def radial_spectrum(image: np.ndarray, mask: np.ndarray, patch: int = PATCH) -> tuple[np.ndarray, np.ndarray]:
    """Power spectrum of the texture inside a mask, averaged over directions and patches (Burgess et al. 2001, §II).

    Of each patch the mean is taken off and a Hann window laid on, so that edges do not leak into high frequencies.

    Returns:
        (frequencies in cycles a pixel, power at them): 1, 2, … patch/2 cycles a patch. Power is NaN when no patch
        fits in the mask.
    """
    window = np.outer(np.hanning(patch + 1)[:-1], np.hanning(patch + 1)[:-1])
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(patch), np.fft.fftfreq(patch))) * patch
    ring = np.round(cycles).astype(int)
    rings = np.arange(1, patch // 2 + 1)
    tiles = patches_inside(image, mask, patch)
    if not len(tiles):
        return rings / patch, np.full(len(rings), np.nan)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(tiles)) ** 2).mean(axis=0) / (window**2).sum()
    return rings / patch, np.array([power[ring == r].mean() for r in rings])


def power_law_exponent(image: np.ndarray, mask: np.ndarray, patch: int = PATCH) -> float:
    """Exponent β of the power law P(f) ∝ 1/f^β that mammographic texture follows (Burgess, Jacobson and Judy 2001).

    A straight line through log power against log frequency, from 5 cycles a patch to a quarter of the sampling
    frequency, each octave with equal weight. Real breasts have β near 3.

    Args:
        image: float (height, width). mask: bool (height, width), the breast.

    Returns:
        β; NaN when no patch fits in the mask, or the texture is flat.
    """
    frequency, power = radial_spectrum(image, mask, patch)
    chosen = (frequency * patch >= LOWEST_CYCLES) & (frequency <= HIGHEST_FREQUENCY)
    if not (power[chosen] > 0).all():
        return float("nan")
    # weight 1/f: rings lie evenly in f, octaves in log f
    slope, _ = np.polyfit(np.log(frequency[chosen]), np.log(power[chosen]), 1, w=frequency[chosen] ** -0.5)
    return float(-slope)


def needs_room(height: int, width: int, patch: int = PATCH) -> None:
    """Raise EvaluationError for images in which no patch fits."""
    if min(height, width) < patch:
        raise EvaluationError(f"texture needs images of at least {patch}x{patch} pixels, these are {height}x{width}")
