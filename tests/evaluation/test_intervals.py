"""Intervals hold the truth as often as they say, and widen with fewer images."""

import numpy as np
import pytest

from evaluation.image_set import EvaluationError
from evaluation.intervals import bootstrap_mean, compare_sets, halves, percentile_interval, whole_subjects


def test_a_bootstrap_interval_holds_the_mean_95_times_of_100():
    held = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = bootstrap_mean(rng.standard_normal(50), rng, replicates=400)
        held.append(found.low <= 0 <= found.high)
    assert 0.89 < np.mean(held) <= 0.99


def test_missing_values_do_not_count():
    found = bootstrap_mean(np.array([1.0, np.nan, 3.0]), np.random.default_rng(0))
    assert (found.value, found.count) == (2, 2)


@pytest.mark.filterwarnings("error")
def test_an_interval_is_of_the_values_that_could_be_measured():
    assert percentile_interval([np.nan, 1.0, 2.0, 3.0]) == percentile_interval([1.0, 2.0, 3.0])
    assert np.isnan(percentile_interval([np.nan, np.nan])).all()


def test_one_image_makes_no_interval():
    with pytest.raises(EvaluationError, match="at least 2 images that can be measured, there is 1"):
        bootstrap_mean(np.array([1.0, np.nan]), np.random.default_rng(0))


def test_four_values_of_a_patient_that_agree_count_as_one():
    values, rng = np.random.default_rng(1).standard_normal(50), np.random.default_rng
    once = bootstrap_mean(values, rng(0))
    found = bootstrap_mean(np.repeat(values, 4), rng(0), np.repeat(np.arange(50), 4))
    assert (found.value, found.low, found.high) == pytest.approx((once.value, once.low, once.high))
    alone = bootstrap_mean(np.repeat(values, 4), rng(0))
    assert (found.high - found.low) / (alone.high - alone.low) == pytest.approx(2, rel=0.1)


def test_one_patient_makes_no_interval():
    with pytest.raises(EvaluationError, match="at least 2 patients .or masks., all 3 are of the same one"):
        bootstrap_mean(np.arange(3.0), np.random.default_rng(0), np.zeros(3, int))


@pytest.mark.parametrize("of_one", ["real", "generated"])
def test_images_of_one_patient_make_no_comparison(of_one):
    subjects = np.r_[np.zeros(20, int), 1:21] if of_one == "real" else np.r_[1:21, np.zeros(20, int)]
    with pytest.raises(EvaluationError, match="at least 2 patients .or masks., all 20 are of the same one"):
        compare_sets(lambda a, b: 0.0, np.arange(20), np.arange(20, 40), subjects=subjects)


def test_halves_are_disjoint_and_equal():
    first, second = halves(np.arange(11), np.random.default_rng(0))
    assert len(first) == len(second) == 5 and not set(first) & set(second)


@pytest.mark.parametrize("seed", range(20))
def test_no_patient_is_in_both_halves(seed):
    subjects = np.random.default_rng(seed).integers(0, 12, 50)
    first, second = halves(subjects, np.random.default_rng(seed))
    assert len(first) == len(second) > 15 and not set(subjects[first]) & set(subjects[second])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("many", [0, 1])
def test_of_two_patients_either_half_has_one_however_many_images_they_have(seed, many):
    subjects = np.r_[np.full(9, many), 1 - many, 1 - many]
    first, second = halves(subjects, np.random.default_rng(seed))
    assert len(first) == len(second) == 2 and {*subjects[first]} | {*subjects[second]} == {0, 1}


def test_one_patient_makes_no_halves():
    with pytest.raises(EvaluationError, match="at least 2 patients"):
        halves(np.zeros(5, int), np.random.default_rng(0))


def test_images_of_a_subject_follow_each_other():
    subjects = np.array([0, 1, 0, 2, 1, 0, 2, 9])
    order = whole_subjects(np.array([5, 1, 2, 3, 4, 0]), subjects, np.random.default_rng(0))
    assert sorted(order) == [0, 1, 2, 3, 4, 5]
    seen = subjects[order].tolist()
    assert len([a for a, b in zip(seen, seen[1:]) if a != b]) == len(set(seen)) - 1


def shifted_means(values: np.ndarray, count: int, seed: int, **options):
    """Difference of means of real N(0, 1) and fake N(1, 1), whose standard error is known."""
    difference = lambda a, b: float(values[b].mean() - values[a].mean())
    return compare_sets(difference, np.arange(count), np.arange(count, len(values)), seed=seed, **options)


def test_the_intervals_of_a_comparison_hold_the_truth():
    """The floor's truth is 0, the distance's is 1."""
    held = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = np.concatenate([rng.standard_normal(100), 1 + rng.standard_normal(100)])
        found = shifted_means(values, 100, seed)
        held.append([found.generated.low <= 1 <= found.generated.high, found.floor.low <= 0 <= found.floor.high])
    assert (np.mean(held, axis=0) > 0.87).all()


def test_intervals_widen_with_fewer_images():
    values = np.random.default_rng(0).standard_normal(1600)
    many = shifted_means(values, 800, 0, replicates=200).generated
    few = shifted_means(np.concatenate([values[:50], values[800:850]]), 50, 0, replicates=200).generated
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.35)  # √(800/50)


def test_patients_of_several_images_widen_the_intervals():
    """Four images of a patient that are alike are as sure as a quarter as many."""
    rng = np.random.default_rng(0)
    values, subjects = np.repeat(rng.standard_normal(200), 4), np.repeat(np.arange(200), 4)
    width = lambda found: found.generated.high - found.generated.low
    together = width(shifted_means(values, 400, 0, subjects=subjects, replicates=200))
    apart = width(shifted_means(values, 400, 0, replicates=200))
    assert together / apart == pytest.approx(2, rel=0.3)


def test_few_patients_make_no_halves():
    with pytest.raises(EvaluationError, match="at least 4 real images in either of two halves of whole patients"):
        compare_sets(lambda a, b: 0.0, np.arange(10), np.arange(10, 20), subjects=np.r_[np.zeros(9, int), 1:12])


def test_floor_and_distance_see_equally_many_images():
    sizes = set()

    def statistic(a: np.ndarray, b: np.ndarray) -> float:
        sizes.add((len(a), len(b)))
        return 0.0

    compare_sets(statistic, np.arange(21), np.arange(21, 100))
    assert sizes == {(10, 10), (5, 5)}


def test_real_images_always_come_first_and_halves_do_not_meet():
    seen = []
    compare_sets(lambda a, b: seen.append((a, b)) or 0.0, np.arange(20), np.arange(20, 40), replicates=2)
    floor = [pair for pair in seen if pair[1].max() < 20]
    assert all(pair[0].max() < 20 for pair in seen)
    assert len(floor) == 3 and not any(set(a) & set(b) for a, b in floor)


def test_intervals_end_at_the_bounds():
    values = np.random.default_rng(0).random(40)
    found = shifted_means(values, 20, 0, bounds=(0, 0.01))
    assert found.floor.low >= 0 and found.generated.high <= 0.01


def test_too_few_images_are_told_how_many_are_needed():
    with pytest.raises(EvaluationError, match="FID needs at least 8 real images .* and 4 generated .* are 7 and 9"):
        compare_sets(lambda a, b: 0.0, np.arange(7), np.arange(9), needs=4, name="FID")
