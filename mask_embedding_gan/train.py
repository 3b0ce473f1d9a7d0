"""Progressive training: phase after phase, each grown from the last, resumable at any tick.

A phase starts from, in this order: 1. its own newest checkpoint, 2. the finished phase before it, 3. scratch.
"""

import gc
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from mask_embedding_gan.blocks import NetworkConfig, resolution
from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.generator import build_generator, finished_generator
from mask_embedding_gan.growth import transfer
from mask_embedding_gan.presets import Preset
from mask_embedding_gan.train_step import MaskEmbeddingGAN
from mask_embedding_gan.windows import LevelsBelow, WindowGAN, build_window_block
from preprocessing.batches import mammogram_batches
from preprocessing.shards import Dataset
from training.checkpoint import lighten, read_state, restore_checkpoint, restore_critic, unpack
from training.cluster import current
from training.device import limit_threads
from training.export import save_model
from training.noise import stream_seed
from training.run import RunDirectory, RunError, check_batch, choose_strategy
from training.trainer import fit

SAMPLE_MASKS, SAMPLE_LATENTS = 4, 4


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
        dataset: mammogram shards.
        run: the run directory, made with `training.run.run_config`.
        preset: networks and schedule.
        last_phase: 1…7.
        seed: of weights, order of images, jitter and noise.
        strategy: defaults to all visible GPUs.
        echo: prints status lines.

    Returns:
        The generators of the phases trained now; empty if the run already held them all.

    Raises:
        RunError, CheckpointError, preprocessing.shards.DataError: one clear line each.
    """
    strategy = strategy or choose_strategy()
    trained = []
    phases = range(run.first_phase, last_phase + 1)
    missing = current().from_chief(lambda: [phase for phase in phases if not run.generator(phase).exists()])
    for phase in missing:
        trained.append(_train_phase(dataset, run, preset, phase, seed, strategy, echo))
        keras.backend.clear_session()  # names and graphs of a phase are not needed by the next
        gc.collect()
    return trained


def begin_with(run: RunDirectory, preset: Preset, networks: Path) -> None:
    """Begin a run with the networks of a light checkpoint (`save_networks`); one that has begun is left alone.

    Raises:
        RunError, CheckpointError: the file is no checkpoint of a phase, or of a longer one.
    """
    state = read_state(networks)
    phase = state.get("phase")
    if phase is None:
        raise RunError(f"--networks {networks}: is no checkpoint of a mask-embedding GAN")
    if state["images_seen"] > preset.schedule(phase).images:
        raise RunError(
            f"--networks {networks}: has seen {state['images_seen']} images of phase {phase}, which takes "
            f"{preset.schedule(phase).images} here; use the --preset and --length that it was trained with"
        )
    if any(run.path.glob("phase-*")):
        return
    unpack(networks, run.phase(phase), run.generator(phase - 1))
    run.begin_with(phase)


def save_networks(run: Path, output: Path) -> dict:
    """Write the newest checkpoint of a run as a light one; returns its state.

    Raises:
        RunError: the folder holds no checkpoint.
    """
    found = sorted(run.glob("phase-*/checkpoint-*.h5"))
    if not found:
        raise RunError(f"--run {run}: holds no checkpoint of a phase")
    state = read_state(found[-1])
    phase, settings = state["phase"], json.loads((run / "config.json").read_text())
    windows_from = settings["preset"]["network"].get("windows_from", 0)
    builds_on = run / f"phase-{phase - 1}" / "generator.keras" if 0 < windows_from <= phase else None
    lighten(found[-1], output, builds_on)
    return state


def last_phase_with_these_threads(
    run: RunDirectory, preset: Preset, last_phase: int, strategy: tf.distribute.Strategy
) -> int:
    """Set this process's threads per operation for the next phase; returns the last one that wants the same.

    A later phase should be trained by another process. Where the threads are not ours to set, that is `last_phase`.
    """
    left = [phase for phase in range(run.first_phase, last_phase + 1) if not run.generator(phase).exists()]
    wanted = [preset.schedule(phase).threads_per_operation(preset.network) for phase in left]
    if strategy.num_replicas_in_sync > 1 or not left or wanted[0] is None or not limit_threads(wanted[0]):
        return last_phase
    same = itertools.takewhile(lambda pair: pair[1] == wanted[0], zip(left, wanted, strict=True))
    return max(phase for phase, _ in same)


@dataclass(frozen=True)
class Players:
    """The three networks of one phase."""

    generator: keras.Model
    critic: keras.Model
    ema_generator: keras.Model


def build_players(config: NetworkConfig, phase: int, seed: int, dtype: str = "float32") -> Players:
    """Fresh networks of one phase, the moving average equal to the generator; a function of the seed."""
    keras.utils.set_random_seed(stream_seed(seed, "weights", phase) % 2**31)
    generator = build_generator(config, phase, dtype=dtype)
    ema_generator = build_generator(config, phase, dtype=dtype, name="ema_generator")
    transfer(generator, ema_generator)
    return Players(generator, build_critic(config, phase, dtype=dtype), ema_generator)


def grow(old: Players, new: Players) -> None:
    """Fill the fresh networks of a phase from those of the phase before, as far as both have the same layers."""
    for name in ("generator", "critic", "ema_generator"):
        transfer(getattr(old, name), getattr(new, name))


def compiled(players: Players, preset: Preset, phase: int, seed: int) -> MaskEmbeddingGAN:
    schedule = preset.schedule(phase)
    model = MaskEmbeddingGAN(players.generator, players.critic, players.ema_generator, schedule, seed, preset.diversity)
    model.compile(*schedule.optimizers(), steps_per_execution=schedule.steps_per_execution)
    return model


def start_phase(run: RunDirectory, preset: Preset, phase: int, seed: int) -> tuple[MaskEmbeddingGAN, int]:
    """The compiled model of a phase and the images it has seen; call inside the strategy's scope."""
    players = build_players(preset.network, phase, seed, preset.precision)
    model = compiled(players, preset, phase, seed)
    # 1. this phase's own newest whole checkpoint
    for checkpoint in current().checkpoints(run.phase(phase)):
        return model, restore_checkpoint(checkpoint, model)["images_seen"]
    # 2. the finished phase before it
    if phase > 1:
        before = build_players(preset.network, phase - 1, seed, preset.precision)
        restore_checkpoint(_final_checkpoint(run, phase - 1), compiled(before, preset, phase - 1, seed))
        grow(before, players)
    # 3. scratch
    return model, 0


def windows_model(previous: keras.Model, preset: Preset, phase: int, seed: int) -> WindowGAN:
    """The compiled model of a phase on windows, its block and critic as drawn.

    Args:
        previous: the finished generator of the phase before.
    """
    network, schedule = preset.network, preset.schedule(phase)
    below = LevelsBelow(previous, network, phase)
    keras.utils.set_random_seed(stream_seed(seed, "weights", phase) % 2**31)
    block, ema_block = (
        build_window_block(network, phase, *below.window, dtype=preset.precision, name=name)
        for name in ("generator", "ema_generator")
    )
    transfer(block, ema_block)
    critic = build_critic(network, below.whole, dtype=preset.precision)
    model = WindowGAN(block, critic, ema_block, below, schedule, seed)
    model.compile(*schedule.optimizers(), steps_per_execution=schedule.steps_per_execution)
    return model


def start_windows(run: RunDirectory, preset: Preset, phase: int, seed: int) -> tuple[WindowGAN, int]:
    """As `start_phase`, of a phase on windows; the critic continues from the phase before."""
    model = windows_model(keras.models.load_model(run.generator(phase - 1)), preset, phase, seed)
    for checkpoint in current().checkpoints(run.phase(phase)):
        return model, restore_checkpoint(checkpoint, model)["images_seen"]
    restore_critic(_final_checkpoint(run, phase - 1), model.critic)
    return model, 0


def _final_checkpoint(run: RunDirectory, phase: int) -> Path:
    """Of a complete phase."""
    final = current().checkpoints(run.phase(phase))
    if not final:
        raise RunError(
            f"--run {run.path}: phase {phase} is complete but its checkpoint is gone; "
            f"remove {run.phase(phase)} to train it again"
        )
    return final[0]


def _train_phase(
    dataset: Dataset,
    run: RunDirectory,
    preset: Preset,
    phase: int,
    seed: int,
    strategy: tf.distribute.Strategy,
    echo: Callable[[str], None],
) -> Path:
    schedule = preset.schedule(phase)
    height, width = resolution(phase)
    group = preset.network.group_size
    check_batch(schedule.batch, strategy.num_replicas_in_sync, what=f"phase {phase}: ", group=group)
    windows = preset.network.has_windows(phase)
    with strategy.scope():
        model, images_seen = (start_windows if windows else start_phase)(run, preset, phase, seed)
    images_seen = current().same_start(model, images_seen)
    batches = mammogram_batches(
        dataset,
        "train",
        height,
        width,
        schedule.batch,
        stream_seed(seed, "data", phase),
        first_image=images_seen,
        jitter=preset.jitter,
        share=current().share,
    )
    fit(
        model,
        batches,
        run,
        phase,
        batch=schedule.batch,
        steps_per_tick=schedule.steps_per_tick,
        ticks=schedule.ticks,
        images_seen=images_seen,
        samples=sampler(dataset, model, height, width, seed),
        describe=lambda: {} if windows else {"alpha": _alpha(model)},
        echo=echo,
    )
    generator = model.finished() if windows else finished_generator(model.ema_generator, preset.network, phase)
    if current().is_chief:
        save_model(generator, run.generator(phase))
    return run.generator(phase)


def _alpha(model: MaskEmbeddingGAN) -> float:
    return float(model.schedule.alpha(int(np.asarray(model.iterations)) * model.schedule.batch))


def sampler(dataset: Dataset, model: MaskEmbeddingGAN, height: int, width: int, seed: int) -> Callable[[], np.ndarray]:
    """Draws the sample grid of a run: the same masks and latents at every tick and, but for the size, every phase.

    Returns:
        () → float `(masks, 2 + latents, height, width)`: each row a mask, a real image, then fakes.
    """
    split = "validation" if len(dataset.indices("validation")) >= SAMPLE_MASKS else "train"
    indices = np.random.default_rng(seed).choice(dataset.indices(split), SAMPLE_MASKS)
    images = dataset.images((height, width), indices)
    masks = dataset.masks((height, width), indices).astype(np.float32)
    latents = np.random.default_rng(seed).standard_normal((SAMPLE_LATENTS, model.latent_size))
    latents = tf.constant(latents, tf.float32)

    def draw() -> np.ndarray:
        if isinstance(model, WindowGAN):
            generator, inputs = model.finished(), [latents]
        else:
            generator, inputs = model.ema_generator, [latents, tf.constant([_alpha(model)])]
        rows = [
            generator([tf.repeat(mask[None, ..., None], SAMPLE_LATENTS, 0), *inputs]) for mask in tf.constant(masks)
        ]
        fakes = np.stack([np.asarray(row)[..., 0] for row in rows])
        return np.concatenate([masks[:, None], images[:, None], fakes], axis=1)

    return draw
