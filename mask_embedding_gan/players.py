"""The networks of one phase: as drawn, grown from the phase before, compiled into a model."""

import keras

from mask_embedding_gan.blocks import NetworkConfig
from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.generator import build_generator
from mask_embedding_gan.growth import transfer
from mask_embedding_gan.schedule import Preset
from mask_embedding_gan.train_step import MaskEmbeddingGAN
from mask_embedding_gan.windows import LevelsBelow, WindowGAN, build_window_block
from training.model import AdversarialModel, Players
from training.noise import stream_seed


def build_players(config: NetworkConfig, phase: int, seed: int, dtype: str = "float32") -> Players:
    """Build fresh networks of one phase, the moving average equal to the generator; a function of the seed.

    Args:
        dtype: policy of the hidden layers, "float32" or "mixed_bfloat16".
    """
    keras.utils.set_random_seed(stream_seed(seed, "weights", phase))
    generator = build_generator(config, phase, dtype=dtype)
    ema_generator = build_generator(config, phase, dtype=dtype, name="ema_generator")
    transfer(generator, ema_generator)
    return Players(generator, build_critic(config, phase, dtype=dtype), ema_generator)


def grow(old: Players | AdversarialModel, new: Players | AdversarialModel) -> None:
    """Fill the fresh networks of a phase from those of the phase before, as far as both have the same layers."""
    for name in Players._fields:
        transfer(getattr(old, name), getattr(new, name))


def compiled(players: Players, preset: Preset, phase: int, seed: int) -> MaskEmbeddingGAN:
    """Build the model of a phase on whole images."""
    schedule = preset.schedule(phase)
    model = MaskEmbeddingGAN(players, schedule, seed, preset.diversity)
    model.compile(*schedule.optimizers(), schedule.duration)
    return model


def windows_model(previous: keras.Model, preset: Preset, phase: int, seed: int) -> WindowGAN:
    """Build the compiled model of a phase on windows, its block and critic as drawn.

    Args:
        previous: the finished generator of the phase before.
    """
    network, schedule = preset.network, preset.schedule(phase)
    below = LevelsBelow(previous, network, phase)
    keras.utils.set_random_seed(stream_seed(seed, "weights", phase))
    block, ema_block = (
        build_window_block(network, phase, *below.window, dtype=preset.precision, name=name)
        for name in ("generator", "ema_generator")
    )
    transfer(block, ema_block)
    critic = build_critic(network, below.whole, dtype=preset.precision)
    model = WindowGAN(Players(block, critic, ema_block), below, schedule, seed)
    model.compile(*schedule.optimizers(), schedule.duration)
    return model
