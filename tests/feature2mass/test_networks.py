"""The networks: the paper's counts, and what may not depend on training."""

from dataclasses import replace

import elsewhere
import keras
import numpy as np
import pytest
import tiny
import tiny_masses
from keras.layers import BatchNormalization, Conv2D, Conv2DTranspose, Dense, LeakyReLU

from feature2mass.networks import (
    NetworkConfig,
    SmoothUpsampling,
    build_decoder,
    build_discriminator,
    build_discriminators,
    build_encoder,
    build_generator,
    finished_networks,
)
from training.export import save_model

MARGINS, SHAPES = 5, 4


def layers(model: keras.Model, kind: type) -> list:
    return [layer for layer in model.layers if type(layer) is kind]


# --- counts of the paper, from full-size networks with our additions -------------------------------


@pytest.fixture(scope="module")
def full() -> dict[str, keras.Model]:
    config = NetworkConfig(**tiny_masses.ADDITIONS)
    return {
        "encoder": build_encoder(config, MARGINS, SHAPES),
        "decoder": build_decoder(config),
        "margin": build_discriminator(config, MARGINS, "margin_discriminator"),
        "shape": build_discriminator(config, SHAPES, "shape_discriminator"),
    }


def test_seven_convolutions_encode(full):
    assert [layer.filters for layer in layers(full["encoder"], Conv2D)] == [32, 64, 128, 256, 512, 512, 1024]
    assert [layer.strides for layer in layers(full["encoder"], Conv2D)] == [(1, 1)] + 6 * [(2, 2)]


def test_the_visual_feature_has_1024_numbers(full):
    assert full["encoder"].output_shape == (None, 1024) and full["decoder"].input_shape == (None, 1024)


def test_seven_transposed_convolutions_decode_as_the_mirror(full):
    assert [layer.filters for layer in layers(full["decoder"], Conv2DTranspose)] == [512, 512, 256, 128, 64, 32, 1]
    assert [layer.strides for layer in layers(full["decoder"], Conv2DTranspose)] == 6 * [(2, 2)] + [(1, 1)]
    assert full["decoder"].output_shape == (None, 64, 64, 1)


def test_labels_are_embedded_by_256_and_4096_units_as_maps(full):
    assert sorted(layer.units for layer in layers(full["encoder"], Dense)) == [256, 256, 4096, 4096]
    concatenated = full["encoder"].get_layer("image_and_labels").output
    assert concatenated.shape == (None, 64, 64, 3)


@pytest.mark.parametrize("name, classes", [("margin", MARGINS), ("shape", SHAPES)])
def test_a_discriminator_has_ten_convolutions_and_three_dense_layers(full, name, classes):
    assert len(layers(full[name], Conv2D)) == 10
    assert len(layers(full[name], Dense)) == 3
    assert [output.shape for output in full[name].outputs] == [(None, 1), (None, classes)]


@pytest.mark.parametrize("name, kind", [("encoder", Conv2D), ("decoder", Conv2DTranspose)])
def test_units_are_leaky_relu_then_convolution_then_batch_norm(full, name, kind):
    kinds = [type(layer) for layer in full[name].layers if type(layer) in (LeakyReLU, kind, BatchNormalization)]
    unit = [LeakyReLU, kind, BatchNormalization]
    if name == "encoder":  # embeddings have an activation each, and the image none before it
        assert kinds == 2 * [LeakyReLU] + unit[1:] + 6 * unit
    else:
        assert kinds == 6 * unit + unit[:2]


def test_discriminators_activate_last_and_do_not_normalise_first(full):
    kinds = [type(layer) for layer in full["margin"].layers if type(layer) in (LeakyReLU, Conv2D, BatchNormalization)]
    assert kinds == [Conv2D, LeakyReLU, *9 * [Conv2D, BatchNormalization, LeakyReLU], LeakyReLU, LeakyReLU]


def test_width_narrows_everything_but_the_feature():
    config = NetworkConfig(width=0.25, discriminator_width=0.125)
    encoder = build_encoder(config, MARGINS, SHAPES)
    assert [layer.filters for layer in layers(encoder, Conv2D)] == [8, 16, 32, 64, 128, 128, 1024]
    discriminator = build_discriminator(config, SHAPES, "shape_discriminator")
    assert [layer.filters for layer in layers(discriminator, Conv2D)][::2] == [4, 8, 16, 32, 64]


# --- tiny networks --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator() -> keras.Model:
    keras.utils.set_random_seed(0)
    encoder, decoder = build_encoder(tiny_masses.NETWORK, 2, 3), build_decoder(tiny_masses.NETWORK)
    model = build_generator(encoder, decoder)
    batch = tiny_masses.batch()
    for _ in range(3):  # moving statistics that are not those of a fresh network
        model([batch["image"], batch["margin"], batch["shape"]], training=True)
    return model


def inputs(count: int = 8) -> list[np.ndarray]:
    batch = tiny_masses.batch(count)
    return [batch["image"], batch["margin"], batch["shape"]]


@pytest.mark.parametrize("label", [1, 2], ids=["margin", "shape"])
def test_the_feature_depends_on_each_label(generator, label):
    encoder, changed = generator.get_layer("encoder"), inputs()
    changed[label] = np.roll(changed[label], 1, axis=1)
    assert np.abs(np.asarray(encoder(inputs())) - np.asarray(encoder(changed))).max() > 1e-3


def test_the_discriminator_gives_both_verdicts_on_one_image():
    discriminators = [
        build_discriminator(tiny_masses.NETWORK, classes, name)
        for classes, name in ((2, "margin_discriminator"), (3, "shape_discriminator"))
    ]
    images = tiny_masses.batch()["image"]
    outputs = build_discriminators(*discriminators)(images)
    for ours, theirs in zip(outputs, [*discriminators[0](images), *discriminators[1](images)], strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- no mesh to begin with ------------------------------------------------------------------------


def doubled_flat(size: int, initializer) -> np.ndarray:
    """What a transposed convolution makes of a flat image, less the border."""
    layer = Conv2DTranspose(3, size, strides=2, padding="same", use_bias=False, kernel_initializer=initializer)
    return np.asarray(layer(np.ones((1, 6, 6, 5), np.float32)))[0, 2:-2, 2:-2]


@pytest.mark.parametrize("size", [2, 4])
def test_what_is_flat_stays_flat(size):
    image = doubled_flat(size, SmoothUpsampling(seed=0))
    assert np.ptp(image, axis=(0, 1)).max() < 1e-5 < np.abs(image).min()


def test_independent_taps_would_leave_a_checkerboard():
    assert np.ptp(doubled_flat(4, keras.initializers.HeNormal(0)), axis=(0, 1)).max() > 0.1


@pytest.mark.parametrize("size", [2, 4])
def test_a_smooth_start_keeps_the_variance_by_its_gain(size):
    layer = Conv2DTranspose(
        64, size, strides=2, padding="same", use_bias=False, kernel_initializer=SmoothUpsampling(gain=1.0, seed=0)
    )
    noise = np.random.default_rng(0).standard_normal((4, 8, 8, 64)).astype("f4")
    assert np.asarray(layer(noise))[:, 2:-2, 2:-2].var() == pytest.approx(1, rel=0.2)


def test_a_kernel_of_another_size_is_refused():
    with pytest.raises(ValueError, match="size 2 or 4, not 3"):
        SmoothUpsampling()((3, 3, 4, 4))


def test_the_initialiser_comes_back_from_its_config():
    first = SmoothUpsampling(gain=0.7, seed=5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    np.testing.assert_array_equal(first((4, 4, 2, 3)), again((4, 4, 2, 3)))


def test_low_pass_and_smooth_start_can_be_switched_off():
    decoder = build_decoder(replace(tiny_masses.NETWORK, low_pass=False, smooth_start=False))
    assert not [layer for layer in decoder.layers if "low_pass" in layer.name]
    assert not [c for c in layers(decoder, Conv2DTranspose) if isinstance(c.kernel_initializer, SmoothUpsampling)]


# --- what is saved --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory, generator):
    folder = tmp_path_factory.mktemp("saved")
    for model in finished_networks(generator, tiny_masses.NETWORK, 2, 3):
        save_model(model, folder / f"{model.name}.keras")
    return folder


def test_saved_networks_compute_what_the_trained_ones_do(generator, saved):
    encoder, decoder = (keras.models.load_model(saved / f"{name}.keras") for name in ("encoder", "decoder"))
    features = generator.get_layer("encoder")(inputs())
    np.testing.assert_allclose(encoder(inputs()), features, atol=1e-5)
    np.testing.assert_allclose(decoder(features), np.clip(generator(inputs()), 0, 1), atol=1e-5)


def test_a_bfloat16_generator_is_saved_in_float32(saved):
    dtype = "mixed_bfloat16"
    encoder, decoder = (
        build_encoder(tiny_masses.NETWORK, 2, 3, dtype=dtype),
        build_decoder(tiny_masses.NETWORK, dtype=dtype),
    )
    for model in finished_networks(build_generator(encoder, decoder), tiny_masses.NETWORK, 2, 3):
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_saved_networks_open_where_this_package_is_not(tmp_path, generator, saved, backend):
    networks = [saved / "encoder.keras", saved / "decoder.keras"]
    found = elsewhere.computed(backend, tmp_path, networks, inputs())
    np.testing.assert_allclose(found, np.clip(generator(inputs()), 0, 1), atol=1e-5)


# --- several replicas -----------------------------------------------------------------------------

SYNCHRONISED = """
import sys
import numpy as np
import tensorflow as tf
from keras import layers
from training.run import choose_strategy

two = choose_strategy(2)
with two.scope():
    layer = layers.BatchNormalization(synchronized=True, momentum=0.5)
    layer.build((None, 1))

def normalised():
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return layer(tf.reshape(tf.cast(replica, tf.float32), (1, 1)), training=True)

outputs = two.experimental_local_results(two.run(tf.function(normalised)))
print(*[float(np.asarray(output).item()) for output in outputs], float(np.asarray(layer.moving_mean).item()))
"""


def test_synchronised_batch_norm_sees_the_batch_of_all_replicas(tmp_path):
    """0 on one and 1 on the other have mean ½ and variance ¼; alone each would be normalised to 0."""
    done = tiny.run_driver(SYNCHRONISED, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second, moving_mean = map(float, done.stdout.split())
    assert first == pytest.approx(-0.998, abs=1e-2) and second == pytest.approx(0.998, abs=1e-2)
    assert moving_mean == pytest.approx(0.25)


# --- what is saved --------------------------------------------------------------------------------


def test_a_saved_decoder_stays_within_the_unit_interval(generator):
    features = 100 * np.random.default_rng(0).standard_normal((4, 1024)).astype("f4")
    _, saved = finished_networks(generator, tiny_masses.NETWORK, 2, 3)
    plain = np.asarray(generator.get_layer("decoder")(features))
    assert plain.min() < 0 and plain.max() > 1
    np.testing.assert_allclose(saved(features), np.clip(plain, 0, 1), atol=1e-5)
