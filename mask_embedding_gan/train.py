"""Progressive training: phase after phase, each grown from the last, resumable at any tick.

A phase starts from, in this order: 1. its own newest checkpoint, 2. the finished phase before it, 3. scratch.
"""

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mask_embedding_gan.blocks import resolution
from mask_embedding_gan.generator import finished_generator
from mask_embedding_gan.handover import first_phase, stage
from mask_embedding_gan.players import build_players, compiled, grow, windows_model
from mask_embedding_gan.schedule import Preset
from mask_embedding_gan.spectrum import IDENTITY, NoRoomError, level_spectrum, with_filter
from mask_embedding_gan.train_step import MaskEmbeddingGAN
from mask_embedding_gan.windows import WindowGAN, layers_below
from preprocessing.batches import mammogram_batches
from preprocessing.shards import Dataset
from training.checkpoint import DamagedCheckpointError, checkpoints, restore_checkpoint, restore_discriminator
from training.cluster import current
from training.device import ALL_CORES, limit_threads
from training.drawing import sample_items, sample_sheet
from training.export import open_model
from training.noise import stream_seed
from training.run import RunDirectory, RunError, choose_strategy
from training.trainer import Training, train_stage

SAMPLE_MASKS, SAMPLE_LATENTS = 4, 4
LEVELLED_FROM = 6  # phase, of generators that get a filter at their end


def train(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    last_phase: int,
    *,
    seed: int = 0,
    strategy: tf.distribute.Strategy | None = None,
    echo: Callable[[str], None] = print,
) -> list[Path]:
    """Train every phase up to `last_phase` that the run does not hold yet.

    Args:
        seed: of weights, order of images, jitter and noise.
        strategy: the devices. Defaults to those of `training.run.choose_strategy`, which may be on several hosts.

    Returns:
        The generators of the phases trained now; empty if the run already held them all.

    Raises:
        RunError, CheckpointError, preprocessing.shards.DataError: one clear line each.
    """
    check_levels(dataset, last_phase)
    strategy = strategy or choose_strategy()
    trained = []
    for phase in current().from_chief(lambda: phases_left(run, preset, last_phase)):
        windows = preset.network.has_windows(phase)
        kind = WindowsTraining if windows else PhaseTraining
        train_stage(kind(dataset, run, preset, phase, seed, echo), strategy, echo)
        trained.append(stage(run, phase).generator)
        keras.backend.clear_session()  # names and graphs of a phase are not needed by the next
        gc.collect()
    return trained


def check_levels(dataset: Dataset, last_phase: int) -> None:
    """Check that a dataset has the images of every phase, before the first is trained.

    Raises:
        preprocessing.shards.DataError: it has not; one clear line.
    """
    for phase in range(1, last_phase + 1):
        dataset.check_level(resolution(phase))


def phases_left(run: RunDirectory, preset: Preset, last_phase: int) -> list[int]:
    """List the phases up to `last_phase` that the run does not hold yet.

    Raises:
        RunError: the run cannot train them; one clear line.
    """
    first = first_phase(run)
    if last_phase < first:
        raise RunError(f"--phase {last_phase}: {run.path} begins with phase {first}; give --phase {first} or higher")
    left = [phase for phase in range(first, last_phase + 1) if not stage(run, phase).generator.exists()]
    if first > 1 and first in left and not checkpoints(stage(run, first).folder):
        raise RunError(f"--run {run.path}: its networks of phase {first} are missing; give --networks again")
    network = preset.network
    if any(map(network.has_windows, left)) and "keeps_averages" not in run.recorded["preset"]["network"]:
        raise RunError(
            f"--run {run.path}: began before keeps_averages existed, and the loss that its windows (from phase "
            f"{network.windows_from} on) had instead is gone; give --phase {network.windows_from - 1} or another --run"
        )
    return left


def last_phase_with_these_threads(
    run: RunDirectory, preset: Preset, last_phase: int, strategy: tf.distribute.Strategy
) -> int:
    """Set this process's threads per operation for the next phase, and return the last one that wants the same.

    A later phase is for another process, so that a run that is interrupted there continues with the same threads. Where
    the threads are not ours to set, that is `last_phase`.

    Raises:
        RunError: as `phases_left`.
    """
    left = phases_left(run, preset, last_phase)
    wanted = [preset.schedule(phase).threads_per_operation(preset.network) or ALL_CORES for phase in left]
    if strategy.num_replicas_in_sync > 1 or not left or not limit_threads(wanted[0]):
        return last_phase
    same = itertools.takewhile(lambda pair: pair[1] == wanted[0], zip(left, wanted, strict=True))
    return max(phase for phase, _ in same)


class PhaseTraining(Training):
    """Training of a phase on whole images."""

    def __init__(
        self,
        dataset: Dataset,
        run: RunDirectory,
        preset: Preset,
        phase: int,
        seed: int,
        echo: Callable[[str], None] = print,
    ):
        self.dataset, self.run, self.preset, self.phase, self.seed = dataset, run, preset, phase, seed
        self.echo = echo
        self.stage, self.duration = stage(run, phase), preset.schedule(phase).duration
        self.group_size = preset.network.group_size

    def build(self) -> MaskEmbeddingGAN:
        return self._built(self.phase)

    def _built(self, phase: int) -> MaskEmbeddingGAN:
        players = build_players(self.preset.network, phase, self.seed, self.preset.precision)
        return compiled(players, self.preset, phase, self.seed)

    def begin(self, model: MaskEmbeddingGAN) -> None:
        if self.phase == 1:
            return
        before = self._built(self.phase - 1)
        with final_checkpoint(self.run, self.phase - 1) as checkpoint:
            restore_checkpoint(checkpoint, before)
        grow(before, model)

    def batches(self, first_image: int) -> tf.data.Dataset:
        return mammogram_batches(
            self.dataset,
            "train",
            *resolution(self.phase),
            self.duration.batch,
            stream_seed(self.seed, "data", self.phase),
            first_image=first_image,
            jitter=self.preset.jitter,
            share=current().share,
        )

    def sampler(self, model: MaskEmbeddingGAN) -> Callable[[], np.ndarray]:
        samples = self.samples(model.latent_size)
        return lambda: sample_sheet(*samples, model.ema_generator, tf.constant([model.alpha]))

    def samples(self, latent_size: int) -> tuple[np.ndarray, np.ndarray, tf.Tensor]:
        """Choose what `sample_sheet` shows: the same at every tick and, but for the size, in every phase.

        Returns:
            (masks (masks, height, width, 1), images (masks, height, width) in [0, 1], latents (latents, latent size)),
            float32.
        """
        held_out, trained = (self.dataset.indices(split) for split in ("validation", "train"))
        indices = sample_items(held_out, trained, SAMPLE_MASKS, np.random.default_rng(self.seed))
        level = resolution(self.phase)
        masks = self.dataset.masks(level, indices).astype(np.float32)
        latents = np.random.default_rng(self.seed).standard_normal((SAMPLE_LATENTS, latent_size))
        return masks[..., None], self.dataset.images(level, indices), tf.constant(latents, tf.float32)

    def fields(self, model: MaskEmbeddingGAN) -> dict[str, float]:
        return {"alpha": model.alpha}

    def finished(self, model: MaskEmbeddingGAN) -> dict[Path, keras.Model]:
        return {self.stage.generator: self.levelled(self.generator(model))}

    def generator(self, model: MaskEmbeddingGAN) -> keras.Model:
        """Return the generator a user loads, without the filter of `levelled`."""
        return finished_generator(model.ema_generator, self.preset.network, self.phase)

    def levelled(self, generator: keras.Model) -> keras.Model:
        """Return the generator, with a filter where preset and phase have one and a breast has room to measure it."""
        inner = self.preset.network.levelled and self.phase == self.preset.network.windows_from - 1
        if not inner and (not self.preset.level_spectrum or self.phase < LEVELLED_FROM):
            return generator
        image = f"image_{self.phase}" if inner else "image"
        try:
            return level_spectrum(generator, self.dataset, self.seed, image)
        except NoRoomError as error:
            if current().is_chief:
                self.echo(f"{self.stage.title}{error}, so the generator gets no filter that levels its spectrum")
            return with_filter(generator, IDENTITY, image) if inner else generator


class WindowsTraining(PhaseTraining):
    """Training of a phase on windows; the critic continues from the phase before."""

    def build(self) -> WindowGAN:
        file = stage(self.run, self.phase - 1).generator
        previous = open_model(file)
        if not {layer.name for layer in previous.layers}.issuperset(layers_below(self.preset.network)):
            raise RunError(f"{file}: was trained without levelled; give --without levelled and another --run")
        return windows_model(previous, self.preset, self.phase, self.seed)

    def begin(self, model: WindowGAN) -> None:
        with final_checkpoint(self.run, self.phase - 1) as checkpoint:
            restore_discriminator(checkpoint, model.discriminator)

    def sampler(self, model: WindowGAN) -> Callable[[], np.ndarray]:
        samples = self.samples(model.latent_size)
        return lambda: sample_sheet(*samples, model.finished())

    def fields(self, model: WindowGAN) -> dict[str, float]:
        return {}

    def generator(self, model: WindowGAN) -> keras.Model:
        return model.finished()


@contextmanager
def final_checkpoint(run: RunDirectory, phase: int) -> Iterator[Path]:
    """Yield the newest checkpoint of a complete phase.

    Raises:
        RunError: it is gone, or turns out to be damaged.
    """
    folder = stage(run, phase).folder
    final = current().checkpoints(folder)
    if not final:
        raise RunError(
            f"--run {run.path}: phase {phase} is complete but its checkpoint is gone; remove {folder} to train it again"
        )
    try:
        yield final[0]
    except DamagedCheckpointError as error:
        raise RunError(
            f"{error}; delete it and {stage(run, phase).generator} to train the end of phase {phase} again"
        ) from error
