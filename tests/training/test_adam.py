"""The fused Adam is Keras' Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.adam import FusedAdam

SETTINGS = [{"beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8}, {"beta_1": 0.5, "beta_2": 0.999}]


def trained(optimizer, dtype: str, steps: int = 5) -> list[np.ndarray]:
    """Values of two variables, and of the optimizer's, after some steps of given gradients."""
    random = np.random.default_rng(0)
    variables = [keras.Variable(random.standard_normal(shape), dtype=dtype) for shape in [(3, 4), (5,)]]
    optimizer.build(variables)
    for _ in range(steps):
        optimizer.apply([tf.constant(random.standard_normal(one.shape), dtype) for one in variables], variables)
    return [np.asarray(one) for one in (*variables, *optimizer.variables)]


@pytest.mark.parametrize("settings", SETTINGS, ids=["WGAN-GP", "pix2pix"])
def test_it_computes_what_keras_adam_does(settings):
    ours, theirs = (trained(kind(0.01, **settings), "float64") for kind in (FusedAdam, keras.optimizers.Adam))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-5)  # Keras rounds its betas to float32


def test_the_first_step_is_the_rate_in_the_direction_of_the_gradient():
    """m / (1 − β₁) over √(v / (1 − β₂)) is the gradient's sign."""
    variable = keras.Variable(np.zeros(3), dtype="float64")
    optimizer = FusedAdam(0.1, epsilon=1e-12)
    optimizer.apply([tf.constant([2.0, -0.5, 1e-3], tf.float64)], [variable])
    np.testing.assert_allclose(variable, [-0.1, 0.1, -0.1], rtol=1e-6)


def test_its_variables_have_the_names_of_keras_adam():
    names = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        optimizer = kind(0.1, name="adam")
        optimizer.build([keras.Variable(np.zeros(3), name="kernel")])
        names.append([variable.path for variable in optimizer.variables])
    assert names[0] == names[1]
