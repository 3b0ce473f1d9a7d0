"""A study whose answer is known."""

import cv2
import numpy as np
import pytest
from drawn import Oracle, masses

from benchmarks import usefulness_trials
from benchmarks.usefulness_trials import (
    ALL,
    CLASSICAL,
    REAL,
    SYNTHETIC,
    Trial,
    gain,
    joined,
    nested_subset,
    plot,
    study,
    table,
    write_csv,
)
from evaluation.image_set import EvaluationError
from evaluation.mass_classifier import Masses


def test_subsets_are_of_whole_patients_and_nested():
    real = masses(60, 0)
    small, large = (nested_subset(real, size, seed=1) for size in (20, 40))
    assert (len(small), len(large)) == (20, 40) and set(small) < set(large)
    assert not set(real.subjects[small]) & set(np.delete(real.subjects, small))
    assert set(small) != set(nested_subset(real, 20, seed=2))
    with pytest.raises(EvaluationError, match="of 61 real masses was asked for, there are 60"):
        nested_subset(real, 61, seed=0)


def test_masses_of_other_classes_do_not_join():
    real = masses(8, 0)
    other = Masses(real.images, real.labels, {"shape": ["star", "bar"], "margin": ["a", "b"]})
    with pytest.raises(EvaluationError, match="cannot be combined"):
        joined(real, other)


@pytest.fixture()
def quick(monkeypatch):
    train = usefulness_trials.train_classifier
    monkeypatch.setattr(usefulness_trials, "train_classifier", lambda *a, **k: train(*a, **k, steps=40))


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
    monkeypatch.setattr(usefulness_trials, "train_classifier", lambda *a, **k: Oracle(held_out))
    trials = study(masses(24, 0), held_out, sizes=[24], seeds=[0])
    assert {t.arm for t in trials} == {REAL, CLASSICAL}


def test_a_patient_on_both_sides_is_refused():
    with pytest.raises(EvaluationError, match="4 patients both"):
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
