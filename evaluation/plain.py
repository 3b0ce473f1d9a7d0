"""What was measured, as JSON can hold it."""

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a value with plain numbers, and null for each that is not finite, in dictionaries and lists too."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
