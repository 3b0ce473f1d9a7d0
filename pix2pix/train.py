"""Training pix2pix from shards of mammograms at one resolution, resumable at any tick.

A run starts from its own newest checkpoint, or from scratch. It leaves

runs/pix2pix/config.json                  settings, the data's checksums
runs/pix2pix/checkpoint-0000024000.h5     the last two
runs/pix2pix/samples-0000024000.png       texture maps, real images, images from four draws of dropout
runs/pix2pix/generator.keras              stock layers; once training is complete
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from pix2pix.networks import NetworkConfig, build_critic, build_generator, finished_generator
from pix2pix.train_step import Pix2Pix
from preprocessing.batches import mammogram_batches
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.shards import Dataset
from training.adam import FusedAdam
from training.checkpoint import restore_checkpoint
from training.cluster import current
from training.export import save_model
from training.noise import stream_seed
from training.run import RunDirectory, check_batch, choose_strategy
from training.trainer import fit

SAMPLE_IMAGES, SAMPLE_DRAWS = 4, 4


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained, but the data and the seed.

    Attributes:
        network: sizes, that of the images included.
        batch: images a step, over all replicas.
        images: real images that training sees, but for rounding: `images_in_run`.
        ticks: status lines, checkpoints and sample grids in the run.
        l1_weight: of the difference of pixels, for images in [−1, 1].
        learning_rate, beta_1: Adam's, for both players; β₂ is 0.999.
        ema_half_life_images: half-life of the generator's moving average; 0: none.
        steps_per_execution: steps that run without returning to Python.
        jitter: random geometry of the reader.
        precision: policy of the hidden layers.
        phantoms: mammograms that are drawn where no data is given.
    """

    name: str
    network: NetworkConfig
    batch: int
    images: int
    ticks: int
    l1_weight: float = 100.0
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    ema_half_life_images: float = 0.0
    steps_per_execution: int = 1
    jitter: bool = True
    precision: str = "float32"
    phantoms: int = 2000

    @property
    def steps_per_tick(self) -> int:
        """Whole executions that cover `images` in `ticks` ticks; at least one."""
        wanted = self.images / (self.batch * self.ticks)
        return max(1, round(wanted / self.steps_per_execution)) * self.steps_per_execution

    @property
    def images_in_run(self) -> int:
        """Images the run really takes: ticks are whole."""
        return self.ticks * self.steps_per_tick * self.batch

    def adam(self) -> keras.optimizers.Adam:
        return FusedAdam(self.learning_rate, beta_1=self.beta_1, beta_2=0.999)

    def lengthened(self, images: int) -> "Preset":
        """The same, trained on so many images."""
        factor = images / self.images
        half_life = self.ema_half_life_images * min(factor, 4.0)
        return replace(self, images=images, ticks=max(1, round(self.ticks * factor)), ema_half_life_images=half_life)


def _paper() -> Preset:
    """Networks, losses and Adam of Isola et al. 2017; images and batch as the last phase of the mask-embedding GAN.

    Isola et al. trained with batches of 1 to 10; Ren et al. 2019 say of theirs only what it was given.
    """
    return Preset("paper", NetworkConfig(), batch=8, images=1_200_000, ticks=60, jitter=False, phantoms=20_000)


def _quick() -> Preset:
    """Minutes on two CPU cores at 512×256: a quarter of the filters, and a moving average (ours)."""
    return Preset(
        "quick",
        NetworkConfig(filters=16),
        batch=4,
        images=8_000,
        ticks=8,
        ema_half_life_images=400,
        steps_per_execution=5,
    )


PRESETS = {"quick": _quick, "paper": _paper}


def chosen_preset(
    name: str, *, height: int | None = None, images: int | None = None, precision: str | None = None
) -> Preset:
    """A preset by name with what a command line may change of it; None keeps the preset's.

    Args:
        name: "quick" or "paper".
        height: of the images, half as wide; a power of two, 8 or more.
        images: real images to train on.
        precision: "float32" or "mixed_bfloat16".
    """
    preset = PRESETS[name]()
    if height is not None:
        preset = replace(preset, network=replace(preset.network, height=height))
    if images is not None:
        preset = preset.lengthened(images)
    return replace(preset, precision=precision) if precision else preset


def train(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    echo: Callable[[str], None] = print,
) -> bool:
    """Train until the preset's end, going on where the run stopped; write generator.keras.

    Args:
        dataset: mammogram shards that hold the preset's resolution.
        run: the run directory, made with `training.run.run_config`.
        preset: networks, losses and length.
        seed: of weights, order of images, jitter and dropout.
        strategy: defaults to all visible GPUs.
        echo: prints status lines.

    Returns:
        False if the run was complete already.

    Raises:
        RunError, CheckpointError, preprocessing.shards.DataError: one clear line each.
    """
    if current().from_chief(run.generator(None).exists):
        return False
    strategy = strategy or choose_strategy()
    check_batch(preset.batch, strategy.num_replicas_in_sync)
    dataset.read(preset.network.size, [])  # a resolution that is not there is an error before networks are built
    with strategy.scope():
        model, images_seen = start(run, preset, seed)
    images_seen = current().same_start(model, images_seen)
    batches = mammogram_batches(
        dataset,
        "train",
        *preset.network.size,
        preset.batch,
        stream_seed(seed, "data"),
        first_image=images_seen,
        jitter=preset.jitter,
        texture_maps=True,
        share=current().share,
    )
    fit(
        model,
        batches,
        run,
        None,
        batch=preset.batch,
        steps_per_tick=preset.steps_per_tick,
        ticks=preset.ticks,
        images_seen=images_seen,
        samples=sampler(dataset, model, preset.network, seed),
        echo=echo,
    )
    if current().is_chief:
        save_model(finished_generator(model.ema_generator, preset.network), run.generator(None))
    return True


def build_model(preset: Preset, seed: int) -> Pix2Pix:
    """The compiled model with fresh networks, the moving average equal to the generator; a function of the seed."""
    keras.utils.set_random_seed(stream_seed(seed, "weights") % 2**31)
    config, dtype = preset.network, preset.precision
    generator = build_generator(config, dtype=dtype)
    average = build_generator(config, dtype=dtype, name="ema_generator")
    average.set_weights(generator.get_weights())
    critic = build_critic(config, dtype=dtype)
    model = Pix2Pix(generator, critic, average, preset.l1_weight, preset.ema_half_life_images, seed)
    model.compile(preset.adam(), preset.adam(), steps_per_execution=preset.steps_per_execution)
    return model


def start(run: RunDirectory, preset: Preset, seed: int) -> tuple[Pix2Pix, int]:
    """The compiled model and the images it has seen; call inside the strategy's scope."""
    model = build_model(preset, seed)
    # 1. this run's own newest whole checkpoint
    for checkpoint in current().checkpoints(run.path):
        return model, restore_checkpoint(checkpoint, model)["images_seen"]
    # 2. scratch
    return model, 0


def sampler(dataset: Dataset, model: Pix2Pix, config: NetworkConfig, seed: int) -> Callable[[], np.ndarray]:
    """Draws the sample grid of a run: the same images and dropout at every tick.

    Returns:
        () → float `(images, 2 + draws, height, width)`: each row a texture map, its real image, then fakes.
    """
    random = np.random.default_rng(seed)
    split = "validation" if len(dataset.indices("validation")) >= SAMPLE_IMAGES else "train"
    indices = random.choice(dataset.indices(split), SAMPLE_IMAGES)
    images, masks = dataset.images(config.size, indices), dataset.masks(config.size, indices)
    texture_maps = np.stack([edge_map(image, mask) for image, mask in zip(images, masks, strict=True)])
    noise = tf.constant(random.integers(0, 2, (SAMPLE_DRAWS, config.noise_size)), tf.float32)

    def draw() -> np.ndarray:
        rows = [model.ema_generator([tf.repeat(shown[None], SAMPLE_DRAWS, 0), noise]) for shown in texture_maps]
        fakes = np.stack([np.asarray(row)[..., 0] for row in rows])
        return np.concatenate([texture_maps[:, None, ..., 0], images[:, None], fakes], axis=1)

    return draw
