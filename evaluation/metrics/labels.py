"""Labels of synthetic masses: are they right, and can one learn from them?

A classifier that saw only real masses reads the labels of synthetic ones, and one that saw only synthetic masses those
of real ones (train on synthetic, test on real; Esteban et al. 2017).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate, bootstrap_mean
from evaluation.mass_classifier import HEADS, MassClassifier, Masses, train_classifier
from evaluation.metrics.metric import HIGH, Metric, Row, Sets
from evaluation.roc import area_under_roc
from preprocessing.counted import there_are

AT_MOST = 10_000  # synthetic masses; they are held in memory


@dataclass(frozen=True)
class Score:
    """How well one head's labels are predicted.

    Attributes:
        accuracy: share of masses with the right class, with its interval.
        chance: accuracy of always predicting the most frequent class.
        auc: one class against the others, averaged over the classes; 0.5 is chance. NaN when only one class occurs.
    """

    head: str
    accuracy: Estimate
    chance: float
    auc: float


def score(probabilities: dict[str, np.ndarray], masses: Masses, seed: int = 0) -> list[Score]:
    """Score predictions of both heads; masses with unknown labels do not count. Intervals are of patients.

    Raises:
        EvaluationError: fewer than two masses have a label.
    """
    result = []
    for head in HEADS:
        known = masses.labels[head] >= 0
        truth, predicted = masses.labels[head][known], probabilities[head][known]
        if len(truth) < 2:
            raise EvaluationError(f"scoring {head} needs at least 2 labelled masses, {there_are(len(truth))}")
        right = (predicted.argmax(axis=1) == truth).astype(float)
        areas = [area_under_roc(predicted[:, k], truth == k) for k in np.unique(truth)]
        chance = float(np.bincount(truth).max() / len(truth))
        accuracy = bootstrap_mean(right, np.random.default_rng(seed), masses.subjects[known])
        result.append(Score(head, accuracy, chance, float(np.mean(areas)) if len(areas) > 1 else float("nan")))
    return result


class LabelJudge:
    """Judges labels of synthetic masses by a classifier that saw only real ones.

    Args:
        training, held_out: real masses of different patients.

    Raises:
        EvaluationError: too few real masses to train or to test a classifier.
    """

    def __init__(self, training: Masses, held_out: Masses, seed: int = 0):
        self.held_out, self.seed = held_out, seed
        self.classifier: MassClassifier = train_classifier(training, seed=seed)
        self.of_held_out = self._scores(self.classifier, held_out)

    def read(self, synthetic: Masses) -> list[Score]:
        """Score the labels of synthetic masses, as the classifier of real masses reads them.

        Raises:
            EvaluationError: other classes, or too few masses.
        """
        self._check(synthetic)
        return self._scores(self.classifier, synthetic)

    def learned(self, synthetic: Masses) -> list[Score]:
        """Score the labels of the held-out real masses, as a classifier of the synthetic masses reads them.

        Raises:
            EvaluationError: other classes, or too few masses.
        """
        self._check(synthetic)
        return self._scores(train_classifier(synthetic, seed=self.seed), self.held_out)

    def _check(self, synthetic: Masses) -> None:
        if synthetic.classes != self.held_out.classes:
            raise EvaluationError(f"synthetic masses have the classes {synthetic.classes}, not {self.held_out.classes}")

    def _scores(self, classifier: MassClassifier, masses: Masses) -> list[Score]:
        return score(classifier.predict(masses.images), masses, self.seed)


# ------------------------------------------------------------------------------------ the metrics


def _compare(scores_of: Callable[[LabelJudge, Masses], list[Score]]) -> Callable[[Metric, Sets], list[Row]]:
    """Make a row per head; "real" is the classifier of real masses on the held-out ones, for either metric."""

    def compare(metric: Metric, sets: Sets) -> list[Row]:
        of_split = partial(Masses.of_dataset, sets.real.require_dataset())
        judge = sets.common("label judge", lambda: LabelJudge(of_split("train"), of_split("validation"), sets.seed))
        items = sets.fake.items
        if len(items) > AT_MOST:
            items = np.sort(np.random.default_rng(0).permutation(items)[:AT_MOST])
        synthetic = Masses.of_dataset(sets.fake.require_dataset(), items=items)
        rows = []
        for real, one in zip(judge.of_held_out, scores_of(judge, synthetic), strict=True):
            chance = {"generated": one.chance, "real": real.chance}
            rows.append(metric.row(one.accuracy, real.accuracy, one.head, chance=chance))
        return rows

    return compare


def _unsuitable(real: Samples, fake: Samples) -> str:
    for samples in (real, fake):
        kind = samples.dataset.kind if samples.dataset else "unlabelled"
        if kind != "mass":
            return f"{samples.name}: holds {kind} data, but mass data is needed to judge labels"
    return ""


LABELS_READ = Metric(
    "labels_read_cnn",
    "labels read by a classifier of real masses",
    HIGH,
    _compare(LabelJudge.read),
    unsuitable=_unsuitable,
)
LABELS_LEARNED = Metric(
    "labels_learned_cnn",
    "labels of real masses, learned from these",
    HIGH,
    _compare(LabelJudge.learned),
    unsuitable=_unsuitable,
)
