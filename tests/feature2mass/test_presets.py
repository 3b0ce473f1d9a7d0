"""Presets of Feature2Mass: the paper's against its text, and additions as switches."""

from functools import lru_cache

import pytest
from keras.layers import BatchNormalization, Conv2D, Conv2DTranspose, Dense, LeakyReLU

from feature2mass.networks import FEATURES, NetworkConfig, build_decoder, build_discriminator, build_encoder
from feature2mass.presets import PRESETS
from feature2mass.settings import ADDITIONS, Mixing, mixing_of
from training.additions import PresetError


def adam(preset, name: str) -> list:
    return [getattr(optimizer, name) for optimizer in preset.optimizers()]


@lru_cache
def networks(preset) -> list:
    config = preset.network
    return [build_encoder(config, 5, 4), build_decoder(config), build_discriminator(config, 5, "margin_discriminator")]


def counted(preset, kind: type, which: int) -> int:
    return sum(type(layer) is kind for layer in networks(preset)[which].layers)


def modules(preset) -> list[list[type]]:
    """Kinds of layers of each network in order, three by three, embeddings and dense layers left out."""
    found = []
    for network in networks(preset):
        layers = [layer for layer in network.layers if "embedding" not in layer.name and "dense" not in layer.name]
        kinds = [
            type(layer) for layer in layers if type(layer) in (LeakyReLU, Conv2D, Conv2DTranspose, BatchNormalization)
        ]
        found += [kinds[first : first + 3] for first in range(0, len(kinds), 3)]
    return found


def in_order(preset) -> bool:
    """Whether each module is LeakyReLU, a convolution, batch normalisation."""
    wanted = ([LeakyReLU, Conv2D, BatchNormalization], [LeakyReLU, Conv2DTranspose, BatchNormalization])
    return all(module in wanted for module in modules(preset))


PAPER = [  # (setting, the paper's value, where it is printed, our preset's value)
    ("visual feature", 1024, "§2.1", lambda p: FEATURES),
    ("convolutions of the encoder", 7, "§3.2", lambda p: counted(p, Conv2D, 0)),
    ("transposed convolutions of the decoder", 7, "§3.2", lambda p: counted(p, Conv2DTranspose, 1)),
    ("convolutions of a discriminator", 10, "§3.2", lambda p: counted(p, Conv2D, 2)),
    ("fully connected layers of a discriminator", 3, "§3.2", lambda p: counted(p, Dense, 2)),
    ("fully connected layers of both embeddings", 4, "§3.2", lambda p: counted(p, Dense, 0)),
    ("modules of LeakyReLU, convolution, BatchNorm", 7 + 7 + 10, "§3.2", lambda p: len(modules(p))),
    ("each of them in this order", True, "§3.2", in_order),
    ("λ₁…λ₄", (10, 10, 10, 300), "§3.2", lambda p: tuple(vars(p.weights).values())),
    ("batch", 512, "§3.2", lambda p: p.batch),
    ("epochs", 8000, "§3.2", lambda p: p.epochs),
    ("learning rate", [2e-4] * 2, "§3.2", lambda p: [p.learning_rate, p.discriminator_learning_rate]),
    ("β₁, PyTorch's default", [0.9] * 2, "§3.2", lambda p: adam(p, "beta_1")),
    ("β₂, PyTorch's default", [0.999] * 2, "§3.2", lambda p: adam(p, "beta_2")),
    ("ε, PyTorch's default", [1e-8] * 2, "§3.2", lambda p: adam(p, "epsilon")),
    ("flips and crops", True, "§3.2", lambda p: p.augment),
    ("weights sum to 1 and nothing else", Mixing(False, False, 1.0), "§3.4", lambda p: p.mixing),
]


def test_the_paper_preset_differs_from_the_paper_in_nothing():
    preset = PRESETS["paper"]
    found = [(name, wanted, where, read(preset)) for name, wanted, where, read in PAPER]
    assert [one for one in found if one[1] != one[3]] == []


def test_the_paper_preset_has_no_addition():
    assert [name for name, addition in ADDITIONS.items() if addition.present(PRESETS["paper"])] == []


def test_the_paper_takes_some_13000_steps_of_841_masses():
    assert PRESETS["paper"].duration(841).steps == pytest.approx(8000 * 841 / 512, rel=0.02)


def test_defaults_are_the_paper_s():
    assert PRESETS["paper"].network == NetworkConfig()


def additions_of(preset) -> list[str]:
    return [name for name, addition in ADDITIONS.items() if addition.present(preset)]


def test_every_addition_is_in_a_preset():
    assert {*additions_of(PRESETS["quick"]), *additions_of(PRESETS["film"])} == {*ADDITIONS}


@pytest.mark.parametrize("addition", sorted(ADDITIONS))
def test_each_addition_can_be_switched_off(addition):
    builds_on_it = [name for name, one in ADDITIONS.items() if addition in one.needs]
    preset = next(PRESETS[name] for name in ("quick", "film") if addition in additions_of(PRESETS[name]))
    left = additions_of(preset.changed(without=(addition, *builds_on_it)))
    assert left == [name for name in additions_of(preset) if name not in (addition, *builds_on_it)]


def test_a_linear_start_needs_plain_ends():
    with pytest.raises(PresetError, match="linear_start needs plain_ends"):
        PRESETS["quick"].changed(without=("plain_ends",))


def test_length_multiplies_the_epochs():
    assert PRESETS["quick"].changed(length=3).epochs == 3 * PRESETS["quick"].epochs


def test_precision_replaces_the_preset_s():
    assert PRESETS["quick"].changed(precision="mixed_bfloat16").precision == "mixed_bfloat16"


def test_a_run_without_a_choice_of_mixing_has_all_additions():
    assert mixing_of({"preset": {"name": "quick"}}) == Mixing(True, True, 0.6)
    assert mixing_of({"preset": {"mixing": {"octaves": False}}}) == Mixing(False, True, 0.6)
