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
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import tensorflow as tf

from feature2mass.features import category_weights, line_weights, spread_weights
from feature2mass.linear_start import start_linearly
from feature2mass.losses import LossWeights
from feature2mass.networks import (
    SIZE,
    NetworkConfig,
    build_critic,
    build_decoder,
    build_discriminator,
    build_encoder,
    build_generator,
    finished_networks,
)
from feature2mass.run_files import DECODER, ENCODER, SOURCE
from feature2mass.texture import Texture, TexturedGAN
from feature2mass.train_step import BiradsGAN
from preprocessing.batches import labelled_masses, mass_batches
from preprocessing.shards import DataError, Dataset
from training.adam import FusedAdam
from training.checkpoint import restore_checkpoint
from training.cluster import current
from training.export import save_model
from training.noise import stream_seed
from training.run import RunDirectory, check_batch, choose_strategy
from training.run import run_config as common_config
from training.trainer import fit

START_EXAMPLES = 256  # masses that decide how the networks start
SAMPLES = 10  # columns of the sample grid
# about the contrast of masses over the strength of their octaves, less for the finest, which is noise in part
AMPLIFIED = (6.0, 4.0, 3.0, 2.0)


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained, but the data and the seed.

    Attributes:
        network: sizes.
        batch: masses a step, over all replicas.
        epochs: passes through the training masses.
        ticks: status lines, checkpoints and sample grids in the run.
        weights: λ₁…λ₄.
        learning_rate: Adam's, for encoder and decoder.
        discriminator_learning_rate: Adam's, for D₁ and D₂.
        beta_1: Adam's, for both players; β₂ is 0.999.
        ema_half_life_images: half-life of the moving average of encoder and decoder.
        steps_per_execution: steps that run without returning to Python.
        precision: policy of the hidden layers.
        augment: random mirror images and crops.
        phantoms: masses that are drawn where no data is given.
        texture: additions to the train step; None: the paper's.
        spread: whether mixtures keep their distance from the mean (ours, `features.spread_weights`).
    """

    name: str
    network: NetworkConfig
    batch: int
    epochs: float
    ticks: int
    weights: LossWeights = field(default_factory=LossWeights)
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    beta_1: float = 0.9
    ema_half_life_images: float = 10_000
    steps_per_execution: int = 1
    precision: str = "float32"
    augment: bool = True
    phantoms: int = 2000
    texture: Texture | None = None
    spread: bool = False

    def steps_per_tick(self, masses: int) -> int:
        """Whole executions that cover `epochs` of so many masses in `ticks` ticks; at least one."""
        wanted = self.epochs * masses / (self.batch * self.ticks)
        return max(1, round(wanted / self.steps_per_execution)) * self.steps_per_execution

    def optimizers(self) -> tuple[keras.optimizers.Adam, keras.optimizers.Adam]:
        """Of encoder and decoder, and of the discriminators."""
        rates = (self.learning_rate, self.discriminator_learning_rate)
        return tuple(FusedAdam(rate, beta_1=self.beta_1, beta_2=0.999) for rate in rates)

    def lengthened(self, factor: float) -> "Preset":
        """The same, trained `factor` times as long."""
        half_life = self.ema_half_life_images * min(factor, 4.0)
        ticks = max(1, round(self.ticks * factor))
        return replace(self, epochs=self.epochs * factor, ticks=ticks, ema_half_life_images=half_life)


def _paper() -> Preset:
    """Lee et al. 2018: batch 512, 8000 epochs, Adam 2e−4, λ 10, 10, 10, 300; some 13,000 steps of 841 masses."""
    return Preset("paper", NetworkConfig(), batch=512, epochs=8000, ticks=200, ema_half_life_images=50_000)


def _quick() -> Preset:
    """Minutes on two CPU cores: narrower, smaller batches, a start that hands images through (`linear_start`).

    From such a start, what discriminators of a few hundred steps say does more harm than good. After 16,000 images at
    λ₄ = 1000 a classifier of phantoms read the margin of 0.755 of the reconstructions rightly (of phantoms: 0.90), and
    held-out L1 was 0.027; after 18,000 at λ₄ = 5000, 0.795 and 0.023. So λ₄ is 5000 and the labels' λ₃ 5; β₁ is 0.5, as
    is usual in such networks (Radford et al. 2016). What mixtures lack is given back after them (`octaves`).
    """
    return Preset(
        "quick",
        NetworkConfig(width=0.5, discriminator_width=0.25),
        batch=32,
        epochs=25,
        ticks=8,
        weights=LossWeights(labels=5.0, reconstruction=5000.0),
        beta_1=0.5,
        ema_half_life_images=3_000,
        steps_per_execution=5,
        spread=True,
    )


def _film() -> Preset:
    """Masses with the texture of films in about four hours of one CPU core, for 800 masses (ours).

    λ₄ begins so high that the discriminators, which know nothing yet, cannot spoil the start, and falls to where their
    verdict counts. 150 CPU seconds at λ₄ = 300 had left a mesh of pixels, and reconstructions twice as far off.
    """
    network = NetworkConfig(
        width=0.5,
        discriminator_width=0.25,
        refined_units=(5, 6),
        noise_units=(5, 6),
        plain_discriminators=True,
    )
    texture = Texture(
        amplification=AMPLIFIED,
        penalty=1.0,
        mixtures=0.5,
        amplified_reconstruction=True,
        final_reconstruction=100.0,
        reconstruction_half_life_images=100_000,
    )
    return Preset(
        "film",
        network,
        batch=16,
        epochs=850,
        ticks=50,
        weights=LossWeights(reconstruction=2000.0, labels=5.0),
        learning_rate=2e-4,
        discriminator_learning_rate=4e-4,
        beta_1=0.5,
        ema_half_life_images=10_000,
        steps_per_execution=5,
        texture=texture,
        spread=True,
    )


PRESETS = {"quick": _quick, "film": _film, "paper": _paper}


def chosen_preset(name: str, *, length: float = 1.0, precision: str | None = None) -> Preset:
    """A preset by name with what a command line may change of it.

    Args:
        name: "quick", "film" or "paper".
        length: factor on the epochs.
        precision: "float32" or "mixed_bfloat16"; None keeps the preset's.
    """
    preset = PRESETS[name]()
    if length != 1.0:
        preset = preset.lengthened(length)
    return replace(preset, precision=precision) if precision else preset


def run_config(preset: Preset, dataset: Dataset, seed: int) -> dict:
    """What decides the result of a run, as JSON: preset, classes, the data's checksums, the seed."""
    classes = {name: dataset.classes(name) for name in ("margin", "shape")}
    return common_config(preset, dataset, seed) | {"classes": classes}


def train(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    echo: Callable[[str], None] = print,
) -> bool:
    """Train until the preset's end, going on where the run stopped; write encoder.keras and decoder.keras.

    Args:
        dataset: mass shards.
        run: the run directory, made with `run_config`.
        preset: networks, losses and length.
        seed: of weights, order of masses, and augmentation.
        strategy: defaults to all visible GPUs.
        echo: prints status lines.

    Returns:
        False if the run was complete already.

    Raises:
        RunError, CheckpointError, preprocessing.shards.DataError: one clear line each.
    """
    if current().from_chief((run.path / DECODER).exists):  # the last to be written
        return False
    strategy = strategy or choose_strategy()
    check_batch(preset.batch, strategy.num_replicas_in_sync)
    masses = len(labelled_masses(dataset, "train")[0])
    if not masses:
        raise DataError(f"{dataset.folder}: has no masses of known shape and margin in its train split")
    if current().is_chief:
        (run.path / SOURCE).write_text(json.dumps({"folder": str(dataset.folder.resolve())}) + "\n")
    with strategy.scope():
        model, images_seen = start(run, preset, dataset, seed)
    images_seen = current().same_start(model, images_seen)
    batches = mass_batches(
        dataset,
        "train",
        preset.batch,
        stream_seed(seed, "data"),
        first_image=images_seen,
        augment=preset.augment,
        share=current().share,
    )
    fit(
        model,
        batches,
        run,
        None,
        batch=preset.batch,
        steps_per_tick=preset.steps_per_tick(masses),
        ticks=preset.ticks,
        images_seen=images_seen,
        samples=sampler(dataset, model, seed, spread=preset.spread),
        echo=echo,
    )
    encoder, decoder = finished_networks(model.ema_generator, preset.network, *_classes(dataset))
    if current().is_chief:
        save_model(encoder, run.path / ENCODER)
        save_model(decoder, run.path / DECODER)
    return True


def build_model(preset: Preset, margins: int, shapes: int, seed: int) -> BiradsGAN:
    """The compiled model with fresh networks, the moving average equal to the generator; a function of the seed."""
    keras.utils.set_random_seed(stream_seed(seed, "weights") % 2**31)
    config, dtype = preset.network, preset.precision

    def generator(name: str) -> keras.Model:
        return build_generator(
            build_encoder(config, margins, shapes, dtype=dtype), build_decoder(config, dtype=dtype), name
        )

    trained, average = generator("generator"), generator("ema_generator")
    average.set_weights(trained.get_weights())
    critic = build_critic(
        build_discriminator(config, margins, "margin_discriminator", dtype=dtype),
        build_discriminator(config, shapes, "shape_discriminator", dtype=dtype),
    )
    players = trained, critic, average, preset.weights, preset.ema_half_life_images
    if preset.texture is None:
        model = BiradsGAN(*players)
    else:
        model = TexturedGAN(*players, texture=preset.texture, spread=preset.spread, batch=preset.batch, seed=seed)
    model.compile(*preset.optimizers(), steps_per_execution=preset.steps_per_execution)
    return model


def _classes(dataset: Dataset) -> tuple[int, int]:
    """Numbers of margins and of shapes."""
    return len(dataset.classes("margin")), len(dataset.classes("shape"))


def start(run: RunDirectory, preset: Preset, dataset: Dataset, seed: int) -> tuple[BiradsGAN, int]:
    """The compiled model and the images it has seen; call inside the strategy's scope."""
    model = build_model(preset, *_classes(dataset), seed)
    # 1. this run's own newest whole checkpoint
    for checkpoint in current().checkpoints(run.path):
        return model, restore_checkpoint(checkpoint, model)["images_seen"]
    # 2. scratch
    examples = labelled_masses(dataset, "train")[0][:START_EXAMPLES]
    images = dataset.images((SIZE, SIZE), examples)
    start_linearly(model.encoder, model.decoder, images)
    model.ema_generator.set_weights(model.generator.get_weights())
    return model, 0


def sampler(dataset: Dataset, model: BiradsGAN, seed: int, spread: bool = False) -> Callable[[], np.ndarray]:
    """Draws the sample grid of a run: the same masses, lines and mixtures at every tick.

    Returns:
        () → float (5, 10, 64, 64): held-out masses, their reconstructions, two lines between two of them, and mixtures
        within the category of which most training masses are known.
    """
    random = np.random.default_rng(seed)
    held_out, held_labels = labelled_masses(dataset, "validation")
    if not len(held_out):
        held_out, held_labels = labelled_masses(dataset, "train")
    shown = random.choice(len(held_out), SAMPLES)
    seeds, seed_labels = labelled_masses(dataset, "train")
    categories, counts = np.unique(seed_labels, axis=0, return_counts=True)
    members = np.flatnonzero((seed_labels == categories[np.argmax(counts)]).all(axis=1))
    members = random.permutation(members)[:20]
    mixing = category_weights(SAMPLES, len(members), random=random)
    if spread:
        mixing = spread_weights(mixing)
    real, inputs = _inputs(dataset, held_out[shown], held_labels[shown])
    _, seed_inputs = _inputs(dataset, seeds[members], seed_labels[members])
    encoder, decoder = (model.ema_generator.get_layer(name) for name in ("encoder", "decoder"))
    line = line_weights(SAMPLES)

    def draw() -> np.ndarray:
        features, of_seeds = np.asarray(encoder(inputs)), np.asarray(encoder(seed_inputs))
        rows = [features, line @ features[:2], line @ features[2:4], mixing @ of_seeds]
        masses = np.asarray(decoder(np.concatenate(rows).astype(np.float32)))[..., 0]
        return np.concatenate([real[None], masses.reshape(len(rows), SAMPLES, *masses.shape[1:])])

    return draw


def _inputs(dataset: Dataset, indices: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """(images (n, 64, 64), [images, one-hot margins, one-hot shapes]) of masses."""
    images = dataset.images((SIZE, SIZE), indices)
    shape, margin = (
        np.eye(len(dataset.classes(name)), dtype=np.float32)[column]
        for name, column in zip(("shape", "margin"), labels.T, strict=True)
    )
    return images, [images[..., None], margin, shape]
