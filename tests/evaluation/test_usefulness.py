"""Scores by hand, and a study whose answer is known."""

import cv2
import numpy as np
import pytest
from drawn import masses

from evaluation import usefulness
from evaluation.image_set import EvaluationError
from evaluation.mass_classifier import Masses
from evaluation.roc import area_under_roc
from evaluation.usefulness import (
    ALL,
    CLASSICAL,
    REAL,
    SYNTHETIC,
    LabelJudge,
    Trial,
    gain,
    nested_subset,
    plot,
    score,
    study,
    table,
    write_csv,
)


class Oracle:
    """Stands for a classifier: sure of the true labels of the masses that it is told of."""

    def __init__(self, *sets: Masses):
        self.known = {
            image.tobytes(): {head: labels[number] for head, labels in masses.labels.items()}
            for masses in sets
            for number, image in enumerate(masses.images)
        }

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        known = [self.known[image.tobytes()] for image in images]
        return {head: np.eye(2)[[labels[head] for labels in known]] for head in ("shape", "margin")}


def test_the_area_under_the_roc_by_hand():
    """Of six pairs four are in order and one is a tie."""
    assert area_under_roc(np.array([0.1, 0.4, 0.4, 0.8, 0.2]), np.array([0, 0, 1, 1, 1])) == pytest.approx(4.5 / 6)
    assert np.isnan(area_under_roc(np.array([0.1, 0.2]), np.array([1, 1])))


def test_scores_by_hand():
    labels = {"shape": np.array([0, 0, 0, 1]), "margin": np.array([0, 1, 1, -1])}
    probabilities = {
        "shape": np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]),
        "margin": np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]]),
    }
    four = Masses(np.zeros((4, 8, 8)), labels, {}, np.array(["a", "b", "c", "d"]))
    shape, margin = score(probabilities, four)
    assert (shape.accuracy.value, shape.chance, shape.auc) == pytest.approx((0.75, 0.75, 2 / 3))
    assert (margin.accuracy.value, margin.accuracy.count, margin.auc) == (1, 3, 1)


def test_labels_that_are_wrong_in_a_quarter_are_found_to_be(monkeypatch):
    truth, held_out = masses(80, 0), masses(40, 9, first_subject=1000)
    monkeypatch.setattr(usefulness, "train_classifier", lambda *a, **k: Oracle(truth, held_out))
    labels = {head: values.copy() for head, values in truth.labels.items()}
    labels["shape"][:20] ^= 1
    rows = LabelJudge(truth, held_out).rows(Masses(truth.images, labels, truth.classes, truth.subjects))
    assert [(row.name, row.generated.value, row.real.value) for row in rows[:2]] == [
        ("labels shape", 0.75, 1),
        ("labels margin", 1, 1),
    ]
    assert "chance 0.50" in rows[0].title


def test_true_labels_can_be_learned_from_and_random_ones_cannot(monkeypatch):
    train = usefulness.train_classifier
    monkeypatch.setattr(usefulness, "train_classifier", lambda *a, **k: train(*a, **k, steps=100))
    judge = LabelJudge(masses(120, 0), masses(80, 9, first_subject=1000))
    true = masses(120, 5, first_subject=5000)
    shuffled = {head: np.random.default_rng(0).permutation(labels) for head, labels in true.labels.items()}
    random = Masses(true.images, shuffled, true.classes, true.subjects)
    learned = [{row.name: row for row in judge.rows(made)}["learned margin"] for made in (true, random)]
    assert learned[0].generated.value > 0.8 > 0.7 > learned[1].generated.value
    assert learned[1].verdict == "differs"


def test_masses_of_other_classes_have_no_labels_to_judge(monkeypatch):
    truth, held_out = masses(24, 0), masses(24, 9, first_subject=1000)
    monkeypatch.setattr(usefulness, "train_classifier", lambda *a, **k: Oracle(truth, held_out))
    other = Masses(truth.images, truth.labels, {**truth.classes, "shape": ["disc", "star"]}, truth.subjects)
    for row in LabelJudge(truth, held_out).rows(other):
        assert row.generated is None and row.real is None and "cannot be read as" in row.problem


def test_subsets_are_of_whole_patients_and_nested():
    real = masses(60, 0)
    small, large = (nested_subset(real, size, seed=1) for size in (20, 40))
    assert (len(small), len(large)) == (20, 40) and set(small) < set(large)
    assert not set(real.subjects[small]) & set(np.delete(real.subjects, small))
    assert set(small) != set(nested_subset(real, 20, seed=2))
    with pytest.raises(EvaluationError, match="of 61 real masses was asked for, there are 60"):
        nested_subset(real, 61, seed=0)


@pytest.fixture()
def quick(monkeypatch):
    train = usefulness.train_classifier
    monkeypatch.setattr(usefulness, "train_classifier", lambda *a, **k: train(*a, **k, steps=40))


def test_a_perfect_generator_helps_where_real_masses_are_few(quick):
    """Forty real masses whose blur hides the margin, and a generator that knows the truth."""
    real, held_out = masses(40, 0), masses(80, 9, first_subject=1000)
    hidden = np.array([cv2.GaussianBlur(image, (0, 0), 4) for image in real.images])
    asked = []

    def perfect(seen: Masses, count: int, seed: int) -> Masses:
        asked.append((len(seen), count, seed))
        return masses(200, 100 + seed, first_subject=5000)

    real = Masses(hidden, real.labels, real.classes, real.subjects)
    trials = study(real, held_out, perfect, sizes=[40], seeds=[0], arms=[REAL, SYNTHETIC])
    assert asked == [(34, 68, 0)]  # three of twenty patients are held back
    accuracy = {t.arm: t.accuracy for t in trials if t.head == "margin"}
    assert accuracy[SYNTHETIC] > accuracy[REAL] + 0.2


def test_without_a_generator_the_synthetic_arms_are_left_out(monkeypatch):
    held_out = masses(8, 9, first_subject=1000)
    monkeypatch.setattr(usefulness, "train_classifier", lambda *a, **k: Oracle(held_out))
    trials = study(masses(24, 0), held_out, sizes=[24], seeds=[0])
    assert {t.arm for t in trials} == {REAL, CLASSICAL}


def test_a_patient_on_both_sides_is_refused():
    with pytest.raises(EvaluationError, match="4 patients are both"):
        study(masses(24, 0), masses(8, 1), sizes=[24])


def trials_of(values: dict[str, list[float]]) -> list[Trial]:
    return [
        Trial(arm, size, seed, head, auc - 0.1, auc, 0.3)
        for arm, aucs in values.items()
        for size in (100, 800)
        for head in ("shape", "margin")
        for seed, auc in enumerate(aucs)
    ]


def test_the_gain_is_paired_and_its_interval_that_of_student():
    """Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, t(0.975, 2) = 4.3027."""
    trials = trials_of({REAL: [0.5, 0.6, 0.5], CLASSICAL: [0.6, 0.8, 0.8]})
    assert gain(trials, CLASSICAL, 100, "shape") == pytest.approx((0.2, 0.2 - 0.24842, 0.2 + 0.24842), abs=1e-4)
    single = trials_of({REAL: [0.5], CLASSICAL: [0.6]})
    value, low, high = gain(single, CLASSICAL, 100, "shape")
    assert value == pytest.approx(0.1) and np.isnan(low) and np.isnan(high)


def test_the_table_the_csv_and_the_plot(tmp_path):
    trials = trials_of({REAL: [0.5, 0.6, 0.5], CLASSICAL: [0.6, 0.8, 0.8], ALL: [0.7, 0.8, 0.8]})
    lines = table(trials).splitlines()
    assert len(lines) == 1 + 2 * 2 * 3
    assert lines[2].split()[-3:] == ["+0.200", "[-0.048,", "+0.448]"]
    write_csv(trials, tmp_path / "trials.csv")
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 1 + len(trials)
    assert cv2.imread(str(plot(trials, tmp_path / "plot.png"))).shape[0] > 500
