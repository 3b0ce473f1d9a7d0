"""Losses against values worked out by hand: σ(0) = ½, σ(ln 3) = ¾."""

from math import log

import numpy as np
import pytest

from training.losses import cross_entropy

LN3 = log(3)  # σ = ¾: −log ¾ is log 4/3, −log ¼ is log 4
YES, NO = log(4 / 3), log(4)


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1)


@pytest.mark.parametrize("value, target, wanted", [(LN3, 1, YES), (LN3, 0, NO), (-LN3, 1, NO), (0, 1, log(2))])
def test_cross_entropy_of_one_logit(value, target, wanted):
    assert float(cross_entropy(logits(value), float(target))) == pytest.approx(wanted, rel=1e-6)


def test_cross_entropy_is_the_mean_over_batch_and_classes():
    values = np.array([[LN3, LN3], [-LN3, 0.0]], np.float32)
    targets = np.array([[1, 0], [0, 1]], np.float32)
    assert float(cross_entropy(values, targets)) == pytest.approx((YES + NO + YES + log(2)) / 4, rel=1e-6)


def test_cross_entropy_of_large_logits_is_finite():
    assert float(cross_entropy(logits(1000.0), 0.0)) == pytest.approx(1000)
