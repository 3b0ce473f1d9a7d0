"""What a metric is: a name that carries its protocol, what is kept of an image, and how two sets are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate, bootstrap_mean, compare_sets, halves

LOW, HIGH, AS_REAL = "low", "high", "as real"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: of the metric, and of its part where it has several.
        title: what it is, in words.
        wanted: "low", "high" or "as real".
        generated: of the generated images; for a distance, of theirs to the real ones.
        real: of the real images; for a distance, of one half of them to the other (the floor).
        halves: difference of the two halves' values where the metric is no distance and either half has one.
        chance: what guessing gives for the "generated" and for the "real" value, where that is known.
        problem: why there is no value, in place of one.
        detail: what else was found, for the report's page.
    """

    name: str
    title: str
    wanted: str
    generated: Estimate | None = None
    real: Estimate | None = None
    halves: float | None = None
    chance: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    detail: Any = field(default=None, compare=False, repr=False)

    @property
    def verdict(self) -> str:
        """Whether the intervals of generated and real overlap: "as real", "differs", or "" without values."""
        if self.generated is None or self.real is None:
            return ""
        apart = self.generated.low > self.real.high or self.generated.high < self.real.low
        return "differs" if apart else "as real"


@dataclass(frozen=True)
class Chunk:
    """Some images of a set, to be described.

    Attributes:
        images: float32 (n, height, width) in [0, 1].
        masks: bool (n, height, width).
        numbers: of the images; those of generated images continue those of the real ones.
        total: images of both sets.
        seed: of random choices.
    """

    images: np.ndarray
    masks: np.ndarray
    numbers: np.ndarray
    total: int
    seed: int


Describe = Callable[[Chunk], np.ndarray]  # one row per image


@dataclass(frozen=True)
class Sets:
    """The two sets that a metric compares.

    Attributes:
        real, fake: the images.
        described: name of a description → its rows for the real and for the generated images.
        seed: of halves, pairs and bootstrap.
        shared: what evaluations with the same real images have in common, by name.
    """

    real: Samples
    fake: Samples
    described: Mapping[str, tuple[np.ndarray, np.ndarray]]
    seed: int
    shared: dict[str, Any]

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator of random numbers, the same for each metric."""
        return np.random.default_rng(self.seed)

    @property
    def indices(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the images when those of `fake` continue those of `real`."""
        return np.arange(len(self.real)), np.arange(len(self.real), len(self.real) + len(self.fake))

    @property
    def subjects(self) -> np.ndarray:
        """Whose the images are, real ones first; generated ones count as of other subjects than real ones."""
        return np.concatenate([self.real.subjects, self.real.subjects.max() + 1 + self.fake.subjects])

    def pooled(self, name: str) -> np.ndarray:
        """Return the rows of a description, real ones first."""
        return np.concatenate(self.described[name])

    def common(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what depends on the real images alone; it is made once."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]


@dataclass(frozen=True)
class Metric:
    """One thing that is measured.

    Attributes:
        name: carries the protocol, so that equal names are comparable: `fid_radiomic_z`.
        title: what it is, in words.
        wanted: which values are good: "low", "high" or "as real".
        compare: function of the metric and the two sets; returns rows of the table. An `EvaluationError` becomes the
            row's `problem`.
        describe: what is kept of each image: name → function. Metrics with equal names share a description.
        per_pair: whether the descriptions depend on both sets, so that those of the real images cannot be used again.
        unsuitable: function of the two sets; returns why they cannot have this metric, or "".
        by_default: whether it is measured where it is not named.
    """

    name: str
    title: str
    wanted: str
    compare: Callable[["Metric", Sets], list[Row]]
    describe: Mapping[str, Describe] = field(default_factory=dict)
    per_pair: bool = False
    unsuitable: Callable[[Samples, Samples], str] = lambda real, fake: ""
    by_default: bool = True

    def row(self, generated: Estimate, real: Estimate, part: str = "", **more: Any) -> Row:
        """Make a row of this metric, or of a part of it.

        Raises:
            EvaluationError: a value that is not finite; it is never a score.
        """
        for kind, one in (("generated", generated), ("real", real)):
            if not np.isfinite([one.value, one.low, one.high]).all():
                raise EvaluationError(f"{self.name} of the {kind} images is not finite, so there is no score")
        name, title = (f"{self.name} {part}", f"{self.title}, {part}") if part else (self.name, self.title)
        return Row(name, title, self.wanted, generated, real, **more)

    def rows(self, sets: Sets) -> list[Row]:
        """Compare two sets; a metric that cannot be computed has a row that says why."""
        try:
            return self.compare(self, sets)
        except EvaluationError as error:
            return [Row(self.name, self.title, self.wanted, problem=str(error))]


# ------------------------------------------------------------------------- what metrics are made of


def each(of_image: Callable[[np.ndarray, np.ndarray], float | np.ndarray]) -> Describe:
    """Make a description of a function of one image and its mask."""
    return lambda chunk: np.array([of_image(image, mask) for image, mask in zip(chunk.images, chunk.masks)], np.float64)


def needs_masks(real: Samples, fake: Samples) -> str:
    """Say why sets without masks cannot have a metric."""
    return "" if real.has_masks and fake.has_masks else "needs masks, which these images do not have; leave it out"


def mean_row(metric: Metric, sets: Sets, name: str) -> Row:
    """Compare the means of a description that is one number per image; NaN where it cannot be measured."""
    rng, (real, fake) = sets.rng, sets.described[name]
    estimates = bootstrap_mean(fake, rng, sets.fake.subjects), bootstrap_mean(real, rng, sets.real.subjects)
    parts = [real[half] for half in halves(sets.real.subjects, rng)]
    means = [part[np.isfinite(part)].mean() for part in parts if np.isfinite(part).any()]
    return metric.row(*estimates, halves=float(abs(means[0] - means[1])) if len(means) == 2 else None)


def compare_means(name: str) -> Callable[[Metric, Sets], list[Row]]:
    """Make a comparison of the means of a description."""
    return lambda metric, sets: [mean_row(metric, sets, name)]


def distance_row(
    metric: Metric,
    sets: Sets,
    of_indices: Callable[[np.ndarray, np.ndarray], float],
    *,
    needs: int = 4,
    bounds: tuple[float, float] = (0, np.inf),
    part: str = "",
    **options: Any,
) -> Row:
    """Compare two sets by a distance of index arrays: generated from real, and one half of real from the other.

    Args:
        of_indices: the distance; its indices are those of `Sets.indices`.
        part: of the metric.
        needs, bounds, options: of `compare_sets`.
    """
    options = {"seed": sets.seed, "needs": needs, "bounds": bounds, "name": metric.name, **options}
    compared = compare_sets(of_indices, *sets.indices, subjects=sets.subjects, **options)
    return metric.row(compared.generated, compared.floor, part)


def halves_apart(sets: Sets, measure: Callable[[Samples], Estimate]) -> float | None:
    """Return by how much a measure of one half of the real images differs from that of the other, if it has one."""
    try:
        first, second = (measure(sets.real.subset(half)).value for half in halves(sets.real.subjects, sets.rng))
    except EvaluationError:  # too few images or patients in a half; the whole set may do
        return None
    return abs(first - second)
