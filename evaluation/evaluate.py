"""All metrics of a set of generated images next to the same of real ones, in one pass over either set.

What is kept of an image is small (some kilobytes of numbers), so that memory does not depend on the images' size and
hardly on their number: 10,000 images need the memory of a few hundred.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.image_set import EvaluationError, Samples, same_size
from evaluation.metrics.catalogue import catalogue, suitable
from evaluation.metrics.features import Extractor, radiomic
from evaluation.metrics.metric import Chunk, Metric, Row, Sets
from preprocessing.counted import counted

_DESCRIBED = "described"  # the real images' descriptions, among what evaluations share


@dataclass
class Evaluation:
    """The measurements of one set of generated images, and the data for their figures.

    Attributes:
        real, fake: the images.
        rows: of the table.
        described: name of a description → its rows for the real and for the generated images.
        seconds: of each metric, on all images of both sets together.
        extractor: name of the extractor of features.
    """

    real: Samples
    fake: Samples
    rows: list[Row]
    described: Mapping[str, tuple[np.ndarray, np.ndarray]]
    seconds: dict[str, float]
    extractor: str

    def row(self, name: str) -> Row:
        """Return the row of that name.

        Raises:
            KeyError: it was not measured.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


def check_measured(evaluations: Mapping[str, Evaluation]) -> None:
    """Check that evaluations with the same real images hold a value.

    Raises:
        EvaluationError: None does; the message gives the problem of the first metric.
    """
    rows = [row for evaluation in evaluations.values() for row in evaluation.rows]
    if any(not row.problem for row in rows):
        return
    of_real = counted(len(next(iter(evaluations.values())).real), "real image")
    sets = ", ".join([of_real, *(f"{len(one.fake)} of {name}" for name, one in evaluations.items())])
    raise EvaluationError(f"no metric can be measured ({sets}): {rows[0].problem}")


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the time that the context takes to the seconds of a metric."""
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began


def evaluate(
    real: Samples,
    fake: Samples,
    metrics: Sequence[str] | None = None,
    *,
    extractor: Extractor = radiomic,
    extractor_name: str = "radiomic",
    shared: dict[str, Any] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure generated images against real ones.

    Args:
        real, fake: images of one size.
        metrics: names of `catalogue`; by default all that these images can have.
        extractor: features for FID, KID, precision, recall, density and coverage; standardised by the real images.
        extractor_name: what the names of these metrics say of it.
        shared: what evaluations with the same real images, metrics, extractor and seed have in common; give the same
            (at first empty) dictionary to all of them, to save its computation.
        seed: of halves, pairs, patches and bootstrap.

    Returns:
        The rows of the table: one per metric, or several (SWD: one per level). A metric that there are too few images
        for, or that is not finite, has a row with the `problem`.

    Raises:
        EvaluationError: an unknown or unsuitable metric, different sizes, an empty set, or an image that holds NaN.
    """
    known = catalogue(extractor, extractor_name)
    wanted = _chosen(known, metrics, real, fake)
    same_size(real, fake)
    for samples in (real, fake):
        if not len(samples):
            raise EvaluationError(f"{samples.name}: holds no images")

    seconds: dict[str, float] = {}
    shared = {} if shared is None else shared
    described = _described(wanted, real, fake, shared, seed, seconds)
    sets, rows = Sets(real, fake, described, seed, shared), []
    for metric in wanted:
        with _timed(seconds, metric.name):
            rows += metric.rows(sets)
    kept = {name for metric in wanted if not metric.per_pair for name in metric.describe}
    described = {name: both for name, both in described.items() if name in kept}
    return Evaluation(real, fake, rows, described, seconds, extractor_name)


def _chosen(known: dict[str, Metric], names: Sequence[str] | None, real: Samples, fake: Samples) -> list[Metric]:
    names = suitable(known, real, fake) if names is None else list(names)
    for name in names:
        if name not in known:
            raise EvaluationError(f"unknown metric {name!r}; there are {', '.join(known)}")
        why = known[name].unsuitable(real, fake)
        if why:
            raise EvaluationError(f"metric {name!r}: {why}")
    return [known[name] for name in names]


def _described(
    metrics: Sequence[Metric],
    real: Samples,
    fake: Samples,
    shared: dict[str, Any],
    seed: int,
    seconds: dict[str, float],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Describe the images of both sets: name → (rows of the real images, rows of the generated ones)."""
    total = len(real) + len(fake)
    first_time, memory = _DESCRIBED not in shared, shared.setdefault(_DESCRIBED, {})
    anew = [metric for metric in metrics if metric.per_pair or not set(metric.describe) <= set(memory)]
    found = _pass(anew, real, 0, total, seed, seconds) if anew or first_time else {}
    per_pair = {name for metric in anew if metric.per_pair for name in metric.describe}
    memory |= {name: rows for name, rows in found.items() if name not in per_pair}
    of_real = {**memory, **found}
    of_fake = _pass(metrics, fake, len(real), total, seed, seconds)
    return {name: (of_real[name], rows) for name, rows in of_fake.items()}


def _pass(
    metrics: Sequence[Metric], samples: Samples, first: int, total: int, seed: int, seconds: dict[str, float]
) -> dict[str, np.ndarray]:
    """Describe the images of one set, a chunk at a time; `first` is the number of its first image."""
    describers = {name: describe for metric in metrics for name, describe in metric.describe.items()}
    takers = {name: [metric.name for metric in metrics if name in metric.describe] for name in describers}
    found = defaultdict(list)
    for numbers, images, masks in samples.chunks():
        chunk = Chunk(images, masks, first + numbers, total, seed)
        for name, describe in describers.items():
            with _timed(seconds, takers[name][0] if len(takers[name]) == 1 else name):
                found[name].append(describe(chunk))
    return {name: np.concatenate(parts) for name, parts in found.items()}
