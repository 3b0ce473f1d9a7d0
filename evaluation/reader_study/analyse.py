"""Analysis of a reader study: means, paired tests, agreement, and how well readers tell real from generated images."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from evaluation.image_set import EvaluationError
from evaluation.intervals import Estimate, percentile_interval
from evaluation.reader_study.key import REAL, SCORES
from evaluation.reader_study.readings import Readings
from evaluation.roc import area_under_roc
from preprocessing.counted import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPLICATES = 2000


@dataclass(frozen=True)
class Contrast:
    """A paired (or, without common masks, unpaired) comparison of two methods; p after Holm's correction."""

    first: str
    second: str
    difference: float
    p: float
    paired: bool


@dataclass(frozen=True)
class Analysis:
    """What the readers' scores say.

    Attributes:
        readings: the scores.
        means: method → mean score with interval.
        by_reader: reader → method → mean score; NaN where the reader scored none of its images.
        tests: every pair of methods.
        kappa: quadratically weighted, mean over pairs of readers; NaN where no pair can be measured.
        auc: method → area under the ROC of real against it by score; "all fakes" for all together.
    """

    readings: Readings
    means: dict[str, Estimate]
    by_reader: dict[str, dict[str, float]]
    tests: list[Contrast]
    kappa: float
    auc: dict[str, Estimate]


def analyse(readings: Readings) -> Analysis:
    """Compute means, tests, agreement, and how well readers tell real from fake.

    Intervals are bootstrapped over images: they hold for these readers. An image's score is the mean of its readers.
    """
    rng, mean = np.random.default_rng(0), readings.mean
    of = {name: mean[(readings.methods == name) & np.isfinite(mean)] for name in readings.names}
    empty = [name for name, values in of.items() if not len(values)]
    if empty:
        raise EvaluationError(f"no image of {empty[0]!r} has a score")
    fakes = {name: values for name, values in of.items() if name != REAL}
    groups = {**fakes, "all fakes": np.concatenate(list(fakes.values()))} if len(fakes) > 1 else fakes
    return Analysis(
        readings,
        {name: _bootstrap(lambda values: float(values.mean()), [values], rng) for name, values in of.items()},
        {
            reader: {name: _mean(scores[readings.methods == name]) for name in readings.names}
            for reader, scores in readings.scores.items()
        },
        _tests(readings, mean),
        mean_kappa(list(readings.scores.values())),
        {name: _bootstrap(_auc, [of[REAL], values], rng) for name, values in groups.items()},
    )


def weighted_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Compute Cohen's kappa with quadratic weights (Cohen 1968) of two readers' scores 1 … 5.

    1 for the same scores, 0 for agreement by chance; NaN when both give one score throughout. Images that either has
    not scored do not count.
    """
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    # expected disagreement of independent readers: mean of (x − y)² over all pairs
    expected = a.var() + b.var() + (a.mean() - b.mean()) ** 2 if len(a) else 0.0
    return float(1 - ((a - b) ** 2).mean() / expected) if expected > 0 else float("nan")


def mean_kappa(scores: Sequence[np.ndarray]) -> float:
    """Average the weighted kappa over all pairs of readers for whom it can be measured; NaN where there is none."""
    return _mean(np.array([weighted_kappa(a, b) for a, b in combinations(scores, 2)]))


def _mean(values: np.ndarray) -> float:
    """Return the mean of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def roc_points(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (share of fakes, share of reals) scored at least s, for falling s: the ROC of "is real" by score."""
    cuts = np.concatenate([[np.inf], np.unique(np.concatenate([real, fake]))[::-1]])
    return np.array([(fake >= cut).mean() for cut in cuts]), np.array([(real >= cut).mean() for cut in cuts])


def _auc(real: np.ndarray, fake: np.ndarray) -> float:
    return area_under_roc(np.concatenate([real, fake]), np.arange(len(real) + len(fake)) < len(real))


def _bootstrap(statistic: Callable[..., float], groups: list[np.ndarray], rng: np.random.Generator) -> Estimate:
    drawn = [statistic(*(rng.choice(group, len(group)) for group in groups)) for _ in range(REPLICATES)]
    return Estimate(statistic(*groups), *percentile_interval(drawn), sum(map(len, groups)))


def _tests(readings: Readings, mean: np.ndarray) -> list[Contrast]:
    found = []
    for first, second in combinations(readings.names, 2):
        pairs = _paired(readings, mean, first, second)
        if pairs is not None:
            a, b = pairs
            p = 1.0 if (a == b).all() else float(stats.wilcoxon(a, b).pvalue)
        else:
            a, b = (mean[(readings.methods == name) & np.isfinite(mean)] for name in (first, second))
            p = float(stats.mannwhitneyu(a, b).pvalue)
        found.append(Contrast(first, second, float(a.mean() - b.mean()), p, pairs is not None))
    return _holm(found)


def _paired(readings: Readings, mean: np.ndarray, first: str, second: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Pair the scores of two methods for the masks that both filled; None when there are fewer than five."""
    by_mask = []
    for name in (first, second):
        rows = np.flatnonzero((readings.methods == name) & (readings.masks >= 0) & np.isfinite(mean))
        by_mask.append({int(readings.masks[row]): mean[row] for row in rows})
    shared = sorted(by_mask[0].keys() & by_mask[1].keys())
    if len(shared) < 5:
        return None
    a, b = (np.array([one[mask] for mask in shared]) for one in by_mask)
    return a, b


def _holm(tests: list[Contrast]) -> list[Contrast]:
    """Apply Holm's correction for many tests (1979): the k-th smallest p times the number not yet passed."""
    order, largest, corrected = np.argsort([t.p for t in tests]), 0.0, {}
    for passed, number in enumerate(order.tolist()):
        largest = max(largest, min(1.0, tests[number].p * (len(tests) - passed)))
        corrected[number] = largest
    return [Contrast(t.first, t.second, t.difference, corrected[n], t.paired) for n, t in enumerate(tests)]


def table(analysis: Analysis) -> str:
    """Format the results as text."""
    readers = list(analysis.by_reader)
    lines = [f"{'method':<20}{'mean score':>12}  {'95 % interval':<16}" + "".join(f"{r[:12]:>14}" for r in readers)]
    for name, estimate in analysis.means.items():
        interval = f"[{estimate.low:.2f}, {estimate.high:.2f}]"
        of_readers = [analysis.by_reader[reader][name] for reader in readers]
        each = "".join(f"{'-' if np.isnan(score) else f'{score:.2f}':>14}" for score in of_readers)
        lines.append(f"{name:<20}{estimate.value:>12.2f}  {interval:<16}{each}")
    lines += ["", f"{'pair':<40}{'difference':>12}{'p (Holm)':>12}  test"]
    for test in analysis.tests:
        kind = "Wilcoxon signed-rank" if test.paired else "Mann-Whitney"
        lines.append(f"{f'{test.first} - {test.second}':<40}{test.difference:>+12.2f}{test.p:>12.2g}  {kind}")
    lines += ["", f"{'real against':<20}{'AUC':>12}  95 % interval"]
    for name, auc in analysis.auc.items():
        lines.append(f"{name:<20}{auc.value:>12.3f}  [{auc.low:.3f}, {auc.high:.3f}]")
    agreement = "cannot be measured" if np.isnan(analysis.kappa) else f"{analysis.kappa:.3f}"
    agreement = "one reader" if len(readers) == 1 else agreement
    lines += ["", f"agreement of {counted(len(readers), 'reader')} (quadratically weighted kappa): {agreement}"]
    return "\n".join(lines)


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Return the results as `results.write_files` takes them."""
    return {
        "mean score": {name: asdict(estimate) for name, estimate in analysis.means.items()},
        "by reader": analysis.by_reader,
        "tests": [asdict(test) for test in analysis.tests],
        "weighted kappa": analysis.kappa,
        "auc of real against": {name: asdict(estimate) for name, estimate in analysis.auc.items()},
        "scores": {str(score): word for score, word in SCORES.items()},
    }


def plot(analysis: Analysis) -> "Figure":
    """Plot mean scores, their distributions, and the ROC of real against each method."""
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    names, readings = list(analysis.means), analysis.readings
    sheet = Figure(figsize=(13, 4.2), layout="constrained")
    means, shares, roc = sheet.subplots(1, 3)
    values = [analysis.means[name] for name in names]
    errors = np.array([[e.value - e.low, e.high - e.value] for e in values]).T
    means.bar(names, [e.value for e in values], yerr=errors, capsize=4, color=[f"C{n}" for n in range(len(names))])
    for by_method in analysis.by_reader.values():
        means.plot(names, [by_method[name] for name in names], "o", color="0.25", markersize=4)
    means.set_ylim(1, 5)
    means.tick_params(axis="x", rotation=15)
    means.set_title("mean score (dots: readers)", fontsize=10)
    left = np.zeros(len(names))
    for score in sorted(SCORES):
        all_scores = [np.concatenate([s[readings.methods == name] for s in readings.scores.values()]) for name in names]
        share = np.array([np.mean(given[np.isfinite(given)] == score) for given in all_scores])
        shares.barh(names, share, left=left, label=str(score), color=f"{0.1 + 0.19 * (score - 1):.2f}", edgecolor="0.5")
        left += share
    shares.invert_yaxis()
    shares.set_xlim(0, 1)
    shares.set_title("share of scores 1 (black) to 5 (white)", fontsize=10)
    mean = readings.mean
    for number, name in enumerate(names):
        if name != REAL:
            groups = (mean[(readings.methods == group) & np.isfinite(mean)] for group in (REAL, name))
            roc.plot(*roc_points(*groups), color=f"C{number}", label=f"{name}, AUC {analysis.auc[name].value:.2f}")
    roc.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    roc.set_aspect("equal")
    roc.set_xlabel("fakes taken for real")
    roc.set_ylabel("real taken for real")
    roc.legend(fontsize=8, loc="lower right")
    roc.set_title("real against fake", fontsize=10)
    return sheet
