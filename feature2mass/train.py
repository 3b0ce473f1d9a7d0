"""Training Feature2Mass from shards of labelled masses, resumable at any tick.

A run starts from its own newest checkpoint, or from scratch. It leaves

runs/masses/config.json                  settings, classes, the data's checksums
runs/masses/checkpoint-0000024000.h5     the last two
runs/masses/samples-0000024000.png       real masses, reconstructions, lines between two, mixtures of a category
runs/masses/encoder.keras, decoder.keras stock layers; once training is complete
runs/masses/source.json                  where the training data was, for `generate_masses.py`
"""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from feature2mass.features import SEEDS, category_weights, decode, encode, line_weights, spread_weights
from feature2mass.linear_start import start_linearly
from feature2mass.networks import (
    SIZE,
    build_decoder,
    build_discriminator,
    build_discriminators,
    build_encoder,
    build_generator,
    finished_networks,
)
from feature2mass.settings import DECODER, ENCODER, SOURCE, Preset
from feature2mass.texture import Texture, TexturedFeature2Mass
from feature2mass.train_step import Feature2Mass
from preprocessing.atomic import write_whole
from preprocessing.batches import labelled_masses, mass_batches
from preprocessing.shards import DataError, Dataset
from training.cluster import current
from training.model import Players
from training.noise import stream_seed
from training.run import RunDirectory
from training.trainer import Training, train_stage

START_EXAMPLES = 256  # masses that decide how the networks start
SAMPLES = 10  # columns of the sample grid


def train(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    echo: Callable[[str], None] = print,
) -> bool:
    """Train until the preset's end, continuing where the run stopped; write encoder.keras and decoder.keras.

    Returns:
        False if the run was complete already.

    Raises:
        RunError, CheckpointError, DataError: one clear line each.
    """
    if current().from_chief((run.path / DECODER).exists):  # the last to be written
        return False
    training = MassTraining(dataset, run, preset, seed)
    if current().is_chief:
        write_whole(run.path / SOURCE, json.dumps({"folder": str(dataset.folder.resolve())}) + "\n")
    train_stage(training, strategy, echo)
    return True


def build_model(preset: Preset, margins: int, shapes: int, seed: int, masses: int = 0) -> Feature2Mass:
    """Build the compiled model with fresh networks, the moving average equal to the generator, from the seed.

    Args:
        masses: to train on, which decide how long a run lasts.
    """
    keras.utils.set_random_seed(stream_seed(seed, "weights"))
    config, dtype = preset.network, preset.precision

    def generator(name: str) -> keras.Model:
        return build_generator(
            build_encoder(config, margins, shapes, dtype=dtype), build_decoder(config, dtype=dtype), name
        )

    trained, average = generator("generator"), generator("ema_generator")
    average.set_weights(trained.get_weights())
    discriminator = build_discriminators(
        build_discriminator(config, margins, "margin_discriminator", dtype=dtype),
        build_discriminator(config, shapes, "shape_discriminator", dtype=dtype),
    )
    arguments = Players(trained, discriminator, average), preset.weights, preset.ema_half_life_images
    if preset.texture == Texture():
        model = Feature2Mass(*arguments)
    else:
        model = TexturedFeature2Mass(*arguments, texture=preset.texture, spread=preset.mixing.spread, seed=seed)
    model.compile(*preset.optimizers(), preset.duration(masses))
    return model


class MassTraining(Training):
    """Training of Feature2Mass, from scratch.

    Args:
        seed: of weights, order of masses, and augmentation.

    Raises:
        DataError: no training mass has both labels.
    """

    def __init__(self, dataset: Dataset, run: RunDirectory, preset: Preset, seed: int):
        self.dataset, self.preset, self.seed = dataset, preset, seed
        self.masses = labelled_masses(dataset, "train")[0]
        if not len(self.masses):
            raise DataError(f"{dataset.folder}: has no masses of known shape and margin in its train split")
        self.stage, self.duration = run.stage(), preset.duration(len(self.masses))
        self.margins, self.shapes = (len(dataset.classes(name)) for name in ("margin", "shape"))

    def build(self) -> Feature2Mass:
        return build_model(self.preset, self.margins, self.shapes, self.seed, len(self.masses))

    def begin(self, model: Feature2Mass) -> None:
        if not self.preset.linear_start:
            return
        images = self.dataset.images((SIZE, SIZE), self.masses[:START_EXAMPLES])
        start_linearly(model.encoder, model.decoder, images)
        model.ema_generator.set_weights(model.generator.get_weights())

    def batches(self, first_image: int) -> tf.data.Dataset:
        return mass_batches(
            self.dataset,
            "train",
            self.preset.batch,
            stream_seed(self.seed, "data"),
            first_image=first_image,
            augment=self.preset.augment,
            share=current().share,
        )

    def sampler(self, model: Feature2Mass) -> Callable[[], np.ndarray]:
        """Draw the sample grid of a run: the same masses, lines and mixtures at every tick.

        Returns:
            () → float (5, 10, 64, 64): held-out masses, their reconstructions, two lines between two of them, and
            mixtures within the most frequent category.
        """
        dataset, how, random = self.dataset, self.preset.mixing, np.random.default_rng(self.seed)
        held_out, held_labels = labelled_masses(dataset, "validation")
        if not len(held_out):
            held_out, held_labels = labelled_masses(dataset, "train")
        shown = random.choice(len(held_out), SAMPLES, replace=len(held_out) < SAMPLES)
        seeds, seed_labels = labelled_masses(dataset, "train")
        categories, counts = np.unique(seed_labels, axis=0, return_counts=True)
        members = np.flatnonzero((seed_labels == categories[np.argmax(counts)]).all(axis=1))
        members = random.permutation(members)[:SEEDS]
        mixing = category_weights(SAMPLES, len(members), random=random, largest=how.largest_weight)
        if how.spread:
            mixing = spread_weights(mixing)
        real, real_labels = dataset.images((SIZE, SIZE), held_out[shown]), held_labels[shown]
        mixed, mixed_labels = dataset.images((SIZE, SIZE), seeds[members]), seed_labels[members]
        encoder, decoder = (model.ema_generator.get_layer(name) for name in ("encoder", "decoder"))
        line = line_weights(SAMPLES)

        def draw() -> np.ndarray:
            features, of_seeds = (
                encode(encoder, images, margins=labels[:, 1], shapes=labels[:, 0])
                for images, labels in ((real, real_labels), (mixed, mixed_labels))
            )
            rows = [features, line @ features[:2], line @ features[2:4], mixing @ of_seeds]
            masses = decode(decoder, np.concatenate(rows))
            return np.concatenate([real[None], masses.reshape(len(rows), SAMPLES, *masses.shape[1:])])

        return draw

    def finished(self, model: Feature2Mass) -> dict[Path, keras.Model]:
        encoder, decoder = finished_networks(model.ema_generator, self.preset.network, self.margins, self.shapes)
        return {self.stage.folder / ENCODER: encoder, self.stage.folder / DECODER: decoder}
