"""The networks of pix2pix: the paper's numbers, and dropout that stays on because it is an input."""

import elsewhere
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_pix2pix

from pix2pix.networks import NetworkConfig, build_discriminator, build_generator, finished_generator
from training.export import save_model

CONFIG = tiny_pix2pix.NETWORK


@pytest.fixture(scope="module")
def generator() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_generator(CONFIG)


@pytest.fixture(scope="module")
def large() -> tuple[keras.Model, keras.Model]:
    """(generator, discriminator) at 512×256 with 2 filters where the paper has 64."""
    config = NetworkConfig(filters=2)
    return build_generator(config), build_discriminator(config)


def layers(model: keras.Model, kind: type) -> list:
    """Layers of exactly this kind, in order."""
    return [layer for layer in model.layers if type(layer) is kind]


# --- the paper's numbers --------------------------------------------------------------------------


def test_the_default_is_the_paper_s_at_512():
    assert (NetworkConfig().height, NetworkConfig().filters) == (512, 64)


def test_the_encoder_is_c64_to_c512(large):
    convolutions = layers(large[0], keras.layers.Conv2D)
    assert [layer.filters // 2 for layer in convolutions] == [1, 2, 4, 8, 8, 8, 8, 8]
    assert all(layer.kernel_size == (4, 4) and layer.strides == (2, 2) for layer in convolutions)


def test_the_decoder_mirrors_the_encoder(large):
    convolutions = layers(large[0], keras.layers.Conv2DTranspose)
    assert [layer.filters // 2 for layer in convolutions[:-1]] == [8, 8, 8, 8, 4, 2, 1]
    assert convolutions[-1].filters == 1
    assert all(layer.kernel_size == (4, 4) and layer.strides == (2, 2) for layer in convolutions)


def test_the_discriminator_is_c64_c128_c256_c512(large):
    convolutions = layers(large[1], keras.layers.Conv2D)
    assert [(layer.filters, layer.strides[0]) for layer in convolutions] == [(2, 2), (4, 2), (8, 2), (16, 1), (1, 1)]
    assert large[1].output.shape[1:] == (64, 32, 1)


@pytest.mark.parametrize(
    "height, depth, discriminator_depth, patch",
    [(512, 8, 3, 70), (256, 7, 3, 70), (128, 6, 2, 34), (64, 5, 1, 16), (32, 4, 1, 16), (8, 2, 1, 16)],
)
def test_smaller_images_have_fewer_layers(height, depth, discriminator_depth, patch):
    config = NetworkConfig(height, filters=2)
    assert (config.depth, config.discriminator_depth) == (depth, discriminator_depth)
    generator, discriminator = build_generator(config), build_discriminator(config)
    assert len(layers(generator, keras.layers.Conv2D)) == len(layers(generator, keras.layers.Conv2DTranspose)) == depth
    assert generator.get_layer(f"encoder_{depth}").output.shape[1:3] == (2, 1)
    assert generator.output.shape[1:] == (height, height // 2, 1)
    field = 1
    for layer in reversed(layers(discriminator, keras.layers.Conv2D)):
        field = layer.kernel_size[0] + layer.strides[0] * (field - 1)
    assert field == patch


def test_kernels_start_at_a_deviation_of_a_fiftieth(generator):
    assert np.std(generator.get_layer("decoder_1").kernel) == pytest.approx(0.02, rel=0.1)


def test_images_are_within_0_and_1(generator):
    wild = keras.models.clone_model(generator)
    wild.get_layer("decoder_4").bias.assign([1e3])
    assert np.asarray(wild([tiny_pix2pix.batch()["texture_map"], tiny_pix2pix.noise()])).max() == 1
    wild.get_layer("decoder_4").bias.assign([-1e3])
    assert np.asarray(wild([tiny_pix2pix.batch()["texture_map"], tiny_pix2pix.noise()])).min() == 0


def test_every_skip_joins_features_of_its_own_resolution(large):
    for block in range(1, 8):
        decoded, skipped = large[0].get_layer(f"decoder_{block}_skip").input
        assert decoded.shape[1:] == skipped.shape[1:]
        assert skipped is large[0].get_layer(f"encoder_{8 - block}_activation").output


# --- dropout --------------------------------------------------------------------------------------


def test_dropout_is_in_the_three_innermost_blocks(large):
    dropped = [layer.name for layer in large[0].layers if layer.name.endswith("_dropout")]
    assert dropped == ["decoder_1_dropout", "decoder_2_dropout", "decoder_3_dropout"]


def test_the_smallest_images_have_a_block_to_drop():
    assert NetworkConfig(8, filters=2).dropped == [(4, 2, 2)]


def test_noise_has_a_number_for_every_feature_that_can_be_dropped():
    assert CONFIG.dropped == [(4, 2, 16), (8, 4, 8), (16, 8, 4)]
    assert CONFIG.noise_size == 128 + 256 + 512


def test_features_are_kept_doubled_where_noise_is_1_and_dropped_where_it_is_0(generator):
    begin = 0
    noise, texture_map = tiny_pix2pix.noise(), tiny_pix2pix.batch()["texture_map"]
    for block, shape in enumerate(CONFIG.dropped, start=1):
        before, after = (
            keras.Model(generator.inputs, generator.get_layer(f"decoder_{block}_{part}").output)([texture_map, noise])
            for part in ("normalization", "dropout")
        )
        mask = noise[:, begin : begin + np.prod(shape)].reshape(-1, *shape)
        np.testing.assert_allclose(after, 2 * mask * np.asarray(before), atol=1e-6)
        begin += np.prod(shape)


@pytest.mark.parametrize("training", [False, True])
def test_images_are_a_function_of_the_noise(generator, training):
    texture_map = tiny_pix2pix.batch()["texture_map"]
    first, same, other = (generator([texture_map, tiny_pix2pix.noise(seed=s)], training=training) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.abs(np.subtract(first, other)).max() > 1e-4


def test_an_image_does_not_depend_on_its_batch(generator):
    texture_map, noise = tiny_pix2pix.batch()["texture_map"], tiny_pix2pix.noise()
    together = generator([texture_map, noise], training=True)
    np.testing.assert_allclose(generator([texture_map[:1], noise[:1]]), together[:1], atol=1e-5)


# --- precision ------------------------------------------------------------------------------------


def test_gradients_in_bfloat16_are_finite_down_to_the_innermost_layers():
    """A convolution in bfloat16 from 4×2 to 2×1 now and then gave NaN, from beyond its input."""
    generator = build_generator(CONFIG, dtype="mixed_bfloat16")
    for seed in range(5):
        with tf.GradientTape() as tape:
            image = generator([tiny_pix2pix.batch(seed=seed)["texture_map"], tiny_pix2pix.noise(seed=seed)])
            loss = tf.reduce_mean(tf.square(image - 0.2))
        for gradient in tape.gradient(loss, generator.trainable_variables):
            assert np.isfinite(gradient).all()


def test_images_and_logits_are_float32_whatever_the_hidden_layers_are():
    generator, discriminator = (
        build(CONFIG, dtype="mixed_bfloat16") for build in (build_generator, build_discriminator)
    )
    assert generator.output.dtype == discriminator.output.dtype == "float32"
    assert generator.get_layer("encoder_2").compute_dtype == "bfloat16"


# --- the generator that is saved ------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_saved_generator_opens_where_this_package_is_not(tmp_path, generator, backend):
    texture_map, noise = tiny_pix2pix.batch()["texture_map"], tiny_pix2pix.noise()
    save_model(finished_generator(generator, CONFIG), tmp_path / "generator.keras")
    found = elsewhere.computed(backend, tmp_path, [tmp_path / "generator.keras"], [texture_map, noise])
    np.testing.assert_allclose(found, generator([texture_map, noise]), atol=1e-5)


def test_a_bfloat16_generator_is_saved_in_float32():
    generator = build_generator(CONFIG, dtype="mixed_bfloat16")
    assert {layer.compute_dtype for layer in finished_generator(generator, CONFIG).layers} == {"float32"}
