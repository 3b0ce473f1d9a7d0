"""The base of every train step, on players of one weight each whose steps are worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.model import AdversarialModel, Players
from training.schedule import Duration

BATCH = 4


def one_weight(name: str) -> keras.Model:
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs), name=name)


class Constant(AdversarialModel):
    """Gradients 1 (discriminator) and −2 (generator); the loss reported is the number of the step."""

    def __init__(self, half_life: float = 4.0):
        ema = one_weight("ema")
        players = Players(one_weight("generator"), one_weight("discriminator"), ema)
        super().__init__(players, half_life, ("first", "second"))

    def player_gradients(self, batch, step, variant):
        return [tf.ones((1, 1))], [-2 * tf.ones((1, 1))], {"first": tf.cast(step, tf.float32), "second": tf.ones(())}


def compiled(optimizer=keras.optimizers.SGD, steps_per_execution: int = 1, **arguments) -> Constant:
    model = Constant(**arguments)
    model.compile(optimizer(0.1), optimizer(0.1), Duration(BATCH, 1, 1, steps_per_execution))
    return model


def batches():
    return tf.data.Dataset.from_tensors(tf.zeros((BATCH, 1))).repeat()


def fit(model, steps: int, epochs: int = 1, data=None) -> dict[str, list[float]]:
    return model.fit(data or batches(), steps_per_epoch=steps, epochs=epochs, verbose=0, shuffle=False).history


def weight(network: keras.Model) -> float:
    return network.get_weights()[0].item()


class Fading(Constant):
    """Fades in for two steps; its second loss says for which variant the step was compiled."""

    def variant(self, step):
        return "faded in" if step >= 2 else "fading"

    def player_gradients(self, batch, step, variant):
        discriminator, generator, losses = super().player_gradients(batch, step, variant)
        return discriminator, generator, {**losses, "second": tf.constant(float(variant == "faded in"))}


def test_steps_after_the_fade_in_are_compiled_without_it():
    model = Fading()
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), Duration(BATCH, 1, 1))
    assert fit(model, steps=1, epochs=4)["second"] == [0, 0, 1, 1]


def test_a_resumed_model_knows_that_it_has_faded_in():
    model = Fading()
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), Duration(BATCH, 1, 1))
    model.discriminator_optimizer.iterations.assign(2)
    assert fit(model, steps=1)["second"] == [1]


def test_each_optimizer_takes_the_gradient_of_its_own_player():
    model = compiled()
    fit(model, 3)
    assert weight(model.discriminator) == pytest.approx(-0.3)
    assert weight(model.generator) == pytest.approx(0.6)


def test_moving_average_by_hand():
    """A half-life of one batch: 0 → ½·0.2 → ½·0.1 + ½·0.4."""
    model = compiled(half_life=float(BATCH))
    fit(model, 2)
    assert weight(model.ema_generator) == pytest.approx(0.25)


def test_moving_average_halves_over_its_half_life_in_images():
    model = compiled(half_life=3.0 * BATCH)
    model.generator_optimizer.learning_rate = 0.0
    model.ema_generator.set_weights([np.ones((1, 1))])
    fit(model, 3)
    assert weight(model.ema_generator) == pytest.approx(0.5)


class Layered(AdversarialModel):
    """Its generator has a layer that trains, one that keeps moving statistics and, in a model within, a frozen one.

    Everything is 0, and 5 in the moving average.
    """

    def __init__(self):
        players = Players(self.network(0.0), one_weight("discriminator"), self.network(5.0))
        super().__init__(players, 4.0, ("loss",))

    @staticmethod
    def network(value: float) -> keras.Model:
        inputs, inner = keras.Input((1,)), keras.Input((1,))
        frozen = keras.layers.Dense(1, use_bias=False, trainable=False, name="frozen")
        outputs = keras.layers.Dense(1, use_bias=False)(inputs)
        outputs = keras.layers.BatchNormalization(center=False, scale=False)(outputs)
        network = keras.Model(inputs, keras.Model(inner, frozen(inner), name="inner")(outputs))
        network.set_weights([np.full(weight.shape, value) for weight in network.weights])
        return network

    def player_gradients(self, batch, step, variant):
        return [tf.zeros((1, 1))], [tf.zeros((1, 1))], {"loss": tf.zeros(())}


def test_the_moving_average_leaves_frozen_layers_alone():
    """And them only: halfway to the generator's 0 after a half-life, moving statistics too."""
    model = Layered()
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), Duration(BATCH, 1, 1))
    fit(model, 1)
    kernel, mean, variance, frozen = (values.item() for values in model.ema_generator.get_weights())
    assert (kernel, mean, variance) == (2.5, 2.5, 2.5)
    assert frozen == 5


def test_call_runs_the_moving_average():
    model = compiled()
    model.ema_generator.set_weights([np.full((1, 1), 3.0)])
    assert np.asarray(model(np.full((1, 1), 2.0))).item() == 6


def test_both_optimizers_are_built_by_compile():
    model = compiled(keras.optimizers.Adam)
    assert model.generator_optimizer.built and model.discriminator_optimizer.built
    assert len(model.discriminator_optimizer.variables) == 4  # iterations, learning rate, two slots


def test_compile_installs_no_third_optimizer():
    assert compiled().optimizer is None


def test_the_moving_average_has_nothing_to_train():
    assert not compiled().ema_generator.trainable_variables


def test_losses_are_means_over_a_tick_not_its_last_step():
    assert fit(compiled(), 5)["first"] == [2.0]


def test_losses_start_anew_at_each_tick():
    assert fit(compiled(), 2, epochs=2)["first"] == [0.5, 2.5]


def test_the_logs_hold_the_losses_alone():
    assert set(fit(compiled(), 1)) == {"first", "second"}


def test_iterations_count_steps():
    model = compiled()
    fit(model, 3, epochs=2)
    assert int(model.iterations) == 6


def test_images_seen_are_steps_times_the_batch():
    model = compiled()
    fit(model, 3)
    assert model.images_seen == 3 * BATCH


def test_several_steps_an_execution_do_what_single_steps_do():
    single, several = compiled(half_life=7.0), compiled(half_life=7.0, steps_per_execution=3)
    assert fit(single, 6)["first"] == fit(several, 6)["first"]
    for name in ("generator", "discriminator", "ema_generator"):
        assert weight(getattr(single, name)) == weight(getattr(several, name))
