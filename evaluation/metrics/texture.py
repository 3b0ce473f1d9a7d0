"""Breast texture: its power spectrum, the exponent of the power law that it follows, and its finest part."""

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.metrics.metric import AS_REAL, Metric, Row, Sets, each, mean_row

PATCH = 64  # pixels
LOWEST_CYCLES = 5  # per patch: below, what the window smears of the strong low frequencies steepens the law
HIGHEST_FREQUENCY = 0.25  # cycles per pixel: above, resizing has taken power away


def patches_inside(image: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """Cut the patches that lie wholly inside a mask, in steps of half a patch: views (64, 64)."""
    windows = [
        (slice(y, y + PATCH), slice(x, x + PATCH))
        for y in range(0, image.shape[0] - PATCH + 1, PATCH // 2)
        for x in range(0, image.shape[1] - PATCH + 1, PATCH // 2)
    ]
    return [image[window] for window in windows if mask[window].all()]


def radial_spectrum(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the power spectrum of the texture inside a mask, averaged over directions and patches.

    As Burgess, Jacobson and Judy (2001) do: the mean of each patch is subtracted and a Hann window applied, so that
    edges do not leak into high frequencies.

    Returns:
        (frequencies in cycles per pixel, power at them): 1, 2, … 32 cycles per patch. Power is NaN when no patch fits
        in the mask.
    """
    window = np.outer(np.hanning(PATCH + 1)[:-1], np.hanning(PATCH + 1)[:-1])
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(PATCH), np.fft.fftfreq(PATCH))) * PATCH
    ring = np.round(cycles).astype(int)
    rings = np.arange(1, PATCH // 2 + 1)
    tiles = np.array(patches_inside(image, mask), np.float64)
    if not len(tiles):
        return rings / PATCH, np.full(len(rings), np.nan)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(tiles)) ** 2).mean(axis=0) / (window**2).sum()
    return rings / PATCH, np.array([power[ring == r].mean() for r in rings])


def power_law_exponent(image: np.ndarray, mask: np.ndarray) -> float:
    """Fit the exponent β of the power law P(f) ∝ 1/f^β of mammographic texture (Burgess, Jacobson and Judy 2001).

    A straight line through log power against log frequency, from 5 cycles per patch to a quarter of the sampling
    frequency, each octave with equal weight. Real breasts have β near 3.

    Args:
        image: float (height, width).
        mask: bool (height, width), the breast.

    Returns:
        β; NaN when no patch fits in the mask, or the texture is flat.
    """
    frequency, power = radial_spectrum(image, mask)
    chosen = (frequency * PATCH >= LOWEST_CYCLES) & (frequency <= HIGHEST_FREQUENCY)
    if not (power[chosen] > 0).all():
        return float("nan")
    # weight 1/f: rings lie evenly in f, octaves in log f
    slope, _ = np.polyfit(np.log(frequency[chosen]), np.log(power[chosen]), 1, w=frequency[chosen] ** -0.5)
    return float(-slope)


def fine_energy(image: np.ndarray, mask: np.ndarray) -> float:
    """Compute the energy above a quarter of the sampling frequency inside the breast: where fine texture lives.

    The mean of every patch that lies wholly inside the mask (in steps of half a patch) is subtracted, a Hann window
    applied, and the power at radial frequencies above 0.25 cycles per pixel summed; the result is the mean over the
    patches.

    Returns:
        Variance of the pixels' values at those frequencies; NaN when no patch fits.
    """
    window = np.outer(np.hanning(PATCH), np.hanning(PATCH))
    frequency = np.hypot(np.fft.fftfreq(PATCH)[:, None], np.fft.fftfreq(PATCH)[None])
    energies = []
    for tile in patches_inside(image, mask):
        power = np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
        energies.append(power[frequency > HIGHEST_FREQUENCY].sum() / (PATCH**2 * (window**2).sum()))
    return float(np.mean(energies)) if energies else float("nan")


def needs_room(height: int, width: int) -> None:
    """Raise EvaluationError for images in which no patch fits."""
    if min(height, width) < PATCH:
        raise EvaluationError(f"texture needs images of at least {PATCH}x{PATCH} pixels, these are {height}x{width}")


def _compare(metric: Metric, sets: Sets) -> list[Row]:
    (name,) = (one for one in metric.describe if one != "spectrum")
    needs_room(*sets.real.size)
    if not all(np.isfinite(rows).any() for rows in sets.described[name]):
        raise EvaluationError("no patch of texture fits into any of the masks; compare at a finer level")
    return [mean_row(metric, sets, name)]


POWER_LAW = Metric(
    f"beta_{PATCH}px",
    "power-law exponent β of texture",
    AS_REAL,
    _compare,
    {"beta": each(power_law_exponent), "spectrum": each(lambda image, mask: radial_spectrum(image, mask)[1])},
)
FINE_ENERGY = Metric(f"fine_energy_{PATCH}px", "fine energy of texture", AS_REAL, _compare, {"fine": each(fine_energy)})
