"""The reader study of Ren et al. 2019, §6.5: which images do readers take for real?

`build` writes two files: a page that shows the images one at a time, blinded, and needs nothing but a browser; and the
answer key, to be kept from the readers. The page holds the pixels of all images as **one** compressed stream of 8-bit
greys of one size, in an order drawn by the system's random numbers, so that no file name, position, length, bit depth
or metadata can give an image away. Each reader sees them in an order of their own.

The key is sealed: the study's name in the page, and in every CSV file, is the hash of the key. A key that was changed
later, or that of another study, does not fit.
"""

import base64
import csv
import gzip
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats

from evaluation.image_set import EvaluationError
from evaluation.intervals import CONFIDENCE, Estimate
from evaluation.roc import area_under_roc
from preprocessing.shards.pseudonyms import write_private

REAL = "real"
SCORES = (1, 2, 3, 4, 5)  # definitely fake, probably fake, undecided, probably real, definitely realistic
FORMAT = 1
COLUMNS = ("study", "reader", "image", "score")
REPLICATES = 2000

# ------------------------------------------------------------------------------------------- build


def build(
    images: Mapping[str, np.ndarray],
    page: str | os.PathLike,
    key: str | os.PathLike,
    *,
    masks: Mapping[str, Sequence[int]] | None = None,
    title: str = "Reader study",
) -> str:
    """Write the page and the sealed key of a study.

    Args:
        images: method → float (n, height, width) in [0, 1]; "real" must be one of them.
        page: the HTML file. key: the JSON file, readable by its owner only; must not lie beside the page.
        masks: method → number of the mask that each image fills; images of one mask are compared in pairs.
        title: shown to the readers; must not tell what is what.

    Returns:
        The study's name.

    Raises:
        EvaluationError: fewer than two methods, no "real", different sizes, no images, or NaN; the key in the page's
            folder, or there already; a file that cannot be written.
    """
    page, key = Path(page), Path(key)
    if key.resolve().parent == page.resolve().parent:
        raise EvaluationError(f"--key {key}: lies beside the page, whose folder readers get; choose another folder")
    if key.exists():
        raise EvaluationError(f"--key {key}: is there already, and scores may need it; choose another file")
    height, width = _check_images(images)
    entries = [(method, row) for method, stack in images.items() for row in range(len(stack))]
    secrets.SystemRandom().shuffle(entries)
    answers = [
        {"image": number, "method": method, "mask": int(masks[method][row]) if masks and method in masks else None}
        for number, (method, row) in enumerate(entries, 1)
    ]
    sealed = {"format": FORMAT, "salt": secrets.token_hex(16), "answers": answers}
    stream = b"".join(_grey_bytes(images[method][row]) for method, row in entries)
    packed = base64.b64encode(gzip.compress(stream, 9, mtime=0)).decode()
    study = {"id": seal(sealed), "title": title, "count": len(entries), "height": height, "width": width}
    template = resources.files("evaluation.reader_study").joinpath("reader_page.html").read_text(encoding="utf-8")
    described = json.dumps(study).replace("<", "\\u003c")
    text = template.replace("{{STUDY}}", described).replace("{{PIXELS}}", packed)
    _write(page, text, lambda path, content: path.write_text(content, encoding="utf-8"))
    _write(key, json.dumps(sealed, indent=1) + "\n", write_private)
    return study["id"]


def _write(path: Path, text: str, write: Callable[[Path, str], object]) -> None:
    """Write a whole file or none."""
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial, text)
        os.replace(partial, path)
    except OSError as error:
        if partial.is_file():
            partial.unlink()
        raise EvaluationError(f"{path}: cannot be written ({error.strerror})") from error


def _check_images(images: Mapping[str, np.ndarray]) -> tuple[int, int]:
    if REAL not in images or len(images) < 2:
        raise EvaluationError(f"a study needs {REAL!r} images and those of at least one method, has {list(images)}")
    sizes = {method: np.shape(stack)[1:] for method, stack in images.items()}
    for method, stack in images.items():
        if np.ndim(stack) != 3 or not len(stack):
            raise EvaluationError(f"{method}: holds no images")
        if sizes[method] != sizes[REAL]:
            raise EvaluationError(
                f"{method} has images of {sizes[method][0]}x{sizes[method][1]}, {REAL} of "
                f"{sizes[REAL][0]}x{sizes[REAL][1]}; sizes would give the answer away"
            )
        if not np.isfinite(stack).all():
            raise EvaluationError(f"{method}: an image holds NaN or infinity")
    return sizes[REAL]


def _grey_bytes(image: np.ndarray) -> bytes:
    """Every image in the same 8 bits, whatever its file had: gaps between greys would tell films from networks."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8).tobytes()


def seal(key: Mapping) -> str:
    """Name of a study: hash of its key, salt included, so that the name tells nothing of the answers."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


# ----------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Readings:
    """The scores of all readers: `scores[reader]` has one for each image of the key, NaN where none was given."""

    methods: np.ndarray  # str (images,)
    masks: np.ndarray  # int (images,), −1 for none
    scores: dict[str, np.ndarray]

    @property
    def names(self) -> list[str]:
        """The methods, real first."""
        return sorted(set(self.methods.tolist()), key=lambda name: (name != REAL, name))

    @property
    def mean(self) -> np.ndarray:
        """Mean of the readers, an image each; NaN where nobody gave a score."""
        table = np.array(list(self.scores.values()))
        given = np.isfinite(table)
        return np.where(given.any(0), np.where(given, table, 0).sum(0) / np.maximum(given.sum(0), 1), np.nan)


def read_key(path: str | os.PathLike) -> dict:
    """The answer key. Raises EvaluationError for a file that is none."""
    try:
        key = json.loads(Path(path).read_text(encoding="utf-8"))
        if key["format"] != FORMAT or not all({"image", "method", "mask"} <= set(a) for a in key["answers"]):
            raise ValueError
    except OSError as error:
        raise EvaluationError(f"--key {path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"--key {path}: is not the answer key of a reader study") from error
    return key


def read_scores(files: Sequence[str | os.PathLike], key: Mapping, *, incomplete: bool = False) -> Readings:
    """The CSV files of the readers, checked against the key.

    Args:
        incomplete: accept readers who have not scored every image.

    Raises:
        EvaluationError: no file; a column or a score missing, a score that is not 1 … 5, an image that the study has
            not or that was scored twice, a file of another study, or two files of one reader.
    """
    if not files:
        raise EvaluationError("give at least one CSV file of a reader")
    answers = sorted(key["answers"], key=lambda answer: answer["image"])
    scores: dict[str, np.ndarray] = {}
    for file in files:
        reader, found = _read_reader(Path(file), seal(key), len(answers))
        if reader in scores:
            raise EvaluationError(f"{file}: reader {reader!r} is in another file already; give one file a reader")
        missing = np.flatnonzero(np.isnan(found)) + 1
        if len(missing) and not incomplete:
            some = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
            raise EvaluationError(
                f"{file}: {len(missing)} of {len(answers)} images have no score (image {some}); "
                "finish the study in the page and save again, or give --incomplete"
            )
        scores[reader] = found
    masks = [-1 if answer["mask"] is None else answer["mask"] for answer in answers]
    return Readings(np.array([answer["method"] for answer in answers]), np.array(masks), scores)


def _read_reader(file: Path, study: str, count: int) -> tuple[str, np.ndarray]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            table = csv.DictReader(opened)
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file}: cannot be read as a CSV file ({error})") from error
    lacking = [column for column in COLUMNS if column not in (table.fieldnames or ())]
    if lacking:
        raise EvaluationError(f"{file}: has no column {lacking[0]!r}; give a file saved by the study's page")
    if not rows:
        raise EvaluationError(f"{file}: holds no scores")
    found, readers = np.full(count, np.nan), {row["reader"] for row in rows}
    if len(readers) != 1:
        raise EvaluationError(f"{file}: holds scores of {len(readers)} readers; give one file a reader")
    for line, row in enumerate(rows, 2):
        if row["study"] != study:
            raise EvaluationError(f"{file} line {line}: belongs to study {row['study']}, the key to {study}")
        image = _whole(row["image"])
        if image is None or not 1 <= image <= count:
            raise EvaluationError(f"{file} line {line}: image {row['image']!r} is not one of 1 to {count}")
        if not (row["score"] or "").strip():
            continue  # counted as missing, with the others
        value = _whole(row["score"])
        if value not in SCORES:
            raise EvaluationError(f"{file} line {line}: score {row['score']!r} is not one of 1 to 5")
        if np.isfinite(found[image - 1]):
            raise EvaluationError(f"{file} line {line}: image {image} is scored twice")
        found[image - 1] = value
    return readers.pop(), found


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------- analysis


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

    means: method → mean score with interval. by_reader: reader → method → mean score.
    tests: every pair of methods. kappa: quadratically weighted, mean over pairs of readers; NaN with one reader.
    auc: method → area under the ROC of real against it by score; "all fakes" for all together.
    """

    readings: Readings
    means: dict[str, Estimate]
    by_reader: dict[str, dict[str, float]]
    tests: list[Contrast]
    kappa: float
    auc: dict[str, Estimate]


def analyse(readings: Readings, seed: int = 0) -> Analysis:
    """Means, tests, agreement, and how well readers tell real from fake.

    Intervals are bootstrapped over images: they hold for these readers. An image's score is the mean of its readers.
    """
    rng, mean = np.random.default_rng(seed), readings.mean
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
            reader: {name: float(np.nanmean(scores[readings.methods == name])) for name in readings.names}
            for reader, scores in readings.scores.items()
        },
        _tests(readings, mean),
        mean_kappa(list(readings.scores.values())),
        {name: _bootstrap(_auc, [of[REAL], values], rng) for name, values in groups.items()},
    )


def weighted_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968) of two readers' scores 1 … 5.

    1 for the same scores, 0 for agreement by chance; NaN when both give one score throughout. Images that either has
    not scored do not count.
    """
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    # expected disagreement of independent readers: mean of (x − y)² over all pairs
    expected = a.var() + b.var() + (a.mean() - b.mean()) ** 2 if len(a) else 0.0
    return float(1 - ((a - b) ** 2).mean() / expected) if expected > 0 else float("nan")


def mean_kappa(scores: Sequence[np.ndarray]) -> float:
    """Mean weighted kappa over all pairs of readers; NaN with fewer than two."""
    values = [weighted_kappa(a, b) for a, b in combinations(scores, 2)]
    return float(np.mean(values)) if values else float("nan")


def roc_points(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(share of fakes, share of reals) scored at least s, for falling s: the ROC of "is real" by score."""
    cuts = np.concatenate([[np.inf], np.unique(np.concatenate([real, fake]))[::-1]])
    return np.array([(fake >= cut).mean() for cut in cuts]), np.array([(real >= cut).mean() for cut in cuts])


def _auc(real: np.ndarray, fake: np.ndarray) -> float:
    return area_under_roc(np.concatenate([real, fake]), np.arange(len(real) + len(fake)) < len(real))


def _bootstrap(statistic, groups: list[np.ndarray], rng: np.random.Generator) -> Estimate:
    drawn = [statistic(*(rng.choice(group, len(group)) for group in groups)) for _ in range(REPLICATES)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(statistic(*groups), float(low), float(high), sum(map(len, groups)))


def _tests(readings: Readings, mean: np.ndarray) -> list[Contrast]:
    found = []
    for first, second in combinations(readings.names, 2):
        pairs = _paired(readings, mean, first, second)
        paired = pairs is not None
        if paired:
            a, b = pairs
            p = 1.0 if (a == b).all() else float(stats.wilcoxon(a, b).pvalue)
        else:
            a, b = (mean[(readings.methods == name) & np.isfinite(mean)] for name in (first, second))
            p = float(stats.mannwhitneyu(a, b).pvalue)
        found.append(Contrast(first, second, float(a.mean() - b.mean()), p, paired))
    return _holm(found)


def _paired(readings: Readings, mean: np.ndarray, first: str, second: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of two methods for the masks that both filled; None when there are fewer than five."""
    by_mask = []
    for name in (first, second):
        rows = np.flatnonzero((readings.methods == name) & (readings.masks >= 0) & np.isfinite(mean))
        by_mask.append({int(readings.masks[row]): mean[row] for row in rows})
    shared = sorted(by_mask[0].keys() & by_mask[1].keys())
    return tuple(np.array([one[mask] for mask in shared]) for one in by_mask) if len(shared) >= 5 else None


def _holm(tests: list[Contrast]) -> list[Contrast]:
    """Holm's correction for many tests (1979): the k-th smallest p times the number not yet passed."""
    order, largest, corrected = np.argsort([t.p for t in tests]), 0.0, {}
    for passed, number in enumerate(order.tolist()):
        largest = max(largest, min(1.0, tests[number].p * (len(tests) - passed)))
        corrected[number] = largest
    return [Contrast(t.first, t.second, t.difference, corrected[n], t.paired) for n, t in enumerate(tests)]


# ----------------------------------------------------------------------------------------- results


def table(analysis: Analysis) -> str:
    """The results as text."""
    readers = list(analysis.by_reader)
    lines = [f"{'method':<20}{'mean score':>12}  {'95 % interval':<16}" + "".join(f"{r[:12]:>14}" for r in readers)]
    for name, estimate in analysis.means.items():
        interval = f"[{estimate.low:.2f}, {estimate.high:.2f}]"
        each = "".join(f"{analysis.by_reader[r][name]:>14.2f}" for r in readers)
        lines.append(f"{name:<20}{estimate.value:>12.2f}  {interval:<16}{each}")
    lines += ["", f"{'pair':<40}{'difference':>12}{'p (Holm)':>12}  test"]
    for test in analysis.tests:
        kind = "Wilcoxon signed-rank" if test.paired else "Mann-Whitney"
        lines.append(f"{f'{test.first} - {test.second}':<40}{test.difference:>+12.2f}{test.p:>12.2g}  {kind}")
    lines += ["", f"{'real against':<20}{'AUC':>12}  95 % interval"]
    for name, auc in analysis.auc.items():
        lines.append(f"{name:<20}{auc.value:>12.3f}  [{auc.low:.3f}, {auc.high:.3f}]")
    agreement = "one reader" if np.isnan(analysis.kappa) else f"{analysis.kappa:.3f}"
    lines += ["", f"agreement of {len(readers)} readers (quadratically weighted kappa): {agreement}"]
    return "\n".join(lines)


def write_results(analysis: Analysis, folder: str | os.PathLike) -> None:
    """Write `table.txt`, `results.json` and `plot.png`. Raises EvaluationError when the folder cannot be written."""
    folder = Path(folder)
    results = {
        "mean score": {name: asdict(estimate) for name, estimate in analysis.means.items()},
        "by reader": analysis.by_reader,
        "tests": [asdict(test) for test in analysis.tests],
        "weighted kappa": None if np.isnan(analysis.kappa) else analysis.kappa,
        "auc of real against": {name: asdict(estimate) for name, estimate in analysis.auc.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.txt").write_text(table(analysis) + "\n", encoding="utf-8")
        (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"--output {folder}: cannot be written ({error.strerror})") from error
    plot(analysis, folder / "plot.png")


def plot(analysis: Analysis, path: str | os.PathLike) -> Path:
    """Mean scores, their distributions, and the ROC of real against each method."""
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
    for score in SCORES:
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
    try:
        sheet.savefig(Path(path), dpi=120)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be written ({error})") from error
    return Path(path)
