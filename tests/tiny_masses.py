"""The smallest Feature2Mass networks, presets and labelled masses that are still the real thing."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from feature2mass.losses import LossWeights
from feature2mass.networks import NetworkConfig
from feature2mass.settings import Mixing, Preset
from preprocessing.shards import Dataset, DatasetWriter

CLASSES = {"shape": ("round", "oval", "irregular"), "margin": ("circumscribed", "spiculated")}
ADDITIONS = {"plain_ends": True, "activation_last": True, "low_pass": True, "smooth_start": True}
NETWORK = NetworkConfig(width=1 / 16, discriminator_width=1 / 16, discriminator_filters=(32, 64), **ADDITIONS)
# (shape, margin): masses. One category has none, one fewer than twenty, one is unknown in part.
COUNTS = {(0, 0): 24, (0, 1): 3, (1, 0): 6, (2, 1): 10, (-1, 0): 2, (1, -1): 1}


def preset(**changes) -> Preset:
    """Three ticks of two steps of eight masses."""
    base = Preset(
        "tiny",
        NETWORK,
        batch=8,
        epochs=1.1,
        ticks=3,
        weights=LossWeights(margin=2.0, shape=3.0, labels=1.5, reconstruction=20.0),
        learning_rate=1e-3,
        discriminator_learning_rate=1e-3,
        ema_half_life_images=20.0,
        steps_per_execution=2,
        phantoms=40,
        linear_start=True,
        mixing=Mixing(octaves=True, mirrored_seeds=True, largest_weight=0.6),
    )
    return replace(base, **changes)


def write_dataset(
    folder: Path,
    counts: dict = COUNTS,
    classes: dict = CLASSES,
    contrast: str = "original",
    sized: bool = False,
    made: dict | None = None,
    **options,
) -> Dataset:
    """Soft ellipses on noise; brightness tells the number of an item, and so does the size, where it is to be known."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    labels = [labels[number] for number in np.random.default_rng(0).permutation(len(labels))]
    made = {"by": "tests"} | (made or {})
    writer = DatasetWriter(
        folder, "mass", count=len(labels), made=made, levels=[(64, 64)], classes=classes, shard_size=20
    )
    for shard, numbers in writer.missing():
        items = [item(number, *labels[number], contrast) for number in numbers]
        writer.write(shard, [one | {"size": 10.0 + n} if sized else one for n, one in zip(numbers, items)])
    return writer.finish(**{"validation_fraction": 0.1, **options})


def item(number: int, shape: int, margin: int, contrast: str = "original") -> dict:
    from preprocessing.masses.item import mass_item

    rng = np.random.default_rng(number)
    image = 0.2 + 0.05 * rng.standard_normal((64, 64)).astype(np.float32)
    axes = tuple(int(axis) for axis in rng.uniform(10, 24, 2))
    spot = cv2.ellipse(np.zeros((64, 64), np.float32), (32, 30), axes, 0, 0, 360, 0.4 + 0.005 * number, -1)
    image += cv2.GaussianBlur(spot, (0, 0), 1 if margin else 3)
    image = np.clip(image, 0, 1)
    return mass_item(image, subject=f"{number:016d}", shape=shape, margin=margin, contrast=contrast)


def batch(count: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Random images with labels in runs of four, as the reader gives them, float32."""
    rng = np.random.default_rng(seed)
    image = rng.random((count, 64, 64, 1), np.float32)
    shapes, margins = np.arange(count) // 4 % 3, np.arange(count) // 2 % 2
    return {"image": image, "shape": np.eye(3, dtype="f4")[shapes], "margin": np.eye(2, dtype="f4")[margins]}
