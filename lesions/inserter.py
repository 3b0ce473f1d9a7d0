"""Mammograms with lesions, by number: image n is a function of the inputs, the settings and n alone."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from lesions.annotations import Annotation, by_item, has_annotations, read_annotations
from lesions.blend import METHODS
from lesions.breast import Breast
from lesions.insert import Host, Inserted, choose_place, insert_at
from lesions.masses import Masses, PhantomMasses, mass_source
from lesions.placement import SHIPPED, Placement, read_placement
from preprocessing.images.table_words import DENSITIES
from preprocessing.shards import SPLITS, DataError, Dataset, Level, open_dataset

PHANTOMS = "phantoms"  # in place of a dataset of masses
SIZE: Level = (512, 256)  # of the mammograms that sizes of lesions are in pixels of


@dataclass(frozen=True)
class Settings:
    """What is inserted, and how.

    Attributes:
        lesions: per image; None to draw the number as in reality.
        shape, margin: words of BI-RADS; "" for any.
        size: longest side in pixels of a 512×256 mammogram; None for the mass's own, or one of its kind.
        place: depth and height in the breast (`lesions.breast`); None to draw it.
        method: of `lesions.blend.METHODS`.
        split: which mammograms and masses are used, "train", "validation" or "all".
        seed: another seed, other lesions.
    """

    lesions: int | None = None
    shape: str = ""
    margin: str = ""
    size: float | None = None
    place: tuple[float, float] | None = None
    method: str = "poisson"
    split: str = "train"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DataError(f"--method {self.method}: must be one of {', '.join(METHODS)}")
        if self.split not in (*SPLITS, "all"):
            raise DataError(f"--split {self.split}: must be one of {', '.join(SPLITS)}, all")
        if self.lesions is not None and self.lesions < 1:
            raise DataError(f"--lesions-per-image {self.lesions}: must be at least 1")
        if self.size is not None and not 4 <= self.size <= 200:
            raise DataError(f"--size {self.size}: must be 4 to 200 pixels of a mammogram 512 pixels high")
        if self.place is not None and not all(0 <= value <= 1 for value in self.place):
            raise DataError(f"--place {self.place}: depth and height must lie in 0 to 1")


@dataclass(frozen=True, eq=False)
class Composite:
    """A mammogram with lesions.

    Attributes:
        number: of the image.
        item: the mammogram's index in its dataset.
        before, image: float32 (height, width) in [0, 1], without and with the inserted lesions.
        mask: bool, the breast.
        annotations: all its lesions, those that it had before first; their `item` is `number`.
        masses: for each annotation, which mass of its dataset it is; "" for those that were there before.
        fields: subject, laterality, view, density ("a" to "d", "" where unknown), split.
    """

    number: int
    item: int
    before: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    annotations: tuple[Annotation, ...]
    masses: tuple[str, ...]
    fields: dict[str, str]


class Inserter:
    """Makes mammograms with lesions, each by its number.

    Args:
        mammograms: dataset of real or synthetic ones at 512×256.

    Raises:
        DataError: there are no mammograms, they are of another size, or there are no masses of the shape and margin.
    """

    def __init__(self, mammograms: Dataset, masses: Masses, placement: Placement, settings: Settings):
        self.mammograms, self.masses, self.placement, self.settings = mammograms, masses, placement, settings
        self.items = mammograms.indices(None if settings.split == "all" else settings.split)
        if not len(self.items):
            raise DataError(f"--mammograms {mammograms.folder}: holds no mammograms of the split {settings.split}")
        if mammograms.levels[-1] != SIZE:
            sizes = ["x".join(map(str, size)) for size in (mammograms.levels[-1], SIZE)]
            raise DataError(
                f"--mammograms {mammograms.folder}: its images are {sizes[0]}, too small for lesions; give images of "
                f"{sizes[1]}, as a generator of phase 7 makes them"
            )
        self._splits = np.array(SPLITS)[mammograms.field("split")]
        self.usable = self._usable()
        known = read_annotations(mammograms) if has_annotations(mammograms) else []
        self._known = by_item(known, mammograms.count)
        self._fields = {name: mammograms.field(name) for name in ("subject", "laterality", "view")}
        self._fields["density"] = np.array(["", *DENSITIES])[mammograms.field("density")]

    @property
    def splits(self) -> dict[str, str]:
        """The split of each subject of the mammograms."""
        return dict(zip(self._fields["subject"].astype(str).tolist(), self._splits.tolist()))

    def place_of(self, number: int) -> tuple[int, int]:
        """Which of the subjects image `number` shows, and which of the images of this subject it is, from 0."""
        turn, position = divmod(number, len(self.items))
        subjects = self._subjects[self.items]
        of_subject = np.flatnonzero(subjects == subjects[position])
        return int(subjects[position]), turn * len(of_subject) + int(np.searchsorted(of_subject, position))

    @cached_property
    def _subjects(self) -> np.ndarray:
        """The number of each mammogram's subject, in the order of their names."""
        return np.unique(self._fields["subject"], return_inverse=True)[1]

    def _usable(self) -> dict[tuple[str, str], np.ndarray]:
        """Which masses may go into a mammogram of a split and view; no patient's mass leaves the patient's split."""
        masses, settings, subjects = self.masses, self.settings, self.mammograms.field("subject").astype(str)
        found = {}
        for split in np.unique(self._splits[self.items]).tolist():
            free = masses.of_split(split, subjects[self._splits != split])
            for view in ("CC", "MLO", ""):
                found[split, view] = masses.matching(settings.shape, settings.margin, view, free)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the images depend on but their number."""
        placement = {
            name: np.asarray(value).tolist() for name, value in vars(self.placement).items() if name != "counts"
        }
        known = [one for lesions in self._known for one in lesions]
        parts: list[object] = [self.mammograms.fingerprint, self.masses.fingerprint, asdict(self.settings), placement]
        parts += [sorted(self.placement.counts.items()), [vars(one) for one in known]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def image(self, number: int) -> Composite:
        """Image `number`, counted round and round over the mammograms."""
        item = int(self.items[number % len(self.items)])
        rng = np.random.default_rng([self.settings.seed, number])
        level = self.mammograms.levels[-1]
        before, mask = self.mammograms.images(level, [item])[0], self.mammograms.masks(level, [item])[0]
        breast = Breast(mask)
        fields = {name: str(values[item]) for name, values in self._fields.items()} | {"split": str(self._splits[item])}
        annotations = [replace(one, item=number) for one in self._known[item]]
        host = Host(before, breast, fields["view"], tuple(one.box for one in annotations))
        masses = [""] * len(annotations)
        for lesion in range(self.settings.lesions or self.placement.lesion_count(rng)):
            usable = self.usable[fields["split"], host.view if host.view in ("CC", "MLO") else ""]
            tried = self.masses.choice(usable, number, lesion, rng)
            result = self._one_more(host, tried, rng, fields["subject"])
            if result is not None:
                host = replace(host, image=result.image, lesions=(*host.lesions, result.annotation.box))
                annotations.append(replace(result.annotation, item=number))
                masses.append(result.patch.name)
        return Composite(number, item, before, host.image, mask, tuple(annotations), tuple(masses), fields)

    def _one_more(self, host: Host, tried: np.ndarray, rng: np.random.Generator, subject: str) -> Inserted | None:
        """The mammogram with one mass more, or None where none of those to be tried found room."""
        settings = self.settings
        centre = None if settings.place is None else host.breast.pixel(*settings.place)
        for number in tried:
            patch = self.masses.patch(int(number))
            if patch is None or patch.subject == subject:
                continue
            if rng.integers(2):
                patch = patch.mirrored()
            place = choose_place(host, patch, self.placement, rng, size=settings.size, centre=centre)
            if place and (result := insert_at(host, patch, place, settings.method)):
                return result
        return None


def open_inserter(
    mammograms: str | os.PathLike,
    masses: str | os.PathLike | None = None,
    *,
    placement: str | os.PathLike | None = None,
    settings: Settings = Settings(),
) -> Inserter:
    """Open what `insert_lesions` needs.

    Args:
        masses: dataset of masses, or of mammograms with known lesions; `PHANTOMS` for drawn phantoms; None for masses
            of the generator that comes with the package.
        placement: placement model; None for the one that comes with the package.

    Raises:
        DataError: a dataset cannot be used.
    """
    dataset = open_dataset(Path(mammograms), kind="mammogram")
    split = None if settings.split == "all" else settings.split
    return Inserter(dataset, _open(masses, settings, split), read_placement(placement or SHIPPED), settings)


def _open(masses: str | os.PathLike | None, settings: Settings, split: str | None) -> Masses:
    """What `masses` of `open_inserter` stands for."""
    if masses is None:
        from lesions.generated import GeneratedMasses  # TensorFlow only where it is needed

        return GeneratedMasses(settings.shape, settings.margin, settings.seed)
    if str(masses) == PHANTOMS and not Path(masses).exists():
        return PhantomMasses()
    return mass_source(open_dataset(Path(masses)), split)
