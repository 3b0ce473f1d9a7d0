"""All metrics of a set of generated images beside the same of real ones, in one pass over either set.

What is kept of an image is small (some kilobytes of numbers), so that memory does not depend on the images' size and
hardly on their number: 10,000 images need the memory of a few hundred.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from evaluation.image_set import EvaluationError, Samples, same_size
from evaluation.intervals import Estimate, bootstrap_mean, compare_sets, halves
from evaluation.metrics.feature_distances import NEIGHBOURS, frechet_distance, kernel_distance, manifolds, standardise
from evaluation.metrics.features import Extractor, radiomic
from evaluation.metrics.masks import fine_energy, histogram, histogram_distance, leakage, mask_agreement
from evaluation.metrics.msssim import diversity, variation
from evaluation.metrics.swd import SlicedWasserstein, level_names
from evaluation.metrics.texture import needs_room, power_law_exponent, radial_spectrum

# name: (what it is, which values are good)
METRICS = {
    "swd": ("sliced Wasserstein distance ×10³", "low"),
    "msssim": ("MS-SSIM of random pairs", "as real"),
    "variation": ("difference of two images of one mask", "as real"),
    "iou": ("IoU of breast and wanted mask", "high"),
    "leakage": ("brightness outside the mask", "low"),
    "beta": ("power-law exponent β of texture", "as real"),
    "fine": ("fine energy of texture", "as real"),
    "histogram": ("distance of brightness histograms", "low"),
    "fid": ("FID", "low"),
    "kid": ("KID", "low"),
    "precision": ("precision", "high"),
    "recall": ("recall", "high"),
    "density": ("density", "high"),
    "coverage": ("coverage", "high"),
}
OF_FEATURES = ("fid", "kid", "precision", "recall", "density", "coverage")
OF_MASKS = ("variation", "iou", "leakage")
OF_TEXTURE = ("beta", "fine")
SHARES = ("precision", "recall", "coverage")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    generated: of the generated images; for a distance, of theirs to the real ones.
    real: of the real images; for a distance, of one half of them to the other (the floor).
    halves: difference of the two halves' values where the metric is no distance.
    problem: why there is no value, in place of one.
    """

    name: str
    title: str
    good: str
    generated: Estimate | None = None
    real: Estimate | None = None
    halves: float | None = None
    problem: str = ""

    @property
    def verdict(self) -> str:
        """Whether the intervals of generated and real overlap: "as real", "differs", or "" without values."""
        if self.generated is None or self.real is None:
            return ""
        apart = self.generated.low > self.real.high or self.generated.high < self.real.low
        return "differs" if apart else "as real"


@dataclass
class Descriptions:
    """What is kept of a set: one row an image of each thing measured."""

    rows: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.rows[name]


@dataclass
class Evaluation:
    """The measurements of one set of generated images, and what pictures of them need."""

    real: Samples
    fake: Samples
    rows: list[Row]
    described: tuple[Descriptions, Descriptions]  # real, generated
    seconds: dict[str, float]  # a metric, on all images of both sets together
    extractor: str

    def row(self, name: str) -> Row:
        """The row of that name; KeyError if it was not measured."""
        return next(row for row in self.rows if row.name == name)


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str):
        began = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - began


def default_metrics(samples: Samples) -> list[str]:
    """All metrics that images of this kind can have."""
    return [name for name in METRICS if samples.has_masks or name not in OF_MASKS]


def evaluate(
    real: Samples,
    fake: Samples,
    metrics: Sequence[str] | None = None,
    *,
    extractor: Extractor = radiomic,
    extractor_name: str = "radiomic",
    described_real: Descriptions | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure generated images against real ones.

    Args:
        real, fake: images of one size.
        metrics: names of `METRICS`; by default all that apply.
        extractor: features for FID, KID, precision, recall, density and coverage; standardised by the real images.
        described_real: of an earlier evaluation with the same real images, metrics and extractor, to save their pass.
        seed: of halves, pairs, patches and bootstrap.

    Returns:
        A row a metric (SWD: a row a level). A metric that there are too few images for has a row with the `problem`.

    Raises:
        EvaluationError: unknown metric, different sizes, an empty set, or an image that holds NaN.
    """
    wanted = list(metrics) if metrics is not None else default_metrics(fake)
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise EvaluationError(f"unknown metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    no_masks = [name for name in wanted if name in OF_MASKS and not (real.has_masks and fake.has_masks)]
    if no_masks:
        raise EvaluationError(f"metric {no_masks[0]!r} needs masks, which these images do not have; leave it out")
    same_size(real, fake)
    for samples in (real, fake):
        if not len(samples):
            raise EvaluationError(f"{samples.name}: holds no images")

    clock = _Clock()
    swd = SlicedWasserstein(len(real) + len(fake), real.size, seed) if "swd" in wanted else None
    found_real = _describe(real, 0, [] if described_real else wanted, swd, extractor, clock)
    described = described_real or found_real, _describe(fake, len(real), wanted, swd, extractor, clock)
    rows = []
    for name in wanted:
        with clock(name):
            try:
                rows += _rows(name, real, fake, described, swd, seed)
            except EvaluationError as error:
                rows.append(Row(name, *METRICS[name], problem=str(error)))
    return Evaluation(real, fake, rows, described, dict(clock.seconds), extractor_name)


# ------------------------------------------------------------------------------- one pass over a set


def _describe(
    samples: Samples,
    offset: int,
    wanted: Sequence[str],
    swd: SlicedWasserstein | None,
    extractor: Extractor,
    clock: _Clock,
) -> Descriptions:
    describers = _describers(samples, wanted, extractor)
    found = defaultdict(list)
    for numbers, images, masks in samples.chunks():
        for name, (metric, describe) in describers.items():
            with clock(metric):
                found[name].append(np.asarray(describe(images, masks), np.float64))
        if swd is not None:
            with clock("swd"):
                for number, image, mask in zip(numbers, images, masks):
                    swd.add(offset + int(number), image, mask)
    return Descriptions({name: np.concatenate(parts) for name, parts in found.items()})


def _describers(
    samples: Samples, wanted: Sequence[str], extractor: Extractor
) -> Mapping[str, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]]:
    """What to keep: name of the numbers → (metric whose time they take, function of a chunk)."""

    def each(of_image: Callable[[np.ndarray, np.ndarray], float | np.ndarray]):
        return lambda images, masks: np.array([of_image(image, mask) for image, mask in zip(images, masks)])

    describers = {}
    if "iou" in wanted:
        describers["iou"] = "iou", mask_agreement
    if "leakage" in wanted:
        describers["leakage"] = "leakage", each(leakage)
    if "histogram" in wanted:
        describers["histogram"] = "histogram", each(histogram)
    if min(samples.size) >= 64:
        if "beta" in wanted:
            describers["beta"] = "beta", each(power_law_exponent)
            describers["spectrum"] = "beta", each(lambda image, mask: radial_spectrum(image, mask)[1])
        if "fine" in wanted:
            describers["fine"] = "fine", each(fine_energy)
    if set(OF_FEATURES) & set(wanted):
        describers["features"] = "features", extractor
    return describers


# ---------------------------------------------------------------------------------------- the rows


def _rows(
    name: str,
    real: Samples,
    fake: Samples,
    described: tuple[Descriptions, Descriptions],
    swd: SlicedWasserstein | None,
    seed: int,
) -> list[Row]:
    title, good = METRICS[name]
    if name == "swd":
        return _swd_rows(swd, real, fake, title, good, seed)
    if name == "msssim":
        return [_diversity_row(real, fake, title, good, seed)]
    if name == "variation":
        return [_variation_row(real, fake, title, good, seed)]
    if name == "histogram":
        pooled = np.concatenate([d["histogram"] for d in described])
        return [_distance_row(name, pooled, real, fake, _mean_histograms, 2, seed)]
    if name in OF_FEATURES:
        pooled = np.concatenate([d["features"] for d in described])
        pooled = standardise(pooled, pooled[: len(real)])
        statistic, needs = _feature_statistic(name, pooled.shape[1])
        return [_distance_row(name, pooled, real, fake, statistic, needs, seed)]
    if name in OF_TEXTURE:
        needs_room(*real.size)
        if not all(np.isfinite(one[name]).any() for one in described):
            raise EvaluationError("no patch of texture fits into any of the masks; compare at a finer level")
    return [_mean_row(name, real, fake, described, seed)]


def _mean_row(name: str, real: Samples, fake: Samples, described: tuple[Descriptions, Descriptions], seed: int) -> Row:
    rng = _rng(seed)
    of_real, of_fake = (one[name] for one in described)
    estimates = bootstrap_mean(of_fake, rng, fake.subjects), bootstrap_mean(of_real, rng, real.subjects)
    first, second = halves(real.subjects, rng)
    apart = float(abs(np.nanmean(of_real[first]) - np.nanmean(of_real[second])))
    return Row(name, *METRICS[name], *estimates, halves=apart)


def _diversity_row(real: Samples, fake: Samples, title: str, good: str, seed: int) -> Row:
    parts = [real.subset(half) for half in halves(real.subjects, _rng(seed))]
    apart = [diversity(part, pairs=250, seed=seed).value for part in parts]
    row = diversity(fake, seed=seed), diversity(real, seed=seed)
    return Row("msssim", title, good, *row, halves=abs(apart[0] - apart[1]))


def _variation_row(real: Samples, fake: Samples, title: str, good: str, seed: int) -> Row:
    """Of real images there is one a mask: beside a generator's stand two real ones where their masks overlap."""
    parts = [real.subset(half) for half in halves(real.subjects, _rng(seed))]
    apart = [variation(part, of_one_mask=False, seed=seed).value for part in parts]
    row = variation(fake, of_one_mask=True, seed=seed), variation(real, of_one_mask=False, seed=seed)
    return Row("variation", title, good, *row, halves=abs(apart[0] - apart[1]))


def _distance_row(
    name: str,
    pooled: np.ndarray,
    real: Samples,
    fake: Samples,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    needs: int,
    seed: int,
) -> Row:
    """A distance of two sets of rows: the real ones come first in `pooled`."""
    of_indices = lambda a, b: statistic(pooled[a], pooled[b])
    bounds = (-np.inf if name == "kid" else 0, 1 if name in SHARES else np.inf)
    options = {"seed": seed, "needs": needs, "bounds": bounds, "name": METRICS[name][0]}
    compared = compare_sets(of_indices, *_indices(real, fake), subjects=_subjects(real, fake), **options)
    return Row(name, *METRICS[name], compared.generated, compared.floor)


def _swd_rows(swd: SlicedWasserstein, real: Samples, fake: Samples, title: str, good: str, seed: int) -> list[Row]:
    """A row a level, and their mean."""
    swd.project(np.arange(len(real)))
    memory: dict[bytes, np.ndarray] = {}

    def of_level(level: int | None) -> Callable[[np.ndarray, np.ndarray], float]:
        def statistic(a: np.ndarray, b: np.ndarray) -> float:
            key = a.tobytes() + b"|" + b.tobytes()  # the levels ask for the same pairs of sets
            if key not in memory:
                memory[key] = swd.distances(a, b)
            return float(memory[key].mean() if level is None else memory[key][level])

        return statistic

    rows, names = [], ["mean", *level_names(swd.sizes)]
    for level, name in zip([None, *range(len(swd.sizes))], names):
        options = {"seed": seed, "bounds": (0, np.inf), "name": "SWD", "replicates": 20}
        compared = compare_sets(of_level(level), *_indices(real, fake), subjects=_subjects(real, fake), **options)
        rows.append(Row(f"swd {name}", f"{title}, {name}", good, compared.generated, compared.floor))
    return rows


def _feature_statistic(name: str, features: int) -> tuple[Callable[[np.ndarray, np.ndarray], float], int]:
    """(function of two sets of features, fewest images of a set; their half-samples must still do)."""
    if name == "fid":
        return frechet_distance, 2 * (features + 1)
    if name == "kid":
        return kernel_distance, 4
    return lambda real, fake: getattr(manifolds(real, fake), name), 2 * (NEIGHBOURS + 1)


def _mean_histograms(first: np.ndarray, second: np.ndarray) -> float:
    return histogram_distance(first.mean(axis=0), second.mean(axis=0))


def _indices(real: Samples, fake: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the images when those of `fake` continue those of `real`."""
    return np.arange(len(real)), np.arange(len(real), len(real) + len(fake))


def _subjects(real: Samples, fake: Samples) -> np.ndarray:
    """Whose all images are, real ones first."""
    return np.concatenate([real.subjects, real.subjects.max() + 1 + fake.subjects])


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
