"""The smallest pix2pix that is still the real thing, at 32×16."""

from dataclasses import replace

import numpy as np

from pix2pix.networks import NetworkConfig
from pix2pix.settings import Preset

NETWORK = NetworkConfig(height=32, filters=4)


def preset(**changes) -> Preset:
    """Three ticks of two steps of four images."""
    base = Preset(
        "tiny",
        NETWORK,
        batch=4,
        images=24,
        ticks=3,
        learning_rate=1e-3,
        ema_half_life_images=10.0,
        steps_per_execution=2,
        jitter=True,
        phantoms=4,
    )
    return replace(base, **changes)


def batch(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Random images and texture maps, float32 (count, 32, 16, 1)."""
    rng = np.random.default_rng(seed)
    return {name: rng.random((count, 32, 16, 1), np.float32) for name in ("image", "texture_map")}


def noise(count: int = 4, seed: int = 0, config: NetworkConfig = NETWORK) -> np.ndarray:
    """Dropout noise of {0, 1}, float32 (count, noise_size)."""
    return np.random.default_rng(seed).integers(0, 2, (count, config.noise_size)).astype(np.float32)
