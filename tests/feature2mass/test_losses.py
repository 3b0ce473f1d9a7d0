"""Losses against values worked out by hand: σ(0) = ½, σ(ln 3) = ¾."""

from math import log

import numpy as np
import pytest

from feature2mass.losses import LossWeights, discriminator_loss, generator_terms, reconstruction_term

LN3 = log(3)  # σ = ¾: −log ¾ is log 4/3, −log ¼ is log 4
YES, NO = log(4 / 3), log(4)


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1)


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_a_discriminator_s_loss(weight):
    """One real mass taken for real (¾), its reconstruction for fake (¼); two classes."""
    real = logits(LN3), np.array([[LN3, -LN3]], np.float32)
    fake = logits(-LN3), np.array([[LN3, LN3]], np.float32)
    loss = discriminator_loss(real, fake, np.array([[1, 0]], np.float32), weight)
    assert float(loss) == pytest.approx(YES + YES + weight * (YES + (YES + NO) / 2), rel=1e-6)


def test_terms_of_the_generator():
    """Its masses look real to D₁ (¾), not to D₂ (¼); the margin is right, the shape half right."""
    margin_verdict = logits(LN3), np.array([[LN3, -LN3]], np.float32)
    shape_verdict = logits(-LN3), np.array([[LN3, LN3, -LN3, -LN3]], np.float32)
    margin, shape = np.array([[1, 0]], np.float32), np.array([[1, 0, 0, 0]], np.float32)
    adversarial, labels = generator_terms(margin_verdict, shape_verdict, margin, shape)
    assert float(adversarial) == pytest.approx(YES + NO, rel=1e-6)
    assert float(labels) == pytest.approx(YES + (3 * YES + NO) / 4, rel=1e-6)


def test_reconstruction_is_the_mean_absolute_difference():
    a, b = np.array([[0.0, 0.5], [1.0, 1.0]]), np.array([[0.5, 0.25], [0.0, 1.0]])
    assert float(reconstruction_term(a, b)) == pytest.approx((0.5 + 0.25 + 1 + 0) / 4)


def test_weights_of_the_paper():
    weights = LossWeights()
    assert (weights.margin, weights.shape, weights.labels, weights.reconstruction) == (10, 10, 10, 300)
