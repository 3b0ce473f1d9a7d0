"""Masses to insert: patches with their outline, from a dataset of masses or from mammograms with known lesions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import cv2
import numpy as np

from lesions.annotations import Annotation, Box, has_annotations, read_annotations
from lesions.breast import Breast
from lesions.outline import box_around, find_outline, mask_of, polygon_of
from preprocessing.masses.labels import CLASSES
from preprocessing.masses.options import calibrated_of, context_of
from preprocessing.shards import SPLITS, DataError, Dataset

WINDOW = 2.0  # side of the window cut from a mammogram over the longest side of the lesion
SKIN = 0.15  # brightness of the skin line, of the patch's median: what is darker is not breast
MIXED_SKIN = 0.5  # the same for a generated mass: seeds away from the skin make it only half as dark there
LEAST_INSIDE = 0.9  # of the outline, that must lie inside the breast and the patch
LEAST_SIDE = 6  # pixels of a lesion in a mammogram
TRIED = 5  # masses that are tried for a lesion, where one finds no room


@dataclass(frozen=True, eq=False)
class MassPatch:
    """A mass and what surrounds it.

    Attributes:
        image: float32 (height, width) in [0, 1].
        valid: bool, which of its pixels show breast.
        outline: bool, the mass.
        box: x, y, width, height of the mass in the patch.
        size: longest side, in pixels of a mammogram; None where it is not known.
        place: depth and height in its own breast (`lesions.breast`); None where they are not known.
        calibrated: whether brightness is as on a mammogram; else only its pattern means something.
        view: of the mammogram that it was cut from, "" where unknown.
        at_wall: whether the image's edge at the chest wall cuts it; it can lie nowhere else.
        shape, margin: words of BI-RADS, "" where unknown.
        subject: keyed hash of the patient.
        name: which mass of its dataset it is.
        synthetic: whether it was generated.
    """

    image: np.ndarray
    valid: np.ndarray
    outline: np.ndarray
    box: Box
    size: float | None = None
    place: tuple[float, float] | None = None
    calibrated: bool = True
    view: str = ""
    at_wall: bool = False
    shape: str = ""
    margin: str = ""
    subject: str = ""
    name: str = ""
    synthetic: bool = False

    @property
    def longest_side(self) -> float:
        """The longer of the box's sides, pixels of the patch."""
        return max(self.box[2:])

    def mirrored(self) -> "MassPatch":
        """Turn the mass upside down, as in a breast of the other side."""
        x, y, width, height = self.box
        flipped = {name: getattr(self, name)[::-1] for name in ("image", "valid", "outline")}
        return replace(self, box=(x, self.image.shape[0] - y - height, width, height), **flipped)


class Masses(ABC):
    """Masses by number, to insert.

    Attributes:
        labels: "shape", "margin", "view", "split" and "subject" of each of them, "" where unknown.
        fingerprint: which masses these are.
        meta: "synthetic", "generator" and "made", as a dataset has them.
        place: how messages name them.
    """

    labels: dict[str, np.ndarray]
    fingerprint: str
    meta: Mapping[str, Any]
    place: object

    @property
    def synthetic(self) -> bool:
        return bool(self.meta["synthetic"])

    def matching(
        self, shape: str = "", margin: str = "", view: str = "", among: np.ndarray | None = None
    ) -> np.ndarray:
        """Find which of them (0, 1, …) have a shape and a margin, and where any has it, a view; "" for any.

        Args:
            among: bool, those that may be used. Defaults to all.

        Raises:
            DataError: none has the shape and margin.
        """
        kept = np.ones(len(self.labels["shape"]), bool) if among is None else among.copy()
        for name, wanted in (("shape", shape), ("margin", margin)):
            if wanted and wanted not in CLASSES[name]:
                raise DataError(f"--{name} {wanted}: must be one of {', '.join(CLASSES[name])}")
            kept &= (self.labels[name] == wanted) | (not wanted)
        if not kept.any():
            words = " ".join(filter(None, (shape, margin)))
            which = "its masses" if among is None else "its masses that may go into these mammograms"
            raise DataError(f"{self.place}: none of {which} is {words}; choose another shape or margin")
        of_view = kept & (self.labels["view"] == view)
        return np.flatnonzero(of_view if view and of_view.any() else kept)

    def choice(self, usable: np.ndarray, image: int, lesion: int, rng: np.random.Generator) -> np.ndarray:
        """Choose which of the usable masses are tried, in this order, for a lesion, 0, 1, …, of an image."""
        return rng.choice(usable, TRIED)

    def of_split(self, split: str, elsewhere: np.ndarray) -> np.ndarray:
        """Tell which of them may go into mammograms of a split: those that are of it, or of none.

        Args:
            elsewhere: subjects of mammograms of other splits, whose masses may not.

        Raises:
            DataError: there are none.
        """
        own = self.labels["split"]
        found = ((own == split) | (own == "")) & ~np.isin(self.labels["subject"], elsewhere)
        if not found.any():
            raise DataError(
                f"--masses {self.place}: none of its masses may go into mammograms of the split {split}: all are of "
                "another split, or of patients whose mammograms are; give masses of this split, or another --split"
            )
        return found

    @abstractmethod
    def patch(self, number: int) -> MassPatch | None:
        """Return a mass; None where it cannot be cut out whole."""


@dataclass(eq=False)
class MassSource(Masses):
    """Those of a dataset.

    Attributes:
        dataset: of masses, or of mammograms with `lesions.json`.
        annotations: of the lesions of mammograms; None for a dataset of masses.
        numbers: items of the masses, or places in `annotations`, that can be used.
        labels: of each of `numbers`.
    """

    dataset: Dataset
    annotations: tuple[Annotation, ...] | None
    numbers: np.ndarray
    labels: dict[str, np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.numbers)

    def __post_init__(self) -> None:
        self.fingerprint, self.meta, self.place = self.dataset.fingerprint, self.dataset.meta, self.dataset.folder

    def patch(self, number: int) -> MassPatch | None:
        labels = {name: str(self.labels[name][number]) for name in ("shape", "margin", "view")}
        if self.annotations is None:
            return _of_mass(self.dataset, int(self.numbers[number]), labels)
        return _of_mammogram(self.dataset, self.annotations[self.numbers[number]], labels)


class PhantomMasses(Masses):
    """Drawn masses of every shape and margin in turn; without end, but numbered up to `COUNT`."""

    COUNT = 100_000
    fingerprint = place = "phantoms"
    meta = {"synthetic": True, "generator": None, "made": {"by": "make_phantoms"}}

    def __init__(self) -> None:
        pairs = np.array(list(product(CLASSES["shape"], CLASSES["margin"])))
        self.labels = dict(zip(("shape", "margin"), np.resize(pairs, (self.COUNT, 2)).T))
        self.labels |= {name: np.full(self.COUNT, "") for name in ("view", "split", "subject")}

    def patch(self, number: int) -> MassPatch:
        """Draw a phantom, with its true outline."""
        from preprocessing.phantoms.mass import mass_phantom

        shape, margin = (str(self.labels[name][number]) for name in ("shape", "margin"))
        image, outline = mass_phantom(number, shape, margin)
        return MassPatch(
            image,
            np.ones(image.shape, bool),
            outline,
            box_around(polygon_of(outline)),
            calibrated=False,
            shape=shape,
            margin=margin,
            name=f"phantom {number}",
            synthetic=True,
        )


def mass_source(dataset: Dataset, split: str | None = None) -> MassSource:
    """Find the masses of a dataset of masses, or of a dataset of mammograms with known lesions.

    Args:
        split: whose masses; None for all.

    Raises:
        DataError: it holds no masses, or its lesions cannot be read.
    """
    items = dataset.indices(split)
    if dataset.kind == "mass":
        labels = {name: _words(dataset, name)[items] for name in ("shape", "margin")}
        labels["view"] = np.full(len(items), "")
        annotations, numbers, places = None, items, items
    elif has_annotations(dataset):
        annotations = tuple(read_annotations(dataset))
        inside = np.isin([one.item for one in annotations], items)
        large = np.array([min(one.box[2:]) >= LEAST_SIDE for one in annotations], bool)
        numbers = np.flatnonzero(inside & large)
        labels = {name: np.array([getattr(annotations[n], name) for n in numbers], str) for name in ("shape", "margin")}
        places = np.array([annotations[n].item for n in numbers], int)
        labels["view"] = dataset.field("view")[places].astype(str)
    else:
        raise DataError(f"--masses {dataset.folder}: holds mammograms without known lesions; give a dataset of masses")
    if not len(numbers):
        raise DataError(f"--masses {dataset.folder}: holds no masses" + (f" of the split {split}" if split else ""))
    labels["split"] = np.array(SPLITS)[dataset.field("split")[places]]
    labels["subject"] = dataset.field("subject")[places].astype(str)
    return MassSource(dataset, annotations, numbers, labels)


def _words(dataset: Dataset, name: str) -> np.ndarray:
    words = np.array([*dataset.classes(name), ""])  # index −1, unknown, is the last
    return words[dataset.field(name)]


def _of_mass(dataset: Dataset, item: int, labels: dict[str, str]) -> MassPatch:
    """A mass in the middle of a window; how much larger that is, the dataset says."""
    level = dataset.levels[-1]
    low, high, size = (float(dataset.field(name)[item]) for name in ("low", "high", "size"))
    made = dataset.meta["made"]
    return patch_of(
        np.clip(low + (high - low) * dataset.images(level, [item])[0], 0, 1).astype(np.float32),
        dataset.lesions(level, [item])[0],
        context_of(made),
        size=None if np.isnan(size) else size,
        calibrated=calibrated_of(made),
        subject=str(dataset.field("subject")[item]),
        name=f"item {item}",
        synthetic=bool(dataset.meta["synthetic"]),
        **labels,
    )


def patch_of(image: np.ndarray, outline: np.ndarray, context: float, *, synthetic: bool, **known: Any) -> MassPatch:
    """Make a patch of a mass in the middle of a square window.

    Args:
        image: float32 (n, n) in [0, 1].
        outline: bool (n, n), the mass; False everywhere where it is to be found.
        context: side of the window over the longest side of the mass.
        synthetic: whether it was generated.
        known: further attributes of `MassPatch`.
    """
    if not outline.any():
        side = len(image) / context
        corner = (len(image) - side) / 2
        outline = find_outline(image, (corner, corner, side, side))
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5)
    valid = (smooth > (MIXED_SKIN if synthetic else SKIN) * np.median(smooth)) | outline
    return MassPatch(image, valid, outline, box_around(polygon_of(outline)), synthetic=synthetic, **known)


def _of_mammogram(dataset: Dataset, one: Annotation, labels: dict[str, Any]) -> MassPatch | None:
    """A lesion with its surroundings, cut out of its mammogram at its own scale."""
    level = dataset.levels[-1]
    image, mask = dataset.images(level, [one.item])[0], dataset.masks(level, [one.item])[0]
    x, y = one.centre
    side = round(WINDOW * one.longest_side)
    left, top = round(x - side / 2), round(y - side / 2)
    inside = (slice(max(top, 0), top + side), slice(max(left, 0), left + side))
    edges = (max(-top, 0), max(top + side - level[0], 0), max(-left, 0), max(left + side - level[1], 0))
    # An outline that the image's edge cuts is sought on beyond it.
    window = cv2.copyMakeBorder(np.ascontiguousarray(image[inside]), *edges, cv2.BORDER_REPLICATE)
    shown = cv2.copyMakeBorder(np.ascontiguousarray(mask[inside].view(np.uint8)), *edges, cv2.BORDER_CONSTANT, value=0)
    valid = shown > 0
    box = (one.box[0] - left, one.box[1] - top, *one.box[2:])
    if one.outline is not None:
        outline = mask_of(np.array(one.outline) - (left, top), window.shape)
    else:
        outline = find_outline(window, box)
    if not outline.any() or (outline & valid).sum() < LEAST_INSIDE * outline.sum():
        return None
    return MassPatch(
        window,
        valid,
        outline & valid,
        box,
        size=one.longest_side,
        place=Breast(mask).place(*one.centre),
        at_wall=one.box[0] < 1,
        subject=str(dataset.field("subject")[one.item]),
        name=f"lesion of item {one.item} at {one.centre[0]:.0f},{one.centre[1]:.0f}",
        synthetic=one.synthetic or bool(dataset.meta["synthetic"]),
        **labels,
    )
