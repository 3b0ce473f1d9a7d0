"""Growing: the old function at alpha 0, nothing of the old path at alpha 1, no old weight touched."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tiny

from mask_embedding_gan.growth import weights_by_name
from mask_embedding_gan.players import build_players, grow
from training.model import Players

PHASES = pytest.mark.parametrize("phase", [2, 3, 7])
ZERO, ONE = np.zeros(1, np.float32), np.ones(1, np.float32)


def halved(x: np.ndarray) -> np.ndarray:
    """2×2 averages, (n, height, width, 1)."""
    n, height, width, _ = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, 1).mean((2, 4))


def doubled(x) -> np.ndarray:
    return np.repeat(np.repeat(np.asarray(x), 2, axis=1), 2, axis=2)


def old_players(phase: int, config=tiny.NETWORK) -> Players:
    """Networks of a phase with a past: all weights changed, the moving average another than the generator."""
    old = build_players(config, phase, seed=0)
    for number, model in enumerate((old.generator, old.discriminator)):
        tiny.randomise(model, number)
    for mean, weight in zip(old.ema_generator.weights, old.generator.weights, strict=True):
        mean.assign(0.9 * weight)
    return old


@pytest.fixture(scope="module")
def grown():
    """(old, new) players by the new phase."""
    made = {}

    def of(phase: int) -> tuple[Players, Players]:
        if phase not in made:
            old, new = old_players(phase - 1), build_players(tiny.NETWORK, phase, seed=0)
            grow(old, new)
            made[phase] = old, new
        return made[phase]

    return of


# --- alpha 0: the old function ------------------------------------------------------------------


@PHASES
def test_at_alpha_0_the_generator_gives_the_old_image_doubled(grown, phase):
    old, new = grown(phase)
    _, masks, latents = tiny.inputs(phase)
    wanted = doubled(old.generator([halved(masks), latents, ONE]))
    np.testing.assert_allclose(new.generator([masks, latents, ZERO]), wanted, rtol=1e-5, atol=1e-5)


@PHASES
def test_at_alpha_0_the_moving_average_gives_its_old_image_doubled(grown, phase):
    old, new = grown(phase)
    _, masks, latents = tiny.inputs(phase)
    wanted = doubled(old.ema_generator([halved(masks), latents, ONE]))
    np.testing.assert_allclose(new.ema_generator([masks, latents, ZERO]), wanted, rtol=1e-5, atol=1e-5)


@PHASES
def test_at_alpha_0_the_critic_scores_as_the_old_one_on_averages(grown, phase):
    old, new = grown(phase)
    images, masks, _ = tiny.inputs(phase)
    wanted = old.discriminator([halved(images), halved(masks), ONE])
    np.testing.assert_allclose(new.discriminator([images, masks, ZERO]), wanted, rtol=1e-5, atol=1e-5)


# --- alpha 1: the new function alone ------------------------------------------------------------


def changes(model: keras.Model, layer: str, call) -> float:
    """The largest change of what `call` gives when a layer's weights are replaced by noise."""
    before, weights = np.asarray(call()), model.get_layer(layer).get_weights()
    rng = np.random.default_rng(5)
    model.get_layer(layer).set_weights([rng.standard_normal(weight.shape) for weight in weights])
    after = np.asarray(call())
    model.get_layer(layer).set_weights(weights)
    return np.abs(after - before).max()


@pytest.mark.parametrize("layer", ["from_mask_{}", "to_image_{}"])
@pytest.mark.parametrize("alpha, seen", [(ONE, False), (0.5 * ONE, True)], ids=["alpha 1", "alpha 0.5"])
@PHASES
def test_the_generator_s_fade_path_is_seen_only_below_alpha_1(grown, phase, layer, alpha, seen):
    model = grown(phase)[1].generator
    _, masks, latents = tiny.inputs(phase)
    change = changes(model, layer.format(phase - 1), lambda: model([masks, latents, alpha]))
    assert change > 1e-2 if seen else change < 1e-5


@pytest.mark.parametrize("alpha, seen", [(ONE, False), (0.5 * ONE, True)], ids=["alpha 1", "alpha 0.5"])
@PHASES
def test_the_critic_s_fade_path_is_seen_only_below_alpha_1(grown, phase, alpha, seen):
    model = grown(phase)[1].discriminator
    images, masks, _ = tiny.inputs(phase)
    change = changes(model, f"from_image_{phase - 1}", lambda: model([images, masks, alpha]))
    assert change > 1e-2 if seen else change < 1e-5


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])
@PHASES
def test_no_old_weight_changes_on_growing(grown, phase, player):
    old, new = (weights_by_name(getattr(players, player)) for players in grown(phase))
    for name in old.keys() & new.keys():
        np.testing.assert_array_equal(new[name], old[name], err_msg=name)


@pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])
@PHASES
def test_nothing_is_left_behind_but_the_last_fade_in(grown, phase, player):
    old, new = (weights_by_name(getattr(players, player)) for players in grown(phase))
    left = {name.split("/")[0] for name in old.keys() - new.keys()}
    assert left <= {f"from_mask_{phase - 2}", f"to_image_{phase - 2}", f"from_image_{phase - 2}"}


def test_growing_leaves_the_old_networks_alone():
    old = old_players(1)
    before = [weight.copy() for model in (old.generator, old.discriminator) for weight in model.get_weights()]
    grow(old, build_players(tiny.NETWORK, 2, 0))
    after = [weight for model in (old.generator, old.discriminator) for weight in model.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("phase", [2, 3])
def test_the_baseline_grows_too(phase):
    config = tiny.NETWORK.without_embedding()
    old, new = old_players(phase - 1, config), build_players(config, phase, seed=0)
    grow(old, new)
    _, masks, _ = tiny.inputs(phase)
    latents = np.random.default_rng(0).standard_normal((4, config.latent_size), np.float32)
    wanted = doubled(old.generator([halved(masks), latents, ONE]))
    np.testing.assert_allclose(new.generator([masks, latents, ZERO]), wanted, rtol=1e-5, atol=1e-5)


@PHASES
def test_only_the_new_block_and_its_1x1_convolutions_are_new(grown, phase):
    old, new = grown(phase)
    added = set(weights_by_name(new.generator)) - set(weights_by_name(old.generator))
    assert {name.split("/")[0] for name in added} == {
        f"{layer}_{phase}" if "{}" not in layer else layer.format(phase)
        for layer in ("latent", "mask", "to_image", "from_mask", "latent_{}_norm")
    }
    added = set(weights_by_name(new.discriminator)) - set(weights_by_name(old.discriminator))
    assert {name.split("/")[0] for name in added} == {f"critic_{phase}", f"from_image_{phase}"}


def test_names_are_unique():
    players = build_players(tiny.NETWORK, 3, seed=0)
    for model in (players.generator, players.discriminator):
        assert len(weights_by_name(model)) == len(model.weights)


@PHASES
def test_the_moving_average_gets_the_same_new_block_as_the_generator(grown, phase):
    generator, mean = (weights_by_name(model) for model in (grown(phase)[1].generator, grown(phase)[1].ema_generator))
    for layer in (f"latent_{phase}", f"mask_{phase}", f"to_image_{phase}"):
        np.testing.assert_array_equal(generator[f"{layer}/kernel"], mean[f"{layer}/kernel"])


def test_fresh_players_start_with_the_average_equal_to_the_generator():
    players = build_players(tiny.NETWORK, 2, seed=0)
    for a, b in zip(players.generator.get_weights(), players.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fresh_players_are_a_function_of_the_seed():
    first, same, other = (build_players(tiny.NETWORK, 2, seed).discriminator.get_weights()[0] for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


# --- a sum over levels grows by construction ----------------------------------------------------


@pytest.mark.parametrize("player", ["generator", "ema_generator"])
def test_a_sum_over_levels_starts_as_the_old_image_enlarged(player):
    config = replace(tiny.FILM, times_mask=False)
    old, new = old_players(1, config), build_players(config, 2, seed=0)
    grow(old, new)
    _, masks, latents = tiny.inputs(2)
    enlarge = keras.layers.UpSampling2D(2, interpolation="bilinear")
    wanted = enlarge(getattr(old, player)([halved(masks), latents, ZERO]))
    np.testing.assert_allclose(getattr(new, player)([masks, latents, ZERO]), wanted, atol=1e-5)
