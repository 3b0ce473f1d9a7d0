"""What synthetic masses add to a classifier.

Classifiers are trained on few or many real masses, with and without synthetic ones that a generator trained on the same
real masses has made, and all are tested on real masses of other patients.
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from evaluation.image_set import EvaluationError
from evaluation.mass_classifier import HEADS, Masses, hold_back, train_classifier
from evaluation.metrics.labels import score
from preprocessing.atomic import whole_file
from preprocessing.counted import counted, there_are

# Real masses to learn from, how many to make, a seed → synthetic masses with labels.
Synthesise = Callable[[Masses, int, int], Masses]

REAL, CLASSICAL, SYNTHETIC, ALL = "real only", "real + classical", "real + synthetic", "real + classical + synthetic"
ARMS = (REAL, CLASSICAL, SYNTHETIC, ALL)


@dataclass(frozen=True)
class Trial:
    """One classifier: what it was trained on, and its scores on held-out real masses."""

    arm: str
    size: int
    seed: int
    head: str
    accuracy: float
    auc: float
    chance: float


def nested_subset(masses: Masses, size: int, seed: int) -> np.ndarray:
    """Choose about `size` masses of whole patients; for one seed, a smaller set lies in a larger.

    Returns:
        Indices, int (n,).

    Raises:
        EvaluationError: there are fewer.
    """
    if size > len(masses):
        raise EvaluationError(f"a training set of {counted(size, 'real mass')} was asked for, {there_are(len(masses))}")
    order = np.random.default_rng(seed).permutation(np.unique(masses.subjects))
    place = {subject: number for number, subject in enumerate(order)}
    places = np.array([place[subject] for subject in masses.subjects])
    last = np.sort(places)[size - 1]
    return np.flatnonzero(places <= last)


def joined(one: Masses, other: Masses) -> Masses:
    """Join masses with others.

    Raises:
        EvaluationError: their classes or sizes differ.
    """
    if one.classes != other.classes or one.images.shape[1:] != other.images.shape[1:]:
        raise EvaluationError(
            f"masses of classes {other.classes} and size {other.images.shape[1:]} cannot be combined with those of "
            f"{one.classes} and {one.images.shape[1:]}"
        )
    labels = {head: np.concatenate([one.labels[head], other.labels[head]]) for head in HEADS}
    pictures, people = ([getattr(m, name) for m in (one, other)] for name in ("images", "subjects"))
    return Masses(np.concatenate(pictures), labels, one.classes, np.concatenate(people))


def study(
    real: Masses,
    held_out: Masses,
    synthesise: Synthesise | None = None,
    *,
    sizes: Sequence[int] = (100, 300, 800),
    seeds: Sequence[int] = (0, 1, 2),
    synthetic_per_real: float = 2.0,
    arms: Sequence[str] = ARMS,
    echo: Callable[[str], None] = lambda line: None,
) -> list[Trial]:
    """Train classifiers with and without help and test them on the held-out real masses.

    Args:
        real, held_out: masses of different patients.
        synthesise: called once per size and seed with the real masses that a classifier is fitted to (the patients held
            back to stop it early are not among them, so that no synthetic mass can derive from those), how many
            masses to make, and the seed. None leaves the arms with synthetic masses out.
        sizes: real masses, whole patients, those held back included.
        synthetic_per_real: synthetic masses made for each real one.

    Returns:
        Two trials (shape, margin) per arm, size and seed.

    Raises:
        EvaluationError: a patient on both sides, or fewer real masses than a size asks for.
    """
    shared = set(real.subjects) & set(held_out.subjects)
    if shared:
        raise EvaluationError(f"{counted(len(shared), 'patient')} both in training and held out; split by patient")
    trials = []
    for size in sizes:
        for seed in seeds:
            subset = real.subset(nested_subset(real, size, seed))
            fitted, back = (subset.subset(part) for part in hold_back(subset, seed))
            wanted = [arm for arm in arms if synthesise or arm not in (SYNTHETIC, ALL)]
            made = None
            if synthesise and {SYNTHETIC, ALL} & set(wanted):
                made = synthesise(fitted, round(synthetic_per_real * len(fitted)), seed)
            for arm in wanted:
                masses = joined(fitted, made) if made is not None and arm in (SYNTHETIC, ALL) else fitted
                trained = train_classifier(masses, back, augment=arm in (CLASSICAL, ALL), seed=seed)
                for one in score(trained.predict(held_out.images), held_out):
                    trials.append(Trial(arm, size, seed, one.head, one.accuracy.value, one.auc, one.chance))
                said = ", ".join(f"{t.head} accuracy {t.accuracy:.3f} AUC {t.auc:.3f}" for t in trials[-2:])
                echo(f"{arm}, {size} real, seed {seed}: {said}")
    return trials


def gain(trials: Sequence[Trial], arm: str, size: int, head: str) -> tuple[float, float, float]:
    """Compute what an arm adds to the AUC of "real only": mean paired difference over seeds, with its 95 % t-interval.

    With three seeds the interval is wide, as it should be; with one there is none (NaN).
    """

    def values(name: str) -> dict[int, float]:
        chosen = (t for t in trials if (t.arm, t.size, t.head) == (name, size, head))
        return {t.seed: t.auc for t in chosen}

    base, with_arm = values(REAL), values(arm)
    differences = np.array([with_arm[seed] - base[seed] for seed in base if seed in with_arm])
    if len(differences) < 2:
        return (float(differences.mean()) if len(differences) else float("nan")), float("nan"), float("nan")
    reach = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean()), float(differences.mean() - reach), float(differences.mean() + reach)


def table(trials: Sequence[Trial]) -> str:
    """Format a table, one line per head, size and arm: mean over seeds, and the gain over real only with interval."""
    title = f"{'head':<8}{'real':>6}  {'arm':<30}{'accuracy':>10}{'chance':>8}{'AUC':>8}  gain in AUC over real only"
    lines = [title]
    for head in HEADS:
        for size in sorted({t.size for t in trials}):
            for arm in dict.fromkeys(t.arm for t in trials):
                chosen = [t for t in trials if (t.arm, t.size, t.head) == (arm, size, head)]
                accuracy, chance, auc = np.mean([(t.accuracy, t.chance, t.auc) for t in chosen], axis=0)
                line = f"{head:<8}{size:>6}  {arm:<30}{accuracy:>10.3f}{chance:>8.3f}{auc:>8.3f}"
                if arm != REAL:
                    line += "  {:+.3f} [{:+.3f}, {:+.3f}]".format(*gain(trials, arm, size, head))
                lines.append(line)
    return "\n".join(lines)


def write_csv(trials: Sequence[Trial], path: str | os.PathLike) -> None:
    """Write every trial as a row."""
    with whole_file(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "real_masses", "seed", "head", "accuracy", "auc", "chance"])
        writer.writerows([t.arm, t.size, t.seed, t.head, t.accuracy, t.auc, t.chance] for t in trials)


def plot(trials: Sequence[Trial], path: str | os.PathLike) -> Path:
    """Plot AUC and accuracy against the number of real masses: mean of the seeds, and each seed as a dot."""
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    sheet = Figure(figsize=(9, 6.4), layout="constrained")
    axes = sheet.subplots(2, 2, sharex=True, squeeze=False)
    arms = list(dict.fromkeys(t.arm for t in trials))
    for row, measure in zip(axes, ("auc", "accuracy")):
        for axis, head in zip(row, HEADS):
            for number, arm in enumerate(arms):
                chosen = [t for t in trials if (t.arm, t.head) == (arm, head)]
                sizes = sorted({t.size for t in chosen})
                means = [np.mean([getattr(t, measure) for t in chosen if t.size == size]) for size in sizes]
                axis.plot(sizes, means, color=f"C{number}", marker="o", label=arm)
                dots = [t.size * (1 + 0.02 * number) for t in chosen], [getattr(t, measure) for t in chosen]
                axis.plot(*dots, ".", color=f"C{number}", alpha=0.4)
            level = 0.5 if measure == "auc" else np.mean([t.chance for t in trials if t.head == head])
            axis.axhline(level, color="0.6", linestyle="--", label="chance")
            axis.set_xscale("log")
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.set_title(f"{head}: {'AUC' if measure == 'auc' else measure}", fontsize=10)
    for axis in axes[1]:
        axis.set_xlabel("real masses to train on")
    sheet.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(arms) + 1, fontsize=8)
    with whole_file(path) as partial:
        sheet.savefig(partial, dpi=120)
    return Path(path)
