"""Memorisation audit: compare each generated image with every training image.

All mammograms share outlines and brightness, so neither may count. Compared is the texture inside the masks: a band of
frequencies, with its local contrast made equal everywhere (which undoes gamma and windowing), as a correlation in
[−1, 1], the best over flips and shifts.

How alike two different images get is measured, not guessed: held-out real images, which no generator has seen, are
compared with the training images in the same way. A generated image is suspicious when it is nearer to a training image
than held-out ones ever are: above the largest of their scores, and above where the extreme-value (Gumbel) law fitted to
them puts one false alarm in a hundred audits.

1. **Coarse**: 32 pixels high, every pair, flips, shifts of one coarse pixel: a matrix product.
2. **Fine**: 128 pixels high (masses: 64), the best few candidates of each image, every shift, by Fourier transform.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import stats

from evaluation.image_set import EvaluationError, Samples, same_size
from evaluation.intervals import CONFIDENCE, Estimate
from evaluation.metrics.metric import LOW, Metric, Row, Sets
from evaluation.metrics.msssim import WINDOW, ms_ssim
from preprocessing.counted import there_are

FINE_HEIGHT, COARSE_HEIGHT = 128, 32
BAND = (0.8, 5.0)  # sigmas in fine pixels: finer is noise, coarser is outline and exposure
CONTRAST_SIGMA = 8.0  # over which local contrast is made equal
EDGE = 2  # fine pixels along the mask's edge that do not count
CANDIDATES = 8  # of the coarse stage
MAX_SHIFT = 1 / 8  # of the height
LEAST_HELD_OUT = 20
ALARMS_PER_AUDIT = 0.01  # that chance may raise
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # of rows, of columns
EQUAL = 1.5 / 255  # largest difference of a pixel between exact copies, 8-bit files allowed for


@dataclass(frozen=True)
class Match:
    """The training image most like an image.

    Attributes:
        score: correlation of band-passed texture, in [−1, 1].
        index: of the training image.
        flip: of its rows and columns.
        shift: of it, in pixels down and right.
    """

    score: float
    index: int
    flip: tuple[int, int]
    shift: tuple[int, int]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        generated, held_out: the best match of each image.
        threshold: score above which a match is suspicious.
        training: what the matches point into.
    """

    generated: list[Match]
    held_out: list[Match]
    threshold: float
    training: Samples

    @property
    def suspicious(self) -> list[int]:
        """Numbers of the generated images that are too near to a training image, the nearest first."""
        return [n for n in self.worst if self.generated[n].score > self.threshold]

    @property
    def worst(self) -> list[int]:
        """Numbers of all generated images, the most alike first."""
        return sorted(range(len(self.generated)), key=lambda n: -self.generated[n].score)


def audit(index: "TrainingIndex", control: list[Match], generated: Samples) -> Audit:
    """Look for training images among generated ones.

    Args:
        index: of the training images: what the generator has seen.
        control: the matches of held-out real images of other patients.

    Returns:
        One match per image. Memory: 2 kB per training image, and a few images.

    Raises:
        EvaluationError: generated images of another size, or all too small to have texture.
    """
    same_size(index.training, generated)
    if not any(match.score > 0 for match in control):
        height, width = generated.size
        raise EvaluationError(f"images of {height}x{width} are too small to have texture that could be compared")
    threshold = copy_threshold([match.score for match in control], len(generated))
    return Audit(index.matches(generated), control, threshold, index.training)


def copy_threshold(scores: Sequence[float], images: int) -> float:
    """Return a score that different images do not reach, from those of held-out images against training images.

    Each score is the largest of many, so that they follow Gumbel's law (Fisher and Tippett 1928) on Fisher's z scale.
    Its tail gives the score at which chance raises an alarm in one of a hundred audits of this many images.
    """
    z = np.arctanh(np.clip(scores, -0.999999, 0.999999))
    scale = np.std(z, ddof=1) * np.sqrt(6) / np.pi
    location = np.mean(z) - np.euler_gamma * scale
    tail = location - scale * np.log(-np.log1p(-ALARMS_PER_AUDIT / max(images, 1)))
    return float(np.tanh(max(tail, z.max())))


def textures(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Extract texture of equal local contrast: float32 (n, height, width), 0 outside the masks, length 1."""
    return np.array([_texture(image, mask) for image, mask in zip(images, masks, strict=True)])


def _texture(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height = min(FINE_HEIGHT, image.shape[0])
    size = max(1, round(image.shape[1] * height / image.shape[0])), height
    small = cv2.resize(np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
    inside = (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.999).astype(np.float32)
    # 1) a band of frequencies; blurs see only what is inside, so that the outline leaves no trace
    fine, coarse = (_blur_inside(small, inside, sigma) for sigma in BAND)
    band = (fine - coarse) * inside
    # 2) equal contrast everywhere, but for what is flat
    power = _blur_inside(band**2, inside, CONTRAST_SIGMA)
    floor = 0.1 * power[inside > 0].mean() + 1e-12 if inside.any() else 1.0
    band /= np.sqrt(power + floor)
    # 3) mean 0 and length 1 inside, without the edge
    frame = np.pad(inside, 1) if (inside == 0).any() else np.ones((height + 2, size[0] + 2), np.float32)
    kernel = np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)
    core = cv2.erode(frame, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)[1:-1, 1:-1] > 0
    if not core.any():
        return np.zeros(band.shape, np.float32)
    band = np.where(core, band - band[core].mean(), 0)
    return (band / max(float(np.linalg.norm(band)), 1e-9)).astype(np.float32)


def _blur_inside(image: np.ndarray, inside: np.ndarray, sigma: float) -> np.ndarray:
    """Return the Gaussian mean of the neighbours inside."""
    weight = cv2.GaussianBlur(inside, (0, 0), sigma)
    return cv2.GaussianBlur(image * inside, (0, 0), sigma) / np.maximum(weight, 1e-3)


class TrainingIndex:
    """Training images in a form that any number of others can be compared with.

    Args:
        training: the images; they are read again for the candidates of the fine stage.
    """

    def __init__(self, training: Samples):
        self.training = training
        self._coarse = np.concatenate([_coarse(textures(images, masks)) for _, images, masks in training.chunks()])

    def matches(self, samples: Samples) -> list[Match]:
        """Find the best match of each image."""
        found = []
        for _, images, masks in samples.chunks():
            of_chunk = textures(images, masks)
            candidates = self._candidates(of_chunk)
            found += [self._best(texture, some) for texture, some in zip(of_chunk, candidates)]
        return found

    def _candidates(self, of_chunk: np.ndarray) -> np.ndarray:
        """Return the indices (n, candidates) of the training images most alike at the coarse stage."""
        coarse = _coarse(of_chunk)
        best = np.full((len(coarse), len(self._coarse)), -1.0, np.float32)
        others = self._coarse.reshape(len(self._coarse), -1)
        for up, left in FLIPS:
            flipped = coarse[:, ::up, ::left]
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    moved = _moved(flipped, down, right).reshape(len(coarse), -1)
                    np.maximum(best, moved @ others.T, out=best)
        count = min(CANDIDATES, len(self._coarse))
        return np.argpartition(-best, count - 1, axis=1)[:, :count]

    def _best(self, texture: np.ndarray, candidates: np.ndarray) -> Match:
        """Find the best of the candidates over flips and shifts."""
        images, masks = self.training.read(candidates)
        others = textures(images, masks)
        height, width = texture.shape
        reach = max(1, round(MAX_SHIFT * height))
        shape = height + reach, width + reach  # padded, so that nothing comes round to the other side
        spectrum = np.fft.rfft2(texture, shape)
        allowed = np.zeros(shape, bool)
        allowed[np.ix_(np.r_[0 : reach + 1, -reach:0], np.r_[0 : reach + 1, -reach:0])] = True
        best = Match(-1.0, int(candidates[0]), (1, 1), (0, 0))
        for up, left in FLIPS:
            flipped = np.fft.rfft2(others[:, ::up, ::left], shape)
            correlation = np.where(allowed, np.fft.irfft2(spectrum * flipped.conj(), shape), -1)
            flat = correlation.reshape(len(others), -1)
            which = int(flat.max(axis=1).argmax())
            if flat[which].max() > best.score:
                y, x = np.unravel_index(flat[which].argmax(), shape)
                scale = self.training.size[0] / height
                shift = [round((p if p <= reach else p - n) * scale) for p, n in zip((int(y), int(x)), shape)]
                best = Match(float(flat[which].max()), int(candidates[which]), (up, left), tuple(shift))
        return best


def _coarse(fine: np.ndarray) -> np.ndarray:
    """Shrink textures to the coarse stage's size, length 1."""
    height = min(COARSE_HEIGHT, fine.shape[1])
    size = max(1, round(fine.shape[2] * height / fine.shape[1])), height
    small = np.array([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in fine])
    return small / np.maximum(np.linalg.norm(small, axis=(1, 2), keepdims=True), 1e-9)


def _moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move images by whole pixels, with zeros where nothing comes in."""
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    target = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    source = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    moved[:, *target] = images[:, *source]
    return moved


def aligned(training: Samples, match: Match) -> np.ndarray:
    """Return the training image of a match, flipped and shifted as it fits, 0 where nothing comes in."""
    image = training.read([match.index])[0][:, :: match.flip[0], :: match.flip[1]]
    height, width = training.size
    down, right = (int(np.clip(s, 1 - n, n - 1)) for s, n in zip(match.shift, (height, width)))
    return _moved(image, down, right)[0]


def kind_of_copy(generated: np.ndarray, training: Samples, match: Match) -> tuple[str, float | None]:
    """Return ("exact" or "near", MS-SSIM) of an image and its match, the training image aligned first.

    There is no MS-SSIM of images that are smaller than its window.
    """
    other = aligned(training, match)
    exact = float(np.abs(generated - other).max()) <= EQUAL
    similarity = None if min(training.size) < WINDOW else ms_ssim(generated, other)
    return "exact" if exact else "near", similarity


# ------------------------------------------------------------------------------------- the metric


def _compare(metric: Metric, sets: Sets) -> list[Row]:
    """Give the share of generated images that are suspiciously near to a training image; the audit is the detail."""
    index, control = sets.common(metric.name, lambda: _control(sets.real))
    found = audit(index, control, sets.fake)
    generated = _share(len(found.suspicious), len(found.generated))
    return [metric.row(generated, _share(0, len(control)), detail=found)]  # the threshold is above all of the control


def _control(real: Samples) -> tuple[TrainingIndex, list[Match]]:
    dataset = real.require_dataset()
    training, held_out = (Samples.of_dataset(dataset, real.size, split) for split in ("train", "validation"))
    if not len(training) or len(held_out) < LEAST_HELD_OUT:
        raise EvaluationError(
            f"needs a training split and {LEAST_HELD_OUT} held-out images, {there_are(len(held_out))}"
        )
    index = TrainingIndex(training)
    return index, index.matches(held_out)


def _share(found: int, of: int) -> Estimate:
    """Estimate a share with its exact binomial interval (Clopper and Pearson 1934)."""
    interval = stats.binomtest(found, of).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(found / of, float(interval.low), float(interval.high), of)


MEMORISATION = Metric(
    "memorisation_texture",
    "share of images suspiciously near to a training image",
    LOW,
    _compare,
    unsuitable=lambda real, fake: "" if real.dataset else "needs the dataset that the generator was trained on",
)
