"""Training pix2pix from shards of mammograms at one resolution, resumable at any tick.

A run starts from its own newest checkpoint, or from scratch. It leaves

runs/pix2pix/config.json                  settings, the data's checksums
runs/pix2pix/log.jsonl                    one line per tick
runs/pix2pix/starts.jsonl                 one line per start: device, precision, versions
runs/pix2pix/tensorboard/                 the same figures and sample grids
runs/pix2pix/checkpoint-0000024000.h5     the last two
runs/pix2pix/samples-0000024000.png       texture maps, real images, images from four draws of dropout
runs/pix2pix/generator.keras              stock layers; once training is complete
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pix2pix.networks import build_discriminator, build_generator, finished_generator
from pix2pix.settings import Preset
from pix2pix.train_step import Pix2Pix
from preprocessing.batches import mammogram_batches
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.shards import Dataset
from training.cluster import current
from training.drawing import sample_items, sample_sheet
from training.model import Players
from training.noise import stream_seed
from training.run import RunDirectory
from training.trainer import Training, train_stage

SAMPLE_IMAGES, SAMPLE_DRAWS = 4, 4


def train(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    echo: Callable[[str], None] = print,
) -> bool:
    """Train until the preset's end, continuing where the run stopped; write generator.keras.

    Returns:
        False if the run was complete already.

    Raises:
        RunError, CheckpointError, preprocessing.shards.DataError: one clear line each.
    """
    training = Pix2PixTraining(dataset, run, preset, seed)
    if current().from_chief(training.stage.generator.exists):
        return False
    train_stage(training, strategy, echo)
    return True


def build_model(preset: Preset, seed: int) -> Pix2Pix:
    """Build the compiled model with fresh networks, as the seed draws them; the moving average equals the generator."""
    keras.utils.set_random_seed(stream_seed(seed, "weights"))
    config, dtype = preset.network, preset.precision
    generator = build_generator(config, dtype=dtype)
    average = build_generator(config, dtype=dtype, name="ema_generator")
    average.set_weights(generator.get_weights())
    players = Players(generator, build_discriminator(config, dtype=dtype), average)
    model = Pix2Pix(players, preset.l1_weight, preset.ema_half_life_images, seed)
    model.compile(*preset.optimizers(), preset.duration)
    return model


class Pix2PixTraining(Training):
    """Training of pix2pix, from scratch.

    Args:
        dataset: mammogram shards that hold the preset's resolution.
        seed: of weights, order of images, jitter and dropout.
    """

    def __init__(self, dataset: Dataset, run: RunDirectory, preset: Preset, seed: int):
        self.dataset, self.preset, self.seed = dataset, preset, seed
        self.stage, self.duration = run.stage(), preset.duration

    def build(self) -> Pix2Pix:
        return build_model(self.preset, self.seed)

    def batches(self, first_image: int) -> tf.data.Dataset:
        return mammogram_batches(
            self.dataset,
            "train",
            *self.preset.network.size,
            self.preset.batch,
            stream_seed(self.seed, "data"),
            first_image=first_image,
            jitter=self.preset.jitter,
            texture_maps=True,
            share=current().share,
        )

    def sampler(self, model: Pix2Pix) -> Callable[[], np.ndarray]:
        """Draw the sample grid of a run: the same images and dropout at every tick."""
        random, dataset, config = np.random.default_rng(self.seed), self.dataset, self.preset.network
        indices = sample_items(dataset.indices("validation"), dataset.indices("train"), SAMPLE_IMAGES, random)
        images, masks = dataset.images(config.size, indices), dataset.masks(config.size, indices)
        texture_maps = np.stack([edge_map(image, mask) for image, mask in zip(images, masks, strict=True)])
        noise = tf.constant(random.integers(0, 2, (SAMPLE_DRAWS, config.noise_size)), tf.float32)
        return lambda: sample_sheet(texture_maps, images, noise, model.ema_generator)

    def finished(self, model: Pix2Pix) -> dict[Path, keras.Model]:
        return {self.stage.generator: finished_generator(model.ema_generator, self.preset.network)}
