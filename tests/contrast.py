"""The contrast of stored masses, undone."""

import numpy as np


def undo_contrast(stored: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """The original grey levels of stored masses (..., 64, 64); `low` and `high` are the fields of the same names."""
    low, high = (np.asarray(value, np.float32)[..., np.newaxis, np.newaxis] for value in (low, high))
    return low + (high - low) * np.asarray(stored, np.float32)
