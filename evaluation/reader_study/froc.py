"""Analysis of a reader study with lesions: how well they are found, and how well inserted ones are told from genuine.

The FROC curve is the share of lesions that are marked, over the false marks per image, for all scores from some score
on. The area is the figure of merit of JAFROC (Chakraborty and Berbaum 2004): the probability that a lesion is scored
higher than the highest false mark of an image without lesions; a lesion or image without a mark is scored lowest, ties
count half. Every measure is computed for each reader and averaged.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.intervals import Estimate, percentile_interval
from evaluation.reader_study.key import GENUINE, INSERTED, IS_LESION, IS_REAL, KINDS
from evaluation.reader_study.marks import Found, Marks
from preprocessing.counted import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPLICATES = 1000
RATES = (0.125, 0.25, 0.5, 1.0)  # false marks per image
AREA, AUC = "area", "AUC of genuine against inserted"
SCORES = np.arange(6)  # 0 stands for no mark
MEASURES = (AREA, *(f"sensitivity at {rate:g}" for rate in RATES))
DIFFERENCE = f"{GENUINE} - {INSERTED}"


@dataclass(frozen=True)
class Analysis:
    """What the readers' marks say.

    Attributes:
        marks: what was found.
        lesions: "genuine", "inserted" and their difference → measure → estimate; the count is that of lesions.
        told_apart: the AUC of the score "is real" of genuine against inserted lesions that were found.
        by_reader: reader → measure → value.
    """

    marks: Marks
    lesions: dict[str, dict[str, Estimate]]
    told_apart: Estimate
    by_reader: dict[str, dict[str, float]]


def analyse(marks: Marks) -> Analysis:
    """Compute sensitivities, areas and the AUC.

    Intervals are bootstrapped over images, each of a patient of its own, within the three kinds: they hold for these
    readers.
    """
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(marks.kinds == kind) for kind in KINDS]
    every = np.ones(len(marks.kinds))
    values = _averaged(marks, every)
    replicates = []
    for _ in range(REPLICATES):
        some = np.concatenate([rng.choice(group, len(group)) for group in groups])
        replicates.append(_averaged(marks, np.bincount(some, minlength=len(every))))
    low, high = zip(*(percentile_interval(column) for column in zip(*replicates)))
    inserted = next(iter(marks.found.values())).inserted
    counts = {GENUINE: int((~inserted).sum()), INSERTED: int(inserted.sum()), DIFFERENCE: len(inserted)}
    triples = iter(zip(values.tolist(), low, high, strict=True))
    lesions = {kind: {name: Estimate(*next(triples), count) for name in MEASURES} for kind, count in counts.items()}
    found = sum(int((one.lesion > 0).sum()) for one in marks.found.values())
    by_reader = {reader: _of_reader(one, marks.normal) for reader, one in marks.found.items()}
    return Analysis(marks, lesions, Estimate(*next(triples), found), by_reader)


def curve(found: Found, inserted: bool, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (false marks per image, share of lesions marked) with a score of at least 6, 5 … 1: the FROC of a reader.

    Args:
        inserted: of inserted lesions, or of genuine ones.
        weights: how often each image counts (images,).
    """
    weights = weights * found.seen
    of_kind = weights[found.image] * (found.inserted == inserted)
    cuts = np.arange(6, 0, -1)[:, None]
    false = ((found.false_lesion >= cuts) * weights[found.false_image]).sum(1) / weights.sum()
    return false, _over(((found.lesion >= cuts) * of_kind).sum(1), of_kind.sum())


def area(found: Found, inserted: bool, normal: np.ndarray, weights: np.ndarray) -> float:
    """Return the figure of merit of JAFROC; NaN without lesions, or without images that have none."""
    weights = weights * found.seen
    highest = np.zeros(len(weights), int)
    np.maximum.at(highest, found.false_image, found.false_lesion)
    lesions = np.bincount(found.lesion, weights[found.image] * (found.inserted == inserted), len(SCORES))
    return _exceeds(lesions, np.bincount(highest, weights * normal, len(SCORES)))


def told_apart(found: Found, weights: np.ndarray) -> float:
    """Return the AUC of the score "is real": genuine against inserted lesions that were found; NaN without either."""
    of_found = (weights * found.seen)[found.image] * (found.lesion > 0)
    genuine, inserted = (
        np.bincount(found.real, of_found * (found.inserted == kind), len(SCORES)) for kind in (False, True)
    )
    return _exceeds(genuine, inserted)


def _exceeds(first: np.ndarray, second: np.ndarray) -> float:
    """Return the probability that a score of the first histogram exceeds one of the second, ties half."""
    below = np.cumsum(second) - second / 2
    return float(_over(first @ below, first.sum() * second.sum()))


def _over(numerator, denominator):
    return numerator / denominator if denominator > 0 else numerator * np.nan


def _of_kind(found: Found, inserted: bool, normal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `MEASURES` of a reader: the FROC is interpolated linearly and stays constant after its last point."""
    return np.array([area(found, inserted, normal, weights), *np.interp(RATES, *curve(found, inserted, weights))])


def _averaged(marks: Marks, weights: np.ndarray) -> np.ndarray:
    """Return the means over readers: `MEASURES` of genuine lesions, of inserted ones, their difference; the AUC."""
    rows = []
    for found in marks.found.values():
        genuine, inserted = (_of_kind(found, kind, marks.normal, weights) for kind in (False, True))
        rows.append([*genuine, *inserted, *(genuine - inserted), told_apart(found, weights)])
    measured = np.isfinite(rows)
    sums, counts = np.where(measured, rows, 0).sum(0), measured.sum(0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _of_reader(found: Found, normal: np.ndarray) -> dict[str, float]:
    every = np.ones(len(found.seen))
    return {
        "images": int(found.seen.sum()),
        "false marks per image": len(found.false_image) / max(1, int(found.seen.sum())),
        **{f"{AREA}, {kind}": area(found, kind == INSERTED, normal, every) for kind in (GENUINE, INSERTED)},
        AUC: told_apart(found, every),
    }


def table(analysis: Analysis) -> str:
    """Format the results as text."""
    lines = [f"{'lesions':<20}{'count':>6}  " + "  ".join(f"{name:<20}" for name in MEASURES).rstrip()]
    for kind, estimates in analysis.lesions.items():
        sign = "+" if kind == DIFFERENCE else ""
        cells = "".join(f"{_shown(one, sign):<22}" for one in estimates.values())
        lines.append(f"{kind:<20}{estimates[AREA].count:>6}  {cells}".rstrip())
    lines += ["", "sensitivities are at that many false marks per image; in brackets 95 % intervals over patients"]
    one = analysis.told_apart
    lines += ["", f"{AUC}, of {counted(one.count, 'lesion')} found: {_shown(one)}"]
    columns = list(next(iter(analysis.by_reader.values())))
    lines += ["", f"{'reader':<14}" + "".join(f"{column:>{len(column) + 3}}" for column in columns)]
    for reader, values in analysis.by_reader.items():
        lines.append(f"{reader[:12]:<14}" + "".join(f"{value:>{len(name) + 3}.3g}" for name, value in values.items()))
    return "\n".join(lines)


def _shown(one: Estimate, sign: str = "") -> str:
    if np.isnan(one.value):
        return "cannot be measured"
    return f"{one.value:{sign}.2f} [{one.low:{sign}.2f}, {one.high:{sign}.2f}]"


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Return the results as `results.write_files` takes them."""
    return {
        "lesions": {
            kind: {name: asdict(one) for name, one in estimates.items()} for kind, estimates in analysis.lesions.items()
        },
        AUC: asdict(analysis.told_apart),
        "by reader": analysis.by_reader,
        "scores": {"lesion": IS_LESION, "real": IS_REAL},
    }


def plot(analysis: Analysis) -> "Figure":
    """Plot the FROC of genuine and inserted lesions, and how real the lesions that were found seemed."""
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    marks, colours = analysis.marks, {GENUINE: "C0", INSERTED: "C1"}
    every = np.ones(len(marks.kinds))
    sheet = Figure(figsize=(9, 4.2), layout="constrained")
    froc, shares = sheet.subplots(1, 2)
    rates = np.linspace(0, max(RATES), 101)
    for kind, colour in colours.items():
        curves = [curve(found, kind == INSERTED, every) for found in marks.found.values()]
        for false, sensitivity in curves:
            froc.plot(false, sensitivity, ".-", color=colour, alpha=0.35, linewidth=1)
        mean = np.mean([np.interp(rates, *one) for one in curves], axis=0)
        froc.plot(rates, mean, color=colour, linewidth=2, label=f"{kind}, area {_shown(analysis.lesions[kind][AREA])}")
    froc.set_xlim(0, max(RATES))
    froc.set_ylim(0, 1.02)
    froc.set_xlabel("false marks per image")
    froc.set_ylabel("share of lesions marked")
    froc.legend(fontsize=8, loc="lower right")
    froc.set_title("lesions found (thin: each reader)", fontsize=10)
    for number, (kind, colour) in enumerate(colours.items()):
        real = np.concatenate([one.real[one.inserted == (kind == INSERTED)] for one in marks.found.values()])
        share = np.bincount(real[real > 0], minlength=len(SCORES))[1:] / max(1, (real > 0).sum())
        shares.bar(SCORES[1:] + 0.4 * number - 0.2, share, 0.4, color=colour, label=kind)
    shares.set_xticks(SCORES[1:], [IS_REAL[score].replace(" ", "\n") for score in SCORES[1:]], fontsize=8)
    shares.legend(fontsize=8)
    shares.set_title(f"lesions found, by score; AUC {_shown(analysis.told_apart)}", fontsize=10)
    return sheet
