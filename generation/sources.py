"""Where the masks of synthetic mammograms come from: a dataset, a folder of pictures, or phantoms."""

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage
from preprocessing.images.mask import resize_mask
from preprocessing.images.read import find_images
from preprocessing.mammograms.given_masks import read_mask
from preprocessing.phantoms.mammogram import mammogram_phantom, phantom_mask
from preprocessing.shards import DATASET_FILE, DataError, Dataset, open_dataset


class MaskSource:
    """Masks at a generator's size, with a real image of each where there is one.

    Args:
        height, width: of the generator.
        masks: a dataset (its validation split, or all of it if that is empty), a folder of mask images or other
            images that are non-zero inside the breast, or None for fresh phantoms.
        seed: of the phantoms.
        with_images: False where masks alone are wanted, which are read and drawn much faster: then every image is None.
    """

    def __init__(
        self,
        height: int,
        width: int,
        masks: str | os.PathLike | None = None,
        seed: int = 0,
        *,
        with_images: bool = True,
    ):
        self.size, self.seed, self.with_images = (height, width), seed, with_images
        self.dataset: Dataset | None = None
        self.files: list[Path] | None = None
        if masks is None:
            return
        folder = Path(masks)
        if (folder / DATASET_FILE).exists():
            self.dataset = open_dataset(folder, kind="mammogram")
            held_out = self.dataset.indices("validation")
            self.indices = held_out if len(held_out) else self.dataset.indices()
            self._fields = {name: self.dataset.field(name) for name in ("laterality", "view")}
        else:
            self.files = find_images([folder]) if folder.exists() else []
        if len(self) == 0:
            raise DataError(f"--masks {folder}: holds neither a dataset nor mask images")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which masks these are."""
        if self.dataset is not None:
            return self.dataset.fingerprint
        if self.files is not None:
            what = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files]
        else:
            what = ["phantoms"]
        return hashlib.sha256("\n".join(what).encode()).hexdigest()

    def __len__(self) -> int:
        """How many different masks there are; phantoms have no end."""
        if self.dataset is not None:
            return len(self.indices)
        return len(self.files) if self.files is not None else 2**31

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
        """(mask bool, real image float or None, fields) of a number, counted round and round."""
        number %= len(self)
        if self.dataset is not None:
            return self._from_dataset(self.indices[number : number + 1])
        if self.files is not None:
            return self._from_file(self.files[number]), None, {}
        return self._drawn(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))

    def _from_dataset(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
        mask = self.dataset.masks(self.size, index)[0]
        image = self.dataset.images(self.size, index)[0] if self.with_images else None
        return mask, image, {name: str(self._fields[name][index[0]]) for name in ("laterality", "view")}

    def _drawn(self, seed: int) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
        image = None
        if self.with_images:
            image, mask, view = mammogram_phantom(seed)
            image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
        else:
            mask, view = phantom_mask(seed)
        return resize_mask(mask, self.size), image, {"view": view}

    def _from_file(self, file: Path) -> np.ndarray:
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        height, width = (0, 0) if mask is None else mask.shape
        if width == 0 or height * self.size[1] != width * self.size[0]:
            raise DataError(f"--masks {file}: is not an image of 2:1 (height:width)")
        try:
            mask = read_mask(file, mask.shape)
        except UnusableImage as error:
            raise DataError(f"--masks {file}: {error}") from error
        return resize_mask(mask, self.size)
