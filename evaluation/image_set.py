"""Sets of images, read a few at a time: an array in memory, or a dataset on disk."""

from collections.abc import Iterator, Sequence
from copy import copy

import numpy as np

from preprocessing.errors import UserError
from preprocessing.shards import Dataset, Level

CHUNK = 32  # images in memory at once


class EvaluationError(UserError):
    """Something cannot be measured; its text is one line that says why and what to do."""


class Samples:
    """A set of images, and their masks where they have some.

    Args:
        images: float (n, height, width) in [0, 1].
        masks: bool (n, height, width), or None when the whole image counts.
        name: what error texts call the set.
        subjects: int (n,). Images with the same number show the same patient or mask, and count as one for intervals.

    Attributes:
        dataset: where the images are from; None for an array in memory.
        items: int (n,). Index of each image in the dataset, or in the array.

    Raises:
        EvaluationError: another shape; when they are read, numbers that are not finite or outside [0, 1].
    """

    dataset: Dataset | None = None
    items: np.ndarray

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray | None = None,
        name: str = "images",
        subjects: np.ndarray | None = None,
    ):
        images = np.asarray(images)
        if images.ndim != 3:
            raise EvaluationError(f"{name}: must be an array (n, height, width), received shape {images.shape}")
        if masks is not None and np.shape(masks) != images.shape:
            raise EvaluationError(f"{name}: masks of shape {np.shape(masks)} do not fit images of {images.shape}")
        self.name, self.size = name, images.shape[1:]
        self.has_masks, self.items = masks is not None, np.arange(len(images))
        self.subjects = np.arange(len(images)) if subjects is None else np.asarray(subjects)
        self._images, self._masks = images, masks

    @classmethod
    def of_dataset(
        cls, dataset: Dataset, level: Level | None = None, split: str | None = None, name: str | None = None
    ) -> "Samples":
        """Take the images of a dataset (or of one split) at a level, by default its finest; they stay on disk."""
        return _DatasetSamples(
            dataset, level or dataset.levels[-1], dataset.indices(split), name or str(dataset.folder)
        )

    def __len__(self) -> int:
        return len(self.items)

    def read(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read (images float32 in [0, 1], masks bool) of some indices; without masks every pixel is inside."""
        images, masks = self._read(self.items[np.asarray(indices, np.int64)])
        finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        if not finite.all():
            raise EvaluationError(f"{self.name}: image {indices[int(np.argmin(finite))]} holds NaN or infinity")
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise EvaluationError(f"{self.name}: pixels must lie in [0, 1], found {images.min():g} to {images.max():g}")
        return images, np.ones(images.shape, bool) if masks is None else masks

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Read (indices, images, masks) of all, `CHUNK` at a time."""
        for first in range(0, len(self), CHUNK):
            some = np.arange(first, min(first + CHUNK, len(self)))
            yield some, *self.read(some)

    def subset(self, indices: np.ndarray, name: str | None = None) -> "Samples":
        """Take some of the images as a set of their own."""
        some, indices = copy(self), np.asarray(indices, np.int64)
        some.items, some.subjects, some.name = self.items[indices], self.subjects[indices], name or self.name
        return some

    def with_subjects(self, subjects: np.ndarray) -> "Samples":
        """Take the same images as those of other subjects, int (n,)."""
        same = copy(self)
        same.subjects = np.asarray(subjects)
        return same

    def require_dataset(self) -> Dataset:
        """Return the dataset that the images are from.

        Raises:
            EvaluationError: they are an array in memory.
        """
        if self.dataset is None:
            raise EvaluationError(f"{self.name}: images of a dataset are needed here, these are an array")
        return self.dataset

    def _read(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        masks = None if self._masks is None else np.asarray(self._masks[items]).astype(bool)
        return np.asarray(self._images[items], np.float32), masks


class _DatasetSamples(Samples):
    dataset: Dataset

    def __init__(self, dataset: Dataset, level: Level, items: np.ndarray, name: str):
        self.dataset, self.items, self.size, self.name = dataset, items, tuple(level), name
        self.has_masks = dataset.kind == "mammogram"
        self.subjects = np.unique(dataset.field("subject")[items], return_inverse=True)[1]

    def _read(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        masks = self.dataset.masks(self.size, items) if self.has_masks else None
        return self.dataset.images(self.size, items), masks


def same_size(real: Samples, fake: Samples) -> None:
    """Raise EvaluationError, naming both, unless the two sets have images of one size."""
    if real.size != fake.size:
        sizes = ["x".join(map(str, samples.size)) for samples in (real, fake)]
        raise EvaluationError(
            f"{real.name} has images of {sizes[0]} and {fake.name} of {sizes[1]}; compare at a --level that both have"
        )
