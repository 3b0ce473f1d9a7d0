"""`AdversarialModel`: what a train step of any generator–discriminator pair needs besides its losses.

The traps it is built around (each has a test): Keras checkpoints only `model.optimizer`; several replicas sum
gradients; `compile()` without an optimizer installs one; raw losses returned from `train_step` log the last batch only.
"""

import functools
from collections.abc import Callable, Hashable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from training.schedule import Duration
from training.summation import keep_additions_apart


class Players(NamedTuple):
    """The networks of an `AdversarialModel`.

    Attributes:
        generator: trained by `generator_optimizer`.
        discriminator: trained by `discriminator_optimizer`.
        ema_generator: of the generator's structure, frozen layers equal; its moving average, which gets saved.
    """

    generator: keras.Model
    discriminator: keras.Model
    ema_generator: keras.Model


class AdversarialModel(keras.Model):
    """A generator, a discriminator, an exponential moving average of the generator, and an optimizer for each player.

    A subclass writes `player_gradients`, the part that is its paper; this class applies the gradients, keeps the moving
    average and the trackers, and counts. Everything that varies over a run is a function of `iterations`, the number of
    steps this stage has taken, so that a checkpoint of the variables is the whole state.

    Args:
        players: its networks; `call` runs the moving average.
        ema_half_life_images: float. Images after which the average has half forgotten its past.
        loss_names: names of the scalars that `player_gradients` returns, in the order they are shown.
    """

    def __init__(self, players: Players, ema_half_life_images: float, loss_names: tuple[str, ...]):
        super().__init__()
        self.generator, self.discriminator, self.ema_generator = players
        self.ema_generator.trainable = False
        self.ema_half_life_images = ema_half_life_images
        self.train_function: Callable | None = None
        # in float32 the graph optimiser merged a loss's last addition into the tracker's, in an order that differed
        # from one process to the next (`training/summation.py`)
        self.trackers = {name: keras.metrics.Mean(name, dtype="float64") for name in loss_names}
        self.built = True  # no weights of its own; submodels are already built

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        duration: Duration,
    ) -> None:
        """Build both optimizers at once: an optimizer built inside the first step is missed by a checkpoint.

        Args:
            duration: of the stage; its batch is what turns steps into images seen.
        """
        once = duration.steps_per_execution
        super().compile(optimizer=None, loss=None, jit_compile=False, steps_per_execution=once)
        self.duration = duration
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, inputs):
        return self.ema_generator(inputs)

    def weight_pairs(self, *, frozen: bool) -> list[tuple[keras.Variable, keras.Variable]]:
        """Pair (the moving average's, the generator's) weights: of frozen layers, or of all the others.

        Training changes every weight of the others, moving statistics too, though those have no gradient.
        """
        still = {id(weight) for weight in frozen_weights(self.generator)}
        pairs = zip(self.ema_generator.weights, self.generator.weights, strict=True)
        return [(average, weight) for average, weight in pairs if (id(weight) in still) == frozen]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    @property
    def iterations(self):
        """Steps taken in this stage, as the discriminator's optimizer counts them; other counts follow from it."""
        return self.discriminator_optimizer.iterations

    @property
    def images_seen(self) -> int:
        """Real images seen in this stage, over all replicas; alpha, ticks and names of checkpoints follow from it."""
        return int(np.asarray(self.iterations)) * self.duration.batch

    def variant(self, step: int) -> Hashable:
        """Return what this step consists of, where that changes during a stage; each variant is compiled once."""
        return None

    def player_gradients(self, batch, step, variant):
        """Compute the gradients of one step of the paper's losses.

        Args:
            batch: this replica's share of what the reader yields.
            step: int64 scalar, steps taken before this one.
            variant: of the step, from `variant`.

        Returns:
            (discriminator gradients, generator gradients, {loss name: scalar}). Gradients are those of losses averaged
            over this replica; the losses are reported as they are.
        """
        raise NotImplementedError

    @tf.autograph.experimental.do_not_convert  # no branch depends on a tensor: a tenth less time to start
    def train_step(self, batch, variant: Hashable = None):
        step = tf.cast(self.iterations.value, tf.int64)
        discriminator_gradients, generator_gradients, losses = self.player_gradients(batch, step, variant)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:  # replicas sum their gradients: a mean over the global batch wants each divided
            discriminator_gradients, generator_gradients = (
                [gradient / replicas for gradient in gradients]
                for gradients in (discriminator_gradients, generator_gradients)
            )
        self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator.trainable_variables)
        self.generator_optimizer.apply(generator_gradients, self.generator.trainable_variables)
        images = tf.cast(tf.shape(tf.nest.flatten(batch)[0])[0] * replicas, tf.float32)
        self._update_moving_average(0.5 ** (images / self.ema_half_life_images))
        for name, tracker in self.trackers.items():
            tracker.update_state(losses[name])
        keep_additions_apart()
        return {metric.name: metric.result() for metric in self.metrics}

    def _update_moving_average(self, decay: tf.Tensor) -> None:
        """Assigned from outside the replicas, where a mirrored variable can be."""
        pairs = [(average.value, weight.value) for average, weight in self.weight_pairs(frozen=False)]

        def update(strategy, decay):
            decay = strategy.experimental_local_results(decay)[0]
            for ema, variable in pairs:
                strategy.extended.update(
                    ema, lambda e, v: e.assign(v + tf.cast(decay, e.dtype) * (e - v)), args=(variable,)
                )

        tf.distribute.get_replica_context().merge_call(update, args=(decay,))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None) -> None:
        """Do nothing: all is built. Keras would average a batch over hosts first, and cannot if it is a dictionary."""

    def make_train_function(self, force: bool = False):
        """Make Keras' loop of `steps_per_execution` steps, compiled once for each variant of the step."""
        if self.train_function is not None and not force:
            return self.train_function
        compiled = functools.cache(self._compiled_steps)
        step = None

        def train_function(iterator):
            nonlocal step
            step = int(np.asarray(self.iterations)) if step is None else step + self.steps_per_execution
            return compiled(self.variant(step))(iterator)

        self.train_function = train_function
        return train_function

    def _compiled_steps(self, variant: Hashable):
        """`steps_per_execution` steps as one TensorFlow function of an iterator."""
        strategy = self.distribute_strategy

        @tf.function
        def steps(iterator):
            for _ in tf.range(self.steps_per_execution):
                strategy.run(self.train_step, args=(next(iterator), variant))
            return self.get_metrics_result()

        return steps


def frozen_weights(network: keras.Model) -> list[keras.Variable]:
    """List weights of layers that are not trainable, those of models within the network too: training changes none."""
    weights = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            weights += frozen_weights(layer)
        elif not layer.trainable:
            weights += layer.weights
    return weights
