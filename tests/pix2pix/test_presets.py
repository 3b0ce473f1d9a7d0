"""Presets of pix2pix: the paper's against its text, and additions as switches."""

import pytest

from pix2pix.networks import DROPPED_BLOCKS, KEEP, NetworkConfig, build_discriminator, build_generator
from pix2pix.presets import PRESETS
from pix2pix.settings import ADDITIONS
from training.layers import LEAKY_SLOPE


def adam(preset, name: str) -> list:
    return [pytest.approx(float(getattr(optimizer, name))) for optimizer in preset.optimizers()]


def encoder_filters(preset) -> list[int]:
    return [preset.network.layer_filters(layer) for layer in range(1, preset.network.depth + 1)]


def deviations(preset) -> set[float]:
    """Standard deviations that kernels are drawn with."""
    networks = build_generator(preset.network), build_discriminator(preset.network)
    layers = [layer for network in networks for layer in network.layers if hasattr(layer, "kernel_initializer")]
    return {layer.kernel_initializer.stddev for layer in layers}


PAPER = [  # (setting, the paper's value, where it is printed, our preset's value)
    ("filters of the encoder", [64, 128, 256, *5 * [512]], "appendix", encoder_filters),
    ("convolutions of stride 2 of 70×70 patches", 3, "appendix", lambda p: p.network.discriminator_depth),
    ("slope of LeakyReLU", 0.2, "appendix", lambda p: LEAKY_SLOPE),
    ("share that dropout keeps", 0.5, "appendix", lambda p: KEEP),
    ("blocks of the decoder with dropout", 3, "appendix", lambda p: DROPPED_BLOCKS),
    ("deviation of kernels", {0.02}, "appendix", deviations),
    ("λ", 100, "§4.2", lambda p: p.l1_weight),
    ("learning rate", [2e-4] * 2, "§3.3", lambda p: adam(p, "learning_rate")),
    ("β₁", [0.5] * 2, "§3.3", lambda p: adam(p, "beta_1")),
    ("β₂", [0.999] * 2, "§3.3", lambda p: adam(p, "beta_2")),
    ("batch from 1 to 10", True, "§3.3", lambda p: 1 <= p.batch <= 10),
]


def test_the_paper_preset_differs_from_the_paper_in_nothing():
    preset = PRESETS["paper"]
    found = [(name, wanted, where, read(preset)) for name, wanted, where, read in PAPER]
    assert [one for one in found if one[1] != one[3]] == []


def test_the_paper_preset_has_no_addition():
    assert [name for name, addition in ADDITIONS.items() if addition.present(PRESETS["paper"])] == []


def test_quick_differs_in_size_and_length_and_additions_alone():
    quick, paper = PRESETS["quick"], PRESETS["paper"]
    assert (quick.l1_weight, quick.learning_rate, quick.beta_1) == (paper.l1_weight, paper.learning_rate, paper.beta_1)
    assert quick.network == NetworkConfig(filters=16)
    assert all(addition.present(quick) for addition in ADDITIONS.values())


@pytest.mark.parametrize("addition", sorted(ADDITIONS))
def test_each_addition_can_be_switched_off(addition):
    preset = PRESETS["quick"].changed(without=(addition,))
    assert [name for name, one in ADDITIONS.items() if not one.present(preset)] == [addition]


@pytest.mark.parametrize("length", [0.01, 1.0, 10.6, 11.75])
def test_a_run_takes_as_many_images_as_asked_for(length):
    preset = PRESETS["quick"].changed(length=length)
    assert preset.duration.total_images == pytest.approx(8_000 * length, rel=0.01)


def test_ticks_of_a_longer_run_are_as_long():
    assert PRESETS["quick"].changed(length=2).ticks == 2 * PRESETS["quick"].ticks


def test_size_and_precision_replace_the_preset_s():
    preset = PRESETS["quick"].changed(height=64, precision="mixed_bfloat16")
    assert preset.network.size == (64, 32) and preset.precision == "mixed_bfloat16"
