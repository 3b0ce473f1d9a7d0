"""The network of `filling.py` and its training: a U-Net that fills a hole of a mammogram with a mass **(ours)**.

It gets a window of 64×64 whose hole is filled smoothly, the hole, the mass's outline, its labels and noise, and gives
the change within the hole. A discriminator sees windows with their hole, outline and labels.
"""

from dataclasses import dataclass
from functools import partial

import click
import numpy as np

SIDE, MARGIN = 64, 4  # pixels of a window; by which a training window may be moved
NOISE = 8  # coarse maps
CHANNELS = 16, 24, 48, 64
GROUP = 3  # a batch holds three groups: masses where they are, masses in other tissue, tissue without any
LEARNING_RATE = 5e-4
AMPLIFIED, CONTRAST = (8.0, 6.0, 4.0, 2.0), 4.0  # how the discriminator sees octaves, finest first, and all of them
PENALTY = 1.0  # R1
NEARNESS, LATER_NEARNESS, EARLY = 20.0, 4.0, 1000  # weight of the L1 of 4×4 means, at first and from a step on
KEPT = 0.998  # of the moving average of the weights, per step
REPORTED = 500  # steps


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows to learn from: float32 (n, side, side, 4) of `filling.prepared`, (n, 10) of `filling.coded`."""

    layers: np.ndarray
    labels: np.ndarray


# ------------------------------------------------------------------------------------- networks


def drawn(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Noise of windows, fine and coarse."""
    return [rng.standard_normal((count, *shape), np.float32) for shape in ((SIDE, SIDE, 1), (8, 8, NOISE))]


def filler():
    """A U-Net: layers, labels, noises → the window with its hole filled; at first, smoothly."""
    from keras import Model, layers

    given, labels = layers.Input((SIDE, SIDE, 4)), layers.Input((10,))
    noises = [layers.Input((SIDE, SIDE, 1)), layers.Input((8, 8, NOISE))]
    base, hole = given[..., 1:2], given[..., 2:3]
    conv = lambda x, width, **more: layers.LeakyReLU(0.2)(layers.Conv2D(width, 3, padding="same", **more)(x))
    x = conv(layers.Concatenate()([given[..., 1:], noises[0]]), CHANNELS[0])
    levels = [x]
    for width in CHANNELS[1:]:
        levels.append(conv(levels[-1], width, strides=2))
    words = layers.UpSampling2D(8)(layers.Reshape((1, 1, 10))(labels))  # at each of 8×8 places
    x = conv(layers.Concatenate()([levels[-1], noises[1], words]), CHANNELS[-1])
    for width, level in zip(CHANNELS[-2::-1], levels[-2::-1]):
        x = layers.UpSampling2D()(layers.Conv2D(width, 1)(x))
        x = conv(layers.Add()([x, level]), width)
    change = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")(x)
    return Model([given, labels, *noises], base + 0.1 * hole * change)


def discriminator():
    """Window as it is seen, hole and outline, labels → score."""
    from keras import Model, layers

    seen, known, labels = layers.Input((SIDE, SIDE, 1)), layers.Input((SIDE, SIDE, 2)), layers.Input((10,))
    x = layers.Concatenate()([seen, known])
    conv = lambda x, width, stride: layers.LeakyReLU(0.2)(layers.Conv2D(width, 3, stride, padding="same")(x))
    for width, stride in zip((*CHANNELS, CHANNELS[-1]), (1, 2, 2, 2, 1)):
        x = conv(x, width, stride)
    places = layers.GlobalAveragePooling2D()(layers.Conv2D(1, 1)(x))
    features = layers.Flatten()(conv(x, CHANNELS[-1], 2))
    wanted = layers.Dot(1)([layers.Dense(CHANNELS[-1])(features), layers.Dense(CHANNELS[-1])(labels)])
    return Model([seen, known, labels], places + layers.Dense(1)(features) + 0.1 * wanted)


# ------------------------------------------------------------------------------------- training


def learned(masses: Examples, tissue: Examples, steps: int, seed: int):
    """The moving average of a trained network."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network, critic, average = filler(), discriminator(), filler()
    average.set_weights(network.get_weights())
    optimizers = [keras.optimizers.Adam(LEARNING_RATE, beta_1=0.0, beta_2=0.99) for _ in range(2)]
    for optimizer, model in zip(optimizers, (network, critic)):
        optimizer.build(model.trainable_variables)
    step = tf.function(partial(taken, network, critic, average, optimizers), jit_compile=False)
    totals = np.zeros(4)
    for number in range(1, steps + 1):
        nearness = tf.constant(NEARNESS if number <= EARLY else LATER_NEARNESS)
        totals += [float(part) for part in step(*batch(masses, tissue, rng), *drawn(rng, 3 * GROUP), nearness)]
        if number % REPORTED == 0:
            click.echo(
                "step {}: critic {:.4f}, slope {:.4f}, filler {:.4f}, L1 {:.4f}".format(number, *totals / REPORTED)
            )
            totals[:] = 0
    return average


def batch(masses: Examples, tissue: Examples, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Layers and labels of what is filled, and of what is genuine: masses twice, tissue.

    The first group of what is filled is the first of what is genuine, and the last is the last.
    """
    own, moved, bare = (rng.choice(len(some.layers), GROUP) for some in (masses, tissue, tissue))
    others = rng.choice(len(masses.layers), GROUP)
    parts = [(masses, own), (masses, others), (tissue, moved), (tissue, bare)]
    layers = np.concatenate([some.layers[which] for some, which in parts])
    labels = np.concatenate([some.labels[which] for some, which in parts])
    layers[-GROUP:, ..., 3] = labels[-GROUP:, :-1] = 0
    layers = np.stack([varied(one, rng) for one in layers])
    fake, real = (np.r_[:GROUP, first : first + GROUP, 3 * GROUP : 4 * GROUP] for first in (2 * GROUP, GROUP))
    return layers[fake], labels[fake], layers[real], labels[real]


def varied(layers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window moved, turned, mirrored, a little brighter or darker."""
    y, x, turns, mirrored = rng.integers((2 * MARGIN + 1, 2 * MARGIN + 1, 4, 2))
    window = np.rot90(layers[y : y + SIDE, x : x + SIDE], turns)[:: 1 if mirrored else -1]
    return window * np.array([*[rng.uniform(0.9, 1.1)] * 2, 1, 1], np.float32)


def taken(network, critic, average, optimizers, layers, labels, real, real_labels, fine, coarse, nearness):
    """One step of both networks; the losses."""
    import tensorflow as tf

    from training.amplification import amplifier

    amplified = amplifier(AMPLIFIED, SIDE, SIDE)
    seen = lambda windows: CONTRAST * amplified(windows - 0.4)
    known, real_known, shown = layers[..., 2:], real[..., 2:], seen(real[..., :1])
    with tf.GradientTape() as filling:
        made = network([layers, labels, fine, coarse], training=True)
        made_shown = seen(made)
        with tf.GradientTape() as judging:
            with tf.GradientTape() as sloping:
                some = tf.identity(shown[::3])
                sloping.watch(some)
                score = tf.reduce_sum(critic([some, real_known[::3], real_labels[::3]]))
            steep = 0.5 * tf.reduce_mean(tf.reduce_sum(sloping.gradient(score, some) ** 2, (1, 2, 3)))
            fooled = critic([made_shown, known, labels])
            loss = tf.reduce_mean(tf.nn.softplus(-critic([shown, real_known, real_labels])) + tf.nn.softplus(fooled))
            critic_loss = loss + PENALTY * steep
        wanted = tf.reduce_mean(tf.nn.softplus(-fooled))
        kept = tf.nn.avg_pool2d(made - layers[..., :1], 4, 4, "VALID")
        near = tf.reduce_mean(tf.abs(tf.concat([kept[:GROUP], kept[2 * GROUP :]], 0)))
        filler_loss = wanted + nearness * near
    for optimizer, tape, value, model in (
        (optimizers[0], filling, filler_loss, network),
        (optimizers[1], judging, critic_loss, critic),
    ):
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
    for mean, weight in zip(average.trainable_variables, network.trainable_variables):
        mean.assign(KEPT * mean + (1 - KEPT) * weight)
    return loss, steep, wanted, near
