"""Where the masks of synthetic mammograms come from: a dataset, a folder of mask images, or phantoms."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage
from preprocessing.images.mask import resize_mask
from preprocessing.images.table_words import DENSITIES
from preprocessing.mammograms.given_masks import find_masks, read_mask
from preprocessing.mammograms.standardise import orient
from preprocessing.phantoms.mammogram import mammogram_phantom, phantom_mask
from preprocessing.shards import DATASET_FILE, DataError, Dataset, open_dataset
from preprocessing.shards.format import sha256

# what a mask outlines: names for tables, and in words
REAL, PHANTOM, SYNTHETIC, FILE, ARRAY = "real image", "phantom", "synthetic image", "mask image", "array"
ALTERED = "altered image"
ORIGINS = {
    REAL: "a real image",
    PHANTOM: "a computed phantom",
    SYNTHETIC: "a synthetic image",
    ALTERED: "an image that is not known (lesions were inserted)",
    FILE: "an image that is not known (a mask image was given)",
    ARRAY: "an image that is not known (an array was given)",
}
NOT_HELD_OUT = "warning: --masks {}: has no validation split; masks that a generator may have been trained on are used"
FOUR_VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))  # of a screening study, in this order


@dataclass(frozen=True, eq=False)
class BreastMask:
    """One mask to fill.

    Attributes:
        mask: bool (height, width), chest wall on the left.
        image: what it outlines, float32 in [0, 1] of the same shape; None where there is none or it is not wanted.
        laterality, view: "L" or "R", "CC", "MLO", …; "" where unknown.
        density: "a" to "d" of the image that it outlines; "" where unknown.
        origin: a key of `ORIGINS`.
        number: of the mask in its source: item of a dataset, place in the sorted list of files, number of a phantom.
        turned: whether it was mirrored, because its chest wall was on the right.
    """

    mask: np.ndarray
    image: np.ndarray | None = None
    laterality: str = ""
    view: str = ""
    origin: str = ARRAY
    number: int = 0
    turned: bool = False
    density: str = ""

    @cached_property
    def sha256(self) -> str:
        """Checksum of the mask's pixels."""
        return hashlib.sha256(self.mask.tobytes()).hexdigest()


class Studies(Protocol):
    """Studies by number: of each the numbers of its masks, in the order of `FOUR_VIEWS`."""

    def __len__(self) -> int: ...

    def __getitem__(self, study: int, /) -> Sequence[int]: ...


class MaskSource:
    """Masks at a generator's size, with the image that each outlines where there is one.

    Args:
        height, width: of the generator, pixels.
        masks: a dataset (its validation split, or all of it if that is empty), a folder of mask images or other
            images that are non-zero inside the breast, or None for fresh phantoms.
        seed: of the phantoms.
        with_images: False where masks alone are wanted, which are read and drawn much faster: then every image is None.

    Raises:
        DataError: the folder holds neither a dataset nor mask images.
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
        self.folder = None if masks is None else Path(masks)
        self.remark = ""  # what the user should know
        if self.folder is None:
            self.origin = PHANTOM
        elif (self.folder / DATASET_FILE).exists():
            self.dataset = open_dataset(self.folder, kind="mammogram")
            self.origin = _origin_of(self.dataset)
            held_out = self.dataset.indices("validation")
            self.indices = held_out if len(held_out) else self.dataset.indices()
            self.remark = "" if len(held_out) or not len(self.indices) else NOT_HELD_OUT.format(masks)
            self._fields = {name: self.dataset.field(name) for name in ("laterality", "view")}
            self._fields["density"] = np.array(["", *DENSITIES])[self.dataset.field("density")]
        else:
            self.files = [self.folder] if self.folder.is_file() else find_masks(self.folder)
            self.origin = FILE
        if len(self) == 0:
            raise DataError(f"--masks {masks}: holds neither a dataset nor mask images")

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies these masks."""
        if self.dataset is not None:
            return self.dataset.fingerprint
        if self.files is not None:
            what = [sha256(file) for file in self.files]
        else:
            what = ["phantoms"]
        return hashlib.sha256("\n".join(what).encode()).hexdigest()

    def __len__(self) -> int:
        """Return how many different masks there are; phantoms have no end."""
        if self.dataset is not None:
            return len(self.indices)
        return len(self.files) if self.files is not None else 2**31

    def __getitem__(self, number: int) -> BreastMask:
        """Return the mask of a number; after the last mask the first follows."""
        number %= len(self)
        if self.dataset is not None:
            return self._from_dataset(self.dataset, int(self.indices[number]))
        if self.files is not None:
            return self._from_file(self.files[number], number)
        return self._drawn(number)

    def studies(self) -> Studies:
        """Return which masks make studies of four views (`FOUR_VIEWS`) of one patient.

        A patient with a CC and an MLO mask is enough: where a side is missing, the outline of the other one, mirrored,
        stands for it. Phantoms are no patients: each study has a CC and an MLO outline, both sides alike.

        Raises:
            DataError: a folder of mask images, whose views are unknown, or a dataset without such a patient.
        """
        if self.files is not None:
            raise DataError(f"--masks {self.folder}: holds mask images, whose views are not known; give a dataset")
        if self.dataset is None:
            return _PhantomStudies(self)
        laterality, view = (self._fields[name][self.indices] for name in ("laterality", "view"))
        subjects = self.dataset.field("subject")[self.indices]
        found = []
        for subject in dict.fromkeys(subjects.tolist()):
            of_subject = np.flatnonzero(subjects == subject)
            of_view = {name: of_subject[view[of_subject] == name] for name in ("CC", "MLO")}
            if all(map(len, of_view.values())):
                found.append(tuple(_of_side(of_view[name], laterality, side) for side, name in FOUR_VIEWS))
        if not found:
            raise DataError(f"--masks {self.folder}: holds no patient with a CC and an MLO view for --study-of-four")
        return found

    def _from_dataset(self, dataset: Dataset, index: int) -> BreastMask:
        mask = dataset.masks(self.size, [index])[0]
        image = dataset.images(self.size, [index])[0] if self.with_images else None
        laterality, view, density = (str(self._fields[name][index]) for name in ("laterality", "view", "density"))
        return BreastMask(mask, image, laterality, view, self.origin, index, density=density)

    def _drawn(self, number: int) -> BreastMask:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        image = None
        if self.with_images:
            image, mask, view = mammogram_phantom(seed)
            image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
        else:
            mask, view = phantom_mask(seed)
        return BreastMask(resize_mask(mask, self.size), image, view=view, origin=PHANTOM, number=number)

    def _from_file(self, file: Path, number: int) -> BreastMask:
        try:
            mask, _ = read_mask(file)
            if mask.shape[0] * self.size[1] != mask.shape[1] * self.size[0]:
                raise UnusableImage("is not an image of 2:1 (height:width)")
            if mask.all():
                raise UnusableImage("has no background: set what is not breast to 0")
            _, _, turned = orient(mask, mask)
            mask = mask[:, ::-1] if turned else mask
            if not mask[:, 0].any():
                raise UnusableImage("does not touch the chest wall: the breast must begin at the left or right edge")
        except UnusableImage as error:
            raise DataError(f"--masks {file}: {error}") from error
        return BreastMask(resize_mask(mask, self.size), origin=FILE, number=number, turned=turned)


class ImageMasks:
    """The mask of each image: item n is what image n fills.

    Args:
        source: masks, a `MaskSource` or, without studies of four, a list of `BreastMask`.
        per_mask: images made from one mask before the next is taken.
        study_of_four: whether images 4k … 4k + 3 are the four views of one patient (`FOUR_VIEWS`).

    Raises:
        DataError: the source has no studies of four views.
    """

    def __init__(self, source: MaskSource | Sequence[BreastMask], per_mask: int = 1, *, study_of_four: bool = False):
        self.source, self.per_mask, self.study_of_four = source, per_mask, study_of_four
        self._studies = cast(MaskSource, source).studies() if study_of_four else None
        self._read = lru_cache(4)(source.__getitem__)  # images of one mask follow each other

    def __getitem__(self, number: int) -> BreastMask:
        """Return the mask of an image, labelled with the view that the image has."""
        if self._studies is None:
            return self._read(number // self.per_mask % len(self.source))
        study, place = divmod(number, len(FOUR_VIEWS))
        found = self._read(self._studies[study % len(self._studies)][place])
        laterality, view = FOUR_VIEWS[place]
        return replace(found, laterality=laterality, view=view)

    def subject(self, number: int) -> str:
        """Return the subject of an image: images of the same mask, or the same study, show one synthetic patient."""
        subject, _ = self.place(number)
        return f"study{subject:011d}" if self.study_of_four else f"mask{subject:010d}"

    def place(self, number: int) -> tuple[int, int]:
        """Return the number of an image's subject, and which of the subject's images it is, from 0."""
        if self.study_of_four:
            return divmod(number, len(FOUR_VIEWS))
        turn, within = divmod(number, self.per_mask * len(self.source))
        subject, place = divmod(within, self.per_mask)
        return subject, turn * self.per_mask + place


class _PhantomStudies:
    """Masks of phantoms for studies without end: of study k the first CC and the first MLO outline from 64·k on."""

    def __init__(self, source: MaskSource):
        self._masks = MaskSource(*source.size, seed=source.seed, with_images=False)  # the same views, drawn faster
        self._numbers = lru_cache(4)(self._find)  # images of one study follow each other

    def __len__(self) -> int:
        return len(self._masks) // 64

    def __getitem__(self, study: int) -> tuple[int, ...]:
        return self._numbers(study)

    def _find(self, study: int) -> tuple[int, ...]:
        numbers = range(64 * study, 64 * study + 64)
        first = {view: next(n for n in numbers if self._masks[n].view == view) for view in ("CC", "MLO")}
        return tuple(first[view] for _, view in FOUR_VIEWS)


def _origin_of(dataset: Dataset) -> str:
    if not dataset.meta["synthetic"]:
        return REAL
    if dataset.meta.get("generator"):
        return SYNTHETIC
    return ALTERED if dataset.meta["made"].get("by") == "insert_lesions" else PHANTOM


def _of_side(numbers: np.ndarray, laterality: np.ndarray, side: str) -> int:
    """Return the first of these masks of a side, or the first of all where there is none."""
    of_side = numbers[laterality[numbers] == side]
    return int(of_side[0] if len(of_side) else numbers[0])
