"""Drawn textures of a known power law, and masses whose shape and margin a classifier can learn in seconds."""

import cv2
import numpy as np

from evaluation.mass_classifier import Masses

CLASSES = {"shape": ["disc", "bar"], "margin": ["sharp", "soft"]}


def masses(count: int, seed: int, size: int = 32, *, first_subject: int = 0) -> Masses:
    """Two masses a subject, all four categories alike often, on noise."""
    rng = np.random.default_rng(seed)
    labels = {"shape": np.arange(count) % 2, "margin": np.arange(count) // 2 % 2}
    images = np.zeros((count, size, size), np.float32)
    for image, shape, margin in zip(images, labels["shape"], labels["margin"]):
        x, y = rng.integers(size // 2 - 3, size // 2 + 4, 2).tolist()
        if shape == 0:
            cv2.circle(image, (x, y), size // 4, 0.6, -1)
        else:
            cv2.rectangle(image, (x - size // 3, y - size // 8), (x + size // 3, y + size // 8), 0.6, -1)
        if margin:
            image[...] = cv2.GaussianBlur(image, (0, 0), size / 14)
        image += 0.2 + 0.02 * rng.standard_normal(image.shape)
    subjects = np.array([f"{first_subject + number // 2:016d}" for number in range(count)])
    return Masses(np.clip(images, 0, 1), labels, CLASSES, subjects)


class Oracle:
    """Stands for a classifier: sure of the true labels of the masses that it is told of."""

    def __init__(self, *sets: Masses):
        self.known = {
            image.tobytes(): {head: labels[number] for head, labels in masses.labels.items()}
            for masses in sets
            for number, image in enumerate(masses.images)
        }

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        known = [self.known[image.tobytes()] for image in images]
        return {head: np.eye(2)[[labels[head] for labels in known]] for head in ("shape", "margin")}


def power_law_field(beta: float, seed: int, height: int = 512, width: int = 256) -> np.ndarray:
    """White noise filtered to a spectrum 1/f^β."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(np.random.default_rng(seed).standard_normal((height, width)))
    field = np.fft.irfft2(noise * frequency ** (-beta / 2), (height, width))
    return 0.5 + 0.1 * field / field.std()
