"""Where masses lie in breasts and how large they are: a smoothed sample of real boxes **(ours)**.

The model is a kernel density. It keeps a row for each real lesion: view, place in the breast (`lesions.breast`),
longest side, side ratio, shape and margin, and how many lesions there were in each mammogram. A draw takes one row at
random and moves it a little, so that whatever goes together in reality goes together in draws: large masses and the
middle of the breast, spiculated margins and irregular shapes. What is given (a size, a place, a shape, a margin)
restricts the rows, or weighs them by how near they are.

The package comes with the model of 1,231 films of CBIS-DDSM (`placement.json`, which carries its attribution).
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesions.annotations import Annotation, by_item
from lesions.breast import Breast
from preprocessing.atomic import write_whole
from preprocessing.errors import system_errors_as
from preprocessing.json_file import read_json
from preprocessing.masses.labels import CLASSES
from preprocessing.shards import DataError, Dataset

SHIPPED = Path(__file__).parent / "placement.json"
FORMAT = 1
BANDWIDTH = {"depth": 0.04, "height": 0.03, "size": 0.08, "aspect": 0.05}  # standard deviations of a draw's moves
NEAR_SIZE = 0.2  # of the logarithm of a given size: how near a row's size must be
NEAR_PLACE = 0.07  # of depth and height: how near a row's place must be to that of the mass in its own breast
SIZE_LIMITS = (8 / 512, 96 / 512)  # longest side, of the image's height


@dataclass(frozen=True)
class Place:
    """A lesion to be: its centre and sides in pixels, and its labels ("" where unknown)."""

    x: float
    y: float
    width: float
    height: float
    shape: str = ""
    margin: str = ""

    @property
    def longest_side(self) -> float:
        return max(self.width, self.height)


@dataclass(frozen=True, eq=False)
class Placement:
    """The rows of real lesions that draws are made from.

    Attributes:
        view: str (n,), "CC", "MLO" or "".
        depth, height: float (n,), the place in the breast.
        size: float (n,), longest side over the image's height.
        aspect: float (n,), log2 of width over height.
        shape, margin: str (n,), words of BI-RADS or "".
        counts: lesions in a mammogram, and how many mammograms had so many.
        source: what the rows are from, with its licence.
    """

    view: np.ndarray
    depth: np.ndarray
    height: np.ndarray
    size: np.ndarray
    aspect: np.ndarray
    shape: np.ndarray
    margin: np.ndarray
    counts: Mapping[int, int]
    source: str = ""

    def __len__(self) -> int:
        return len(self.view)

    def lesion_count(self, rng: np.random.Generator) -> int:
        """Draw how many lesions a mammogram with lesions has."""
        numbers = sorted(self.counts)
        weights = np.array([self.counts[number] for number in numbers], float)
        return int(rng.choice(numbers, p=weights / weights.sum()))

    def draw(
        self,
        breast: Breast,
        rng: np.random.Generator,
        *,
        view: str = "",
        shape: str = "",
        margin: str = "",
        size: float | None = None,
        near: tuple[float, float] | None = None,
        centre: tuple[float, float] | None = None,
    ) -> Place:
        """Draw one lesion for a breast.

        Args:
            breast: whose mask the centre is to lie in.
            view: "CC" or "MLO"; another or "" takes rows of any view.
            shape, margin: words of BI-RADS; "" for any.
            size: longest side, pixels; None to draw it.
            near: depth and height that the place is to resemble; None for any.
            centre: x, y in pixels; None to draw it.

        Returns:
            The place; its box may still leave the breast, which the caller decides about.

        Raises:
            ValueError: a word is none of BI-RADS'.
        """
        total = breast.mask.shape[0]
        row = rng.choice(len(self), p=self._weights(view, shape, margin, size and size / total, near))
        moves = {name: rng.normal(0, spread) for name, spread in BANDWIDTH.items()}
        # 1) how large
        longest = self.size[row] * np.exp(moves["size"])
        longest = size if size is not None else total * float(np.clip(longest, *SIZE_LIMITS))
        ratio = 2.0 ** (self.aspect[row] + moves["aspect"])
        width, height = (longest, longest / ratio) if ratio > 1 else (longest * ratio, longest)
        # 2) where
        if centre is None:
            depth = _reflected(self.depth[row] + moves["depth"])
            centre = breast.pixel(depth, _reflected(self.height[row] + moves["height"]))
        return Place(*centre, width, height, shape or str(self.shape[row]), margin or str(self.margin[row]))

    def _weights(
        self, view: str, shape: str, margin: str, size: float | None, near: tuple[float, float] | None
    ) -> np.ndarray:
        """Probability of each row. A condition that no row meets is dropped: first the margin, then the shape."""
        for word, field in ((shape, "shape"), (margin, "margin")):
            if word and word not in CLASSES[field]:
                raise ValueError(f"{field} {word!r}: must be one of {', '.join(CLASSES[field])}")
        weights = np.ones(len(self))
        for values, wanted in ((self.view, view), (self.shape, shape), (self.margin, margin)):
            kept = weights * (values == wanted)
            if wanted and kept.any():
                weights = kept
        squared = np.zeros(len(self))
        if size is not None:
            squared += (np.log(self.size / size) / NEAR_SIZE) ** 2
        if near is not None:
            squared += ((self.depth - near[0]) / NEAR_PLACE) ** 2 + ((self.height - near[1]) / NEAR_PLACE) ** 2
        weights = weights * np.exp(-0.5 * (squared - squared[weights > 0].min()))
        return weights / weights.sum()


def _reflected(value: float) -> float:
    """A number near [0, 1] reflected into it at its ends."""
    value = abs(value)
    return 2 - value if value > 1 else value


# ------------------------------------------------------------------------------------------- fit


def fit_placement(
    dataset: Dataset, annotations: Sequence[Annotation], *, items: Sequence[int] | None = None
) -> Placement:
    """Fit a placement model to real lesions.

    Args:
        dataset: the mammograms that they lie in.
        items: which mammograms to use. Defaults to those of the training split.

    Raises:
        DataError: no lesion lies in these mammograms.
    """
    used = set((dataset.indices("train") if items is None else np.asarray(items)).tolist())
    views, level = dataset.field("view"), dataset.levels[-1]
    rows: list[tuple] = []
    counts: Counter[int] = Counter()
    for item, lesions in enumerate(by_item(annotations, dataset.count)):
        if item not in used or not lesions:
            continue
        counts[len(lesions)] += 1
        breast = Breast(dataset.masks(level, [item])[0])
        for one in lesions:
            across, down = one.box[2:]
            sizes = (one.longest_side / level[0], np.log2(across / down))
            rows.append((str(views[item]), *breast.place(*one.centre), *sizes, one.shape, one.margin))
    if not rows:
        raise DataError(f"{dataset.folder}: none of its mammograms has a known lesion to fit a placement model to")
    view, depth, height, size, aspect, shape, margin = (np.array(column) for column in zip(*rows))
    return Placement(view, depth, height, size, aspect, shape, margin, dict(counts))


# ------------------------------------------------------------------------------------------ files

_NUMBERS = {"depth": 3, "height": 3, "size": 4, "aspect": 2}  # with their decimals
_WORDS = ("view", "shape", "margin")


def write_placement(placement: Placement, path: str | os.PathLike) -> None:
    """Write a placement model as JSON; it holds nothing about who the patients were.

    Raises:
        DataError: the file cannot be written.
    """
    columns = {name: getattr(placement, name).tolist() for name in _WORDS}
    columns |= {name: np.round(getattr(placement, name), digits).tolist() for name, digits in _NUMBERS.items()}
    counts = {str(number): count for number, count in sorted(placement.counts.items())}
    order = np.lexsort([columns[name] for name in (*_WORDS, *_NUMBERS)])  # not that of the patients
    columns = {name: [values[place] for place in order] for name, values in columns.items()}
    content = {"format": FORMAT, "source": placement.source, "counts": counts, **columns}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    with system_errors_as(DataError, path):
        write_whole(path, "{\n" + lines + "\n}\n")


def read_placement(path: str | os.PathLike = SHIPPED) -> Placement:
    """Read a placement model; without a path, the one that comes with the package.

    Raises:
        DataError: the file cannot be read or is no placement model.
    """
    try:
        content = read_json(Path(path))
        if content["format"] != FORMAT:
            raise ValueError("format")
        words = [np.array(content[name], str) for name in _WORDS]
        numbers = {name: np.array(content[name], float) for name in _NUMBERS}
        counts = {int(number): int(count) for number, count in content["counts"].items()}
        lengths = {len(column) for column in (*words, *numbers.values())}
        if len(lengths) != 1 or 0 in lengths or not counts:
            raise ValueError("lengths")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"--placement {path}: is not a placement model; make one with fit_placement") from error
    view, shape, margin = words
    return Placement(view=view, shape=shape, margin=margin, counts=counts, source=str(content["source"]), **numbers)
