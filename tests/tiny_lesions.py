"""A few drawn mammograms and masses at full size, with known lesions."""

from pathlib import Path

import cv2
import numpy as np

from lesions.annotations import Annotation, write_annotations
from preprocessing.mammograms.item import mammogram_item
from preprocessing.masses.item import mass_item
from preprocessing.masses.labels import CLASSES
from preprocessing.shards import Dataset, DatasetWriter

COUNT = 6
LESION = (100.0, 240.0, 30.0, 24.0)  # x, y, width, height in every second mammogram


def tissue(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Smooth noise about 0.4."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    coarse = cv2.GaussianBlur(noise, (0, 0), 8)
    return 0.4 + 0.05 * coarse / coarse.std() + 0.01 * noise


def breast_mask() -> np.ndarray:
    """Half an ellipse at the left edge, 512×256."""
    y, x = np.mgrid[:512, :256]
    return ((y - 255.5) / 220) ** 2 + (x / 190) ** 2 < 1


def lesion_disc(box: tuple[float, float, float, float] = LESION) -> np.ndarray:
    """The ellipse in a box, bool (512, 256)."""
    y, x = np.mgrid[:512, :256] + 0.5
    left, top, width, height = box
    return ((x - left - width / 2) / (width / 2)) ** 2 + ((y - top - height / 2) / (height / 2)) ** 2 < 1


def write_mammograms(folder: Path, *, lesions: bool = True, split: float = 0.0) -> Dataset:
    """Drawn mammograms, a bright ellipse in every second one and, where wanted, `lesions.json`."""
    mask, items, known = breast_mask(), [], []
    for number in range(COUNT):
        image = tissue(number, mask.shape)
        if number % 2 == 0:
            image = image + 0.2 * cv2.GaussianBlur(np.float32(lesion_disc()), (0, 0), 1)
            known.append(Annotation(number, LESION, "oval", "circumscribed"))
        view, laterality = ("CC", "MLO")[number % 2], "LR"[number // 2 % 2]
        items.append(
            mammogram_item(
                image * mask, mask, subject=f"patient{number:02d}", laterality=laterality, view=view, density=number % 3
            )
        )
    writer = DatasetWriter(folder, count=COUNT, made={"by": "tests"})
    for shard, numbers in writer.missing():
        writer.write(shard, [items[number] for number in numbers])
    dataset = writer.finish(validation_fraction=split)
    if lesions:
        write_annotations(dataset, known)
    return dataset


def write_masses(folder: Path, count: int = 8, size: float = float("nan")) -> Dataset:
    """Bright discs, half of them with a known outline."""
    y, x = np.mgrid[:64, :64] - 31.5
    disc = np.hypot(y, x) < 64 / 1.5 / 2
    items = []
    for number in range(count):
        window = tissue(100 + number, (64, 64)) + 0.15 * cv2.GaussianBlur(np.float32(disc), (0, 0), 1.5)
        items.append(
            mass_item(
                window,
                disc if number % 2 else None,
                subject=f"donor{number:02d}",
                shape=number % 4,
                margin=0,
                contrast="normalised",
                size=size,
            )
        )
    writer = DatasetWriter(
        folder, "mass", count=count, made={"by": "tests", "context": 1.5}, levels=[(64, 64)], classes=CLASSES
    )
    for shard, numbers in writer.missing():
        writer.write(shard, [items[number] for number in numbers])
    return writer.finish()
