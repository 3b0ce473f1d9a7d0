"""The step that teaches texture: each switch does what it says, and all off it is the paper's."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tiny_masses
from folders import quiet

from feature2mass.features import spread_weights
from feature2mass.generate import generate
from feature2mass.mixing import load_networks
from feature2mass.settings import Mixing
from feature2mass.texture import Texture, mixed_within_categories, slope
from feature2mass.train import build_model, train
from training.run import RunDirectory, run_config

ALL = Texture(
    amplification=(4.0, 2.0),
    penalty=1.0,
    mixtures=0.5,
    amplified_reconstruction=True,
    final_reconstruction=5.0,
    reconstruction_half_life_images=8.0,
)
NETWORK = replace(tiny_masses.NETWORK, refined_units=(6,), noise_units=(6,), plain_discriminators=True)


def batch_of(count: int = 8) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in tiny_masses.batch(count).items()}


def gradients(texture: Texture, batch: dict | None = None, step: int = 3, **changes) -> tuple[list, list, dict]:
    model = build_model(tiny_masses.preset(texture=texture, **changes), 2, 3, 0)
    critic, generator, losses = model.player_gradients(batch or batch_of(), tf.constant(step, tf.int64), None)
    return [np.array(g) for g in critic], [np.array(g) for g in generator], losses


def difference(ours: list, theirs: list) -> float:
    scale = max(np.abs(x).max() for x in theirs)
    return max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)) / scale


def test_with_all_switches_off_the_step_is_the_paper_s():
    theirs = gradients(Texture())  # `train_step`
    ours = gradients(Texture(amplification=(1.0,)))
    assert difference(ours[0], theirs[0]) < 1e-5 and difference(ours[1], theirs[1]) < 1e-5


@pytest.mark.parametrize(
    "switch",
    [
        {"amplification": (4.0, 2.0)},
        {"penalty": 1.0},
        {"mixtures": 0.5},
    ],
    ids=lambda switch: next(iter(switch)),
)
def test_a_switch_moves_the_discriminators(switch):
    assert difference(gradients(Texture(**switch))[0], gradients(Texture())[0]) > 1e-3


# --- mixtures -------------------------------------------------------------------------------------


def one_hot(labels: list[int], classes: int) -> np.ndarray:
    return np.eye(classes, dtype="f4")[labels]


def test_features_are_mixed_with_those_of_both_their_labels_alone():
    margin, shape = one_hot([0, 0, 1, 0], 2), one_hot([0, 0, 0, 1], 2)
    draws = np.random.default_rng(0).random((4, 4)).astype("f4")
    weights = np.asarray(mixed_within_categories(np.eye(4, dtype="f4"), margin, shape, draws))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(weights > 0, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_weights_of_a_mixture_follow_its_draws():
    alike = one_hot([0, 0], 1)
    draws = np.exp(-np.array([[1.0, 3.0], [2.0, 2.0]])).astype("f4")
    weights = mixed_within_categories(np.eye(2, dtype="f4"), alike, alike, draws)
    np.testing.assert_allclose(weights, [[0.25, 0.75], [0.5, 0.5]], atol=1e-4)


def test_mixtures_have_no_reconstruction_term():
    """L1 is that of the first half, which is decoded from its own features."""
    _, _, losses = gradients(Texture(mixtures=0.5))
    model = build_model(tiny_masses.preset(texture=Texture(mixtures=0.5)), 2, 3, 0)
    batch = batch_of()
    features = model.encoder([batch["image"], batch["margin"], batch["shape"]], training=True)
    varied = model._decoded(features, batch["margin"], batch["shape"], 4, tf.constant(3, tf.int64))
    made = model.decoder(varied, training=True)
    wanted = np.abs(np.asarray(made)[:4] - batch["image"].numpy()[:4]).mean()
    assert float(losses["l1"]) == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_array_equal(varied[:4], features[:4])


def test_spread_weights_in_training_are_those_of_new_masses():
    random = np.random.default_rng(0)
    alike, draws = one_hot([0] * 5, 1), random.random((5, 5)).astype("f4")
    plain, spread = (
        np.asarray(mixed_within_categories(np.eye(5, dtype="f4"), alike, alike, draws, on)) for on in (False, True)
    )
    np.testing.assert_allclose(spread, spread_weights(plain), atol=1e-4)


def test_a_run_with_texture_can_be_mixed(tmp_path, tiny_masses_dataset):
    mixing = Mixing(mirrored_seeds=True, spread=True)
    preset = tiny_masses.preset(texture=ALL, network=NETWORK, ticks=1, epochs=0.4, mixing=mixing)
    run = RunDirectory(tmp_path / "run", run_config(preset, tiny_masses_dataset, 0))
    assert train(tiny_masses_dataset, run, preset, echo=quiet)
    assert load_networks(run.path).mixing == mixing
    masses, _ = generate(run.path, 3, shape="irregular")
    assert np.isfinite(masses).all()


# --- reconstruction -------------------------------------------------------------------------------


def test_the_weight_of_reconstruction_halves_its_way_to_the_end():
    texture = Texture(final_reconstruction=20.0, reconstruction_half_life_images=100.0)
    found = [float(texture.reconstruction(300.0, tf.constant(images))) for images in (0, 100, 200)]
    assert found == pytest.approx([300, 160, 90])


def test_amplified_reconstruction_counts_fine_differences_for_more():
    texture = Texture(amplification=(4.0,), amplified_reconstruction=True)
    model = build_model(tiny_masses.preset(texture=texture), 2, 3, 0)
    columns = (0.01 * (-1) ** np.arange(64, dtype="f4")).reshape(1, 1, 64, 1) * np.ones((1, 64, 1, 1), "f4")
    middle = np.asarray(model._compared(tf.constant(columns)))[:, 8:-8, 8:-8]
    np.testing.assert_allclose(middle, 4 * columns[:, 8:-8, 8:-8], atol=1e-6)


# --- discriminators -------------------------------------------------------------------------------


def test_slope_of_linear_discriminators_is_half_their_squared_norms():
    kernels = [np.full((64, 64, 1), value, "f4") for value in (0.1, 0.2)]
    linear = [
        lambda x, training, k=k: [tf.reduce_sum(x * k, axis=(1, 2, 3))[:, None], tf.zeros((2, 3))] for k in kernels
    ]
    seen = tf.random.uniform((2, 64, 64, 1), seed=0)
    assert float(slope(linear, seen)) == pytest.approx(0.5 * 4096 * (0.1**2 + 0.2**2), rel=1e-5)


def test_plain_discriminators_have_no_batch_norm():
    model = build_model(tiny_masses.preset(network=NETWORK, texture=ALL), 2, 3, 0)
    margin, shape = model.discriminators
    assert not [layer for layer in margin.layers if "normalization" in layer.name]
    assert not [layer for layer in shape.layers if "normalization" in layer.name]


def test_every_switch_together_gives_finite_gradients():
    critic, generator, losses = gradients(ALL, network=NETWORK)
    assert all(np.isfinite(g).all() for g in (*critic, *generator))
    assert float(losses["penalty"]) > 0
