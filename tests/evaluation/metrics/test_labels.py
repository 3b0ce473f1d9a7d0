"""Scores by hand, and labels that a judge finds right or wrong as they are."""

import numpy as np
import pytest
from drawn import Oracle, masses

from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate
from evaluation.mass_classifier import Masses
from evaluation.metrics import labels
from evaluation.metrics.labels import LabelJudge, Score, score
from evaluation.metrics.metric import Sets
from evaluation.roc import area_under_roc


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
    monkeypatch.setattr(labels, "train_classifier", lambda *a, **k: Oracle(truth, held_out))
    given = {head: values.copy() for head, values in truth.labels.items()}
    given["shape"][:20] ^= 1
    judge = LabelJudge(truth, held_out)
    shape, margin = judge.read(Masses(truth.images, given, truth.classes, truth.subjects))
    assert (shape.head, shape.accuracy.value, margin.head, margin.accuracy.value) == ("shape", 0.75, "margin", 1)
    assert [one.accuracy.value for one in judge.of_held_out] == [1, 1] and shape.chance == 0.5


def test_true_labels_can_be_learned_from_and_random_ones_cannot(monkeypatch):
    train = labels.train_classifier
    monkeypatch.setattr(labels, "train_classifier", lambda *a, **k: train(*a, **k, steps=100))
    judge = LabelJudge(masses(120, 0), masses(80, 9, first_subject=1000))
    true = masses(120, 5, first_subject=5000)
    shuffled = {head: np.random.default_rng(0).permutation(values) for head, values in true.labels.items()}
    random = Masses(true.images, shuffled, true.classes, true.subjects)
    learned = [judge.learned(made)[1].accuracy for made in (true, random)]
    assert learned[0].value > 0.8 > 0.7 > learned[1].value
    assert learned[1].high < judge.of_held_out[1].accuracy.low


def test_the_masses_of_the_set_are_judged_and_no_others(tiny_masses_dataset, monkeypatch):
    judged = []

    class Judge:
        of_held_out: list = []

        def __init__(self, training, held_out, seed):
            pass

    monkeypatch.setattr(labels, "LabelJudge", Judge)
    compare = labels._compare(lambda judge, synthetic: judged.append(synthetic) or [])
    real = Samples.of_dataset(tiny_masses_dataset)
    fake = real.subset(np.array([40, 2, 30])).subset(np.array([2, 0]))
    compare(labels.LABELS_READ, Sets(real, fake, {}, seed=1, shared={}))
    np.testing.assert_array_equal(judged[0].images, tiny_masses_dataset.images((64, 64), [30, 40]))


def test_either_value_has_the_chance_of_its_own_masses(tiny_masses_dataset, monkeypatch):
    """Of the generated masses a quarter have another label than the rest, of the held-out ones a half."""
    sure = Estimate(0.9, 0.8, 1.0, 9)

    class Judge:
        of_held_out = [Score("shape", sure, 0.5, 0.9)]

        def __init__(self, training, held_out, seed):
            pass

    monkeypatch.setattr(labels, "LabelJudge", Judge)
    compare = labels._compare(lambda judge, synthetic: [Score("shape", sure, 0.75, 0.9)])
    real = Samples.of_dataset(tiny_masses_dataset)
    (row,) = compare(labels.LABELS_READ, Sets(real, real, {}, seed=1, shared={}))
    assert row.chance == {"generated": 0.75, "real": 0.5} and "chance" not in row.title


def test_masses_of_other_classes_have_no_labels_to_judge(monkeypatch):
    truth, held_out = masses(24, 0), masses(24, 9, first_subject=1000)
    monkeypatch.setattr(labels, "train_classifier", lambda *a, **k: Oracle(truth, held_out))
    other = Masses(truth.images, truth.labels, {**truth.classes, "shape": ["disc", "star"]}, truth.subjects)
    for judged in (LabelJudge(truth, held_out).read, LabelJudge(truth, held_out).learned):
        with pytest.raises(EvaluationError, match="synthetic masses have the classes"):
            judged(other)
