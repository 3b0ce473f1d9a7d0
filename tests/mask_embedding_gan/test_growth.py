"""Growing: the old function at alpha 0, nothing of the old path at alpha 1, no old weight touched."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tiny

from mask_embedding_gan.blocks import FIRST_DETAIL
from mask_embedding_gan.growth import ANCHOR, transfer, weights_by_name
from mask_embedding_gan.progressive import Players, build_players, grow
from training.detail import finest_detail

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
    for number, model in enumerate((old.generator, old.critic)):
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
            grow(old, new, phase, seed=0)
            made[phase] = old, new
        return made[phase]

    return of


def correlation(a, b) -> float:
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


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
    wanted = old.critic([halved(images), halved(masks), ONE])
    np.testing.assert_allclose(new.critic([images, masks, ZERO]), wanted, rtol=1e-5, atol=1e-5)


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
    model = grown(phase)[1].critic
    images, masks, _ = tiny.inputs(phase)
    change = changes(model, f"from_image_{phase - 1}", lambda: model([images, masks, alpha]))
    assert change > 1e-2 if seen else change < 1e-5


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("player", ["generator", "critic", "ema_generator"])
@PHASES
def test_no_old_weight_changes_on_growing(grown, phase, player):
    old, new = (weights_by_name(getattr(players, player)) for players in grown(phase))
    for name in old.keys() & new.keys():
        np.testing.assert_array_equal(new[name], old[name], err_msg=name)


@pytest.mark.parametrize("player", ["generator", "critic", "ema_generator"])
@PHASES
def test_nothing_is_left_behind_but_the_last_fade_in(grown, phase, player):
    old, new = (weights_by_name(getattr(players, player)) for players in grown(phase))
    left = {name.split("/")[0] for name in old.keys() - new.keys()}
    assert left <= {f"from_mask_{phase - 2}", f"to_image_{phase - 2}", f"from_image_{phase - 2}"}


def test_growing_leaves_the_old_networks_alone():
    old = old_players(1)
    before = [weight.copy() for model in (old.generator, old.critic) for weight in model.get_weights()]
    grow(old, build_players(tiny.NETWORK, 2, 0), 2, seed=0)
    after = [weight for model in (old.generator, old.critic) for weight in model.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("phase", [2, 3])
def test_the_baseline_grows_too(phase):
    config = tiny.NETWORK.without_embedding()
    old, new = old_players(phase - 1, config), build_players(config, phase, seed=0)
    grow(old, new, phase, seed=0)
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
        for layer in ("latent", "mask", "to_image", "from_mask", "latent_{}_low_pass", "latent_{}_norm")
    }
    added = set(weights_by_name(new.critic)) - set(weights_by_name(old.critic))
    assert {name.split("/")[0] for name in added} == {f"critic_{phase}", f"from_image_{phase}"}


def test_names_are_unique():
    players = build_players(tiny.NETWORK, 3, seed=0)
    for model in (players.generator, players.critic):
        assert len(weights_by_name(model)) == len(model.weights)


@PHASES
def test_the_moving_average_gets_the_same_new_block_as_the_generator(grown, phase):
    """Its 1×1 convolutions are copies of its own old ones instead."""
    generator, mean = (weights_by_name(model) for model in (grown(phase)[1].generator, grown(phase)[1].ema_generator))
    for layer in (f"latent_{phase}", f"mask_{phase}"):
        np.testing.assert_allclose(generator[f"{layer}/kernel"], mean[f"{layer}/kernel"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        mean[f"to_image_{phase}/kernel"], 0.9 * np.asarray(generator[f"to_image_{phase}/kernel"]), rtol=1e-5
    )


def test_growing_is_a_function_of_the_seed():
    old, kernels = old_players(1), []
    for seed in (0, 0, 1):
        new = build_players(tiny.NETWORK, 2, seed=0)
        grow(old, new, 2, seed=seed)
        kernels.append(new.generator.get_layer("latent_2").get_weights()[0])
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])


def test_fresh_players_start_with_the_average_equal_to_the_generator():
    players = build_players(tiny.NETWORK, 2, seed=0)
    for a, b in zip(players.generator.get_weights(), players.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fresh_players_are_a_function_of_the_seed():
    first, same, other = (build_players(tiny.NETWORK, 2, seed).critic.get_weights()[0] for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_transfer_says_what_it_copied():
    old, new = build_players(tiny.NETWORK, 1, 0).critic, build_players(tiny.NETWORK, 2, 0).critic
    assert set(transfer(old, new)) == set(weights_by_name(old))


# --- the new block starts near the old function -------------------------------------------------


def half_discs(phase: int, count: int = 16) -> np.ndarray:
    """Masks at the left edge, each of another size."""
    height, width = 4 * 2**phase, 2 * 2**phase
    y, x = np.mgrid[:height, :width]
    radii = np.linspace(0.4, 0.95, count)[:, None, None] * width
    return (np.hypot(y - (height - 1) / 2, x) < radii)[..., None].astype(np.float32)


def kept_of_the_old_image(**how) -> float:
    """Correlation of the new path's images at phase 3 with the old ones doubled, for latents not grown on."""
    old, new = build_players(tiny.NETWORK, 2, seed=0), build_players(tiny.NETWORK, 3, seed=0)
    tiny.randomise(old.generator)
    grow(old, new, 3, seed=0, **how)
    masks, latents = half_discs(3), tiny.inputs(3, 16)[2]
    before = doubled(old.generator([halved(masks), latents, ONE]))
    return correlation(new.generator([masks, latents, ONE]), before)


def test_the_new_path_shows_what_the_old_one_did():
    assert kept_of_the_old_image(examples=(None, half_discs(3, 8))) > 0.9


def test_a_new_block_left_as_drawn_shows_something_else():
    assert kept_of_the_old_image(preserve=False) < 0.7


def test_the_new_critic_convolution_averages_2x2_but_for_noise():
    """Before its activation it gives what the old 1×1 convolution gave on averages, as far as there are channels."""
    old, new = build_players(tiny.NETWORK, 2, seed=0), build_players(tiny.NETWORK, 3, seed=0)
    grow(old, new, 3, seed=0)
    images, masks, _ = tiny.inputs(2)
    pair = np.concatenate([2 * images - 1, masks], axis=-1)
    before = old.critic.get_layer("critic_entrance_2").pointwise(pair)
    after = new.critic.get_layer("critic_entrance_3")(doubled(pair))
    assert correlation(after[..., :6], before[..., :6]) > 0.9


def fresh_block(phase: int) -> list[np.ndarray]:
    """The new transposed convolution of wide networks: [effective kernel (4, 4, out, in), bias (out,)]."""
    network = replace(tiny.NETWORK, latent_filters=(32, 32, 32, 6, 4, 4, 4))
    old, new = build_players(network, phase - 1, 0), build_players(network, phase, 0)
    grow(old, new, phase, seed=0)
    return new.generator.get_layer(f"latent_{phase}").stock_weights()


def test_the_upsampling_kernel_is_bilinear_but_for_noise():
    """Channels 0 to 2 are the image and the anchor; each of the others doubles the old feature of its number."""
    channels = np.arange(3, 32)
    effective = fresh_block(2)[0][:, :, channels, channels].mean(-1)
    np.testing.assert_allclose(effective[1:3, 1:3], 9 / 16, atol=0.05)
    assert effective.sum() == pytest.approx(4, abs=0.2)  # every output is one input's worth


def test_the_first_anchor_is_a_constant_that_no_pixel_norm_falls_short_of():
    kernel, bias = fresh_block(2)
    assert np.sqrt(bias[2] ** 2 / len(bias)) == pytest.approx(ANCHOR)
    assert not bias[3:].any()
    assert abs(kernel[:, :, 2].mean()) < 0.01  # noise


def test_a_later_anchor_doubles_the_one_below_so_that_margins_fade_alike():
    kernel, bias = fresh_block(3)
    assert not bias[2:].any()
    assert kernel[:, :, 2, 2].sum() == pytest.approx(4 * np.sqrt(1 + ANCHOR**2), abs=0.5)
    assert abs(np.delete(kernel[:, :, 2], 2, axis=-1).mean()) < 0.01  # noise


# --- detail -------------------------------------------------------------------------------------

DETAILED = replace(tiny.NETWORK, detail_maps=8)


@pytest.fixture(scope="module")
def detailed() -> tuple[Players, Players, np.ndarray, np.ndarray]:
    """(old, new) players at the first phase with detail, and the (images, masks) grown on."""
    rng = np.random.default_rng(0)
    masks = half_discs(FIRST_DETAIL, 8)
    images = masks * (0.5 + 0.05 * rng.standard_normal(masks.shape))
    old, new = (build_players(DETAILED, phase, seed=0) for phase in (FIRST_DETAIL - 1, FIRST_DETAIL))
    tiny.randomise(old.generator)
    grow(old, new, FIRST_DETAIL, seed=0, examples=(images, masks))
    return old, new, images, masks


def fakes_with_and_without_detail(generator, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    latents = tiny.inputs(FIRST_DETAIL, len(masks))[2]
    shown = np.asarray(generator([masks, latents, ONE]))
    bank = generator.get_layer(f"detail_{FIRST_DETAIL}_maps")
    (maps,) = bank.get_weights()
    bank.set_weights([0 * maps])
    smooth = np.asarray(generator([masks, latents, ONE]))
    bank.set_weights([maps])
    return shown, smooth


def test_detail_is_as_strong_in_proportion_to_the_image_as_in_real_ones(detailed):
    _, new, images, masks = detailed
    details, inner = finest_detail(images[..., 0], masks[..., 0])
    real = np.sqrt(np.sum(details**2) / np.sum((images[..., 0] * inner) ** 2))
    shown, smooth = fakes_with_and_without_detail(new.generator, masks)
    bright = np.maximum(smooth, 0)
    assert np.sqrt(np.sum((shown - smooth) ** 2) / np.sum(bright**2)) == pytest.approx(real, rel=0.4)


def test_detail_is_nothing_where_the_image_is_black(detailed):
    _, new, _, masks = detailed
    layer = new.generator.get_layer(f"to_image_{FIRST_DETAIL}")
    kernel, bias = layer.get_weights()
    _, smooth = fakes_with_and_without_detail(new.generator, masks)
    layer.set_weights([kernel, bias - 2 * np.median(smooth)])  # half of the image black
    shown, smooth = fakes_with_and_without_detail(new.generator, masks)
    layer.set_weights([kernel, bias])
    np.testing.assert_allclose(shown[smooth <= 0], smooth[smooth <= 0], atol=1e-6)
    assert (smooth <= 0).any() and (shown[smooth > 0] != smooth[smooth > 0]).mean() > 0.9


def test_the_next_phase_keeps_the_detail(detailed):
    _, old, _, masks = detailed
    new = build_players(DETAILED, FIRST_DETAIL + 1, seed=0)
    wide = half_discs(FIRST_DETAIL + 1, 8)
    grow(old, new, FIRST_DETAIL + 1, seed=0, examples=(0.5 * wide, wide))
    latents = tiny.inputs(FIRST_DETAIL, 8)[2]
    shown, smooth = (doubled(image) for image in fakes_with_and_without_detail(old.generator, masks))
    layer = new.generator.get_layer(f"detail_{FIRST_DETAIL}_maps")
    kept = np.asarray(new.generator([wide, latents, ONE]))
    layer.set_weights([0 * layer.get_weights()[0]])
    kept = kept - np.asarray(new.generator([wide, latents, ONE]))
    assert correlation(kept, shown - smooth) > 0.8


def test_both_generators_get_the_same_maps(detailed):
    _, new, _, _ = detailed
    ours, mean = (
        m.get_layer(f"detail_{FIRST_DETAIL}_maps").get_weights()[0] for m in (new.generator, new.ema_generator)
    )
    np.testing.assert_array_equal(ours, mean)


def test_without_examples_detail_stays_off():
    old, new = (build_players(DETAILED, phase, seed=0) for phase in (FIRST_DETAIL - 1, FIRST_DETAIL))
    grow(old, new, FIRST_DETAIL, seed=0)
    shown, smooth = fakes_with_and_without_detail(new.generator, half_discs(FIRST_DETAIL, 2))
    np.testing.assert_array_equal(shown, smooth)


# --- a sum over levels grows by construction ----------------------------------------------------


@pytest.mark.parametrize("player", ["generator", "ema_generator"])
def test_a_sum_over_levels_starts_as_the_old_image_enlarged(player):
    config = replace(tiny.FILM, times_mask=False)
    old, new = old_players(1, config), build_players(config, 2, seed=0)
    grow(old, new, 2, seed=0, preserve=False)
    _, masks, latents = tiny.inputs(2)
    enlarge = keras.layers.UpSampling2D(2, interpolation="bilinear")
    wanted = enlarge(getattr(old, player)([halved(masks), latents, ZERO]))
    np.testing.assert_allclose(getattr(new, player)([masks, latents, ZERO]), wanted, atol=1e-5)
