"""Every number of Ren et al. 2019 that fixes the networks, read from the built models of all seven phases."""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
import tiny

from mask_embedding_gan.blocks import NetworkConfig, keep_average, resolution
from mask_embedding_gan.critic import build_critic
from mask_embedding_gan.generator import build_generator, finished_generator
from training.layers import FoldedEntrance, MinibatchStandardDeviation

PHASES = range(1, 8)
LATENT_FILTERS = [128, 102, 82, 66, 53, 42, 34]
SIZES = {1: (8, 4), 2: (16, 8), 3: (32, 16), 4: (64, 32), 5: (128, 64), 6: (256, 128), 7: (512, 256)}
BOTH = pytest.mark.parametrize("embedding", [True, False], ids=["embedding", "baseline"])
EACH_PHASE = pytest.mark.parametrize("phase", PHASES)


def paper(embedding: bool) -> NetworkConfig:
    return NetworkConfig() if embedding else NetworkConfig().without_embedding()


@cache
def generator(phase: int, embedding: bool = True, fading: bool = False) -> keras.Model:
    return build_generator(paper(embedding), phase, fading=fading)


@cache
def critic(phase: int) -> keras.Model:
    return build_critic(NetworkConfig(), phase)


def layers_of(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """Layers of a kind, those inside a folded entrance too."""
    found = []
    for layer in model.layers:
        parts = [layer.pointwise, layer.convolution] if isinstance(layer, FoldedEntrance) else [layer]
        found += [part for part in parts if isinstance(part, kind)]
    return found


def stride_2(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in layers_of(model, keras.layers.Conv2D) if layer.strides == (2, 2)]


def sources(layer: keras.layers.Layer) -> list[str]:
    """Names of the layers that a layer takes its inputs from."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation.name for tensor in tensors]


# --- shapes -------------------------------------------------------------------------------------


@EACH_PHASE
def test_resolution_of_each_phase(phase):
    assert resolution(phase) == SIZES[phase]


def test_level_0_is_4x2():
    assert resolution(0) == (4, 2)


@BOTH
@EACH_PHASE
def test_generator_maps_mask_and_latent_to_an_image_of_the_mask_s_size(phase, embedding):
    model = generator(phase, embedding)
    latent = 100 if embedding else 132
    assert model.input_shape == [(None, *SIZES[phase], 1), (None, latent)]
    assert model.output_shape == (None, *SIZES[phase], 1)


@EACH_PHASE
def test_critic_maps_image_and_mask_to_one_score(phase):
    assert critic(phase).input_shape[:2] == [(None, *SIZES[phase], 1)] * 2
    assert critic(phase).output_shape == (None, 1)


@EACH_PHASE
def test_fading_adds_one_input_and_keeps_the_output(phase):
    model = generator(phase, fading=True)
    assert model.input_shape == [*generator(phase).input_shape, (1,)]
    assert model.output_shape == generator(phase).output_shape


# --- mask path ----------------------------------------------------------------------------------


@EACH_PHASE
def test_mask_path_has_p_stride_2_convolutions_of_size_4_and_8_features(phase):
    convolutions = stride_2(generator(phase))
    assert [(c.kernel_size, c.filters, c.padding) for c in convolutions] == [((4, 4), 8, "same")] * phase


@EACH_PHASE
def test_the_baseline_s_mask_path_stops_at_its_last_skip(phase):
    """Without an embedding nothing reads the block at 4×2."""
    convolutions = stride_2(generator(phase, False))
    assert [(c.kernel_size, c.filters, c.padding) for c in convolutions] == [((4, 4), 8, "same")] * (phase - 1)


@EACH_PHASE
def test_a_mask_enters_through_a_1x1_convolution_to_8_features(phase):
    entrance = generator(phase).get_layer(f"mask_entrance_{phase}")
    assert tuple(entrance.pointwise.kernel.shape) == (1, 1, 1, 8)
    assert tuple(entrance.convolution.kernel.shape) == (4, 4, 8, 8)


@EACH_PHASE
def test_the_first_of_two_folded_convolutions_has_no_bias(phase):
    """A border of zeros enters two convolutions in turn as it enters their fold only without one."""
    for model in (generator(phase), critic(phase)):
        entrances = [layer for layer in model.layers if isinstance(layer, FoldedEntrance)]
        assert len(entrances) == 1 and not entrances[0].pointwise.use_bias


@EACH_PHASE
def test_mask_path_ends_at_4x2x8(phase):
    assert generator(phase).get_layer("mask_1_activation").output.shape == (None, 4, 2, 8)


@EACH_PHASE
def test_mask_embedding_is_a_dense_layer_of_32_on_the_flat_last_block(phase):
    embedding = generator(phase).get_layer("mask_embedding")
    assert embedding.kernel.shape == (4 * 2 * 8, 32)
    assert sources(embedding) == ["mask_flat"]


# --- latent path --------------------------------------------------------------------------------


@BOTH
@EACH_PHASE
def test_132_numbers_enter_the_projection_to_4x2x128(phase, embedding):
    projection = generator(phase, embedding).get_layer("projection")
    assert projection.kernel.shape == (132, 4 * 2 * 128)
    assert generator(phase, embedding).get_layer("projection_4x2").output.shape == (None, 4, 2, 128)


@EACH_PHASE
def test_the_132_numbers_are_latent_then_embedding(phase):
    joined = generator(phase).get_layer("latent_and_embedding")
    assert [tensor.shape for tensor in joined.input] == [(None, 100), (None, 32)]
    assert sources(joined) == ["latent", "mask_embedding"]


@EACH_PHASE
def test_the_baseline_projects_its_latent_alone(phase):
    assert sources(generator(phase, False).get_layer("projection")) == ["latent"]


@EACH_PHASE
def test_the_baseline_lacks_the_embedding_and_the_mask_block_that_only_it_reads(phase):
    theirs, ours = (
        {weight.path.split("/")[-2] for weight in generator(phase, embedding).weights} for embedding in (True, False)
    )
    assert theirs - ours == {"mask_embedding", "mask_1"} | ({"from_mask_1"} if phase == 1 else set())


@BOTH
@EACH_PHASE
def test_latent_path_has_p_transposed_convolutions_with_the_printed_kernels(phase, embedding):
    convolutions = layers_of(generator(phase, embedding), keras.layers.Conv2DTranspose)
    assert [c.filters for c in convolutions] == LATENT_FILTERS[:phase]
    assert {(c.kernel_size, c.strides, c.padding) for c in convolutions} == {((4, 4), (2, 2), "same")}


def test_each_kernel_count_is_four_fifths_of_the_last():
    for last, following in zip(LATENT_FILTERS, LATENT_FILTERS[1:]):
        assert following == round(0.8 * last)


@EACH_PHASE
def test_each_transposed_convolution_sees_the_last_block_and_8_mask_features(phase):
    channels = [c.kernel.shape[-1] for c in layers_of(generator(phase), keras.layers.Conv2DTranspose)]
    assert channels == [128, *(filters + 8 for filters in LATENT_FILTERS[: phase - 1])]


@EACH_PHASE
def test_each_latent_block_is_activated_and_pixel_normalised(phase):
    for level in range(1, phase + 1):
        norm = generator(phase).get_layer(f"latent_{level}_norm")
        assert isinstance(norm, keras.layers.RMSNormalization) and not norm.trainable_variables
        assert sources(norm) == [f"latent_{level}_activation"]


@EACH_PHASE
def test_every_activation_is_leaky_relu_of_slope_0_2(phase):
    for model in (generator(phase), critic(phase)):
        slopes = [layer.negative_slope for layer in layers_of(model, keras.layers.LeakyReLU)]
        assert len(slopes) == 2 * phase + 1 if model is generator(phase) else phase + 1
        assert slopes == pytest.approx([0.2] * len(slopes))


@EACH_PHASE
def test_the_image_comes_from_a_1x1_convolution_to_one_channel(phase):
    layer = generator(phase).get_layer(f"to_image_{phase}")
    assert tuple(layer.kernel.shape) == (1, 1, LATENT_FILTERS[phase - 1], 1)
    assert layer.activation is keras.activations.linear


# --- skip connections ---------------------------------------------------------------------------


@BOTH
@EACH_PHASE
def test_every_mask_block_but_the_last_joins_the_latent_block_of_its_resolution(phase, embedding):
    model = generator(phase, embedding)
    joins = [layer for layer in layers_of(model, keras.layers.Concatenate) if len(layer.output.shape) == 4]
    assert [sources(join) for join in joins] == [
        [f"latent_{level}_norm", f"mask_{level + 1}_activation"] for level in range(1, phase)
    ]
    assert [join.output.shape[1:3] for join in joins] == [SIZES[level] for level in range(1, phase)]


@EACH_PHASE
def test_nothing_joins_at_4x2_nor_at_full_resolution(phase):
    model = generator(phase)
    assert sources(model.get_layer("latent_1")) == ["projection_norm"]
    assert sources(model.get_layer(f"to_image_{phase}")) == [f"latent_{phase}_norm"]


# --- critic -------------------------------------------------------------------------------------


@EACH_PHASE
def test_critic_mirrors_the_kernels_of_the_latent_path(phase):
    counts = [128, *LATENT_FILTERS]
    kernels = [tuple(layer.kernel.shape) for layer in stride_2(critic(phase))]
    assert kernels == [(4, 4, counts[level], counts[level - 1]) for level in range(phase, 0, -1)]


@EACH_PHASE
def test_image_and_mask_enter_the_critic_through_a_1x1_convolution(phase):
    entrance = critic(phase).get_layer(f"critic_entrance_{phase}")
    assert tuple(entrance.pointwise.kernel.shape) == (1, 1, 2, LATENT_FILTERS[phase - 1])


@EACH_PHASE
def test_critic_ends_in_deviation_of_4_then_3x3_convolution_of_128_then_one_number(phase):
    model = critic(phase)
    assert [layer.group_size for layer in layers_of(model, MinibatchStandardDeviation)] == [4]
    assert sources(model.get_layer("critic_0")) == ["minibatch_deviation"]
    assert tuple(model.get_layer("critic_0").kernel.shape) == (3, 3, 129, 128)
    assert model.get_layer("score").kernel.shape == (4 * 2 * 128, 1)


@EACH_PHASE
def test_critic_has_no_normalisation(phase):
    assert not [layer.name for layer in critic(phase).layers if "Normalization" in type(layer).__name__]


def test_critic_sees_the_image_mapped_to_minus_1_to_1():
    scaled = critic(1).get_layer("image_scaled")
    np.testing.assert_allclose(scaled(np.array([0.0, 0.5, 1.0])), [-1, 0, 1])


# --- switches -----------------------------------------------------------------------------------


def test_baseline_latent_is_longer_by_the_embedding():
    config = NetworkConfig().without_embedding()
    assert (config.latent_size, config.embedding_size) == (132, 0)


# --- additions of the preset `film` -------------------------------------------------------------


def film_image(config: NetworkConfig, phase: int = 3, latents: np.ndarray | None = None) -> np.ndarray:
    keras.utils.set_random_seed(0)
    _, masks, drawn = tiny.inputs(phase)
    model = build_generator(config, phase, fading=False)
    for name in ("noise_2_strength", "noise_3_strength"):
        if name in {layer.name for layer in model.layers}:
            model.get_layer(name).set_weights([np.ones(model.get_layer(name).get_weights()[0].shape)])
    for level in (2, 3):
        layer = model.get_layer(f"to_image_{level}")
        layer.set_weights([np.ones(layer.get_weights()[0].shape), np.zeros(1)])
    return np.asarray(model([masks, drawn if latents is None else latents]))


def test_an_image_times_its_mask_is_zero_outside():
    _, masks, _ = tiny.inputs(3)
    image = film_image(tiny.FILM)
    assert not image[masks == 0].any() and image[masks == 1].any()
    assert film_image(replace(tiny.FILM, times_mask=False))[masks == 0].any()


def test_the_image_is_a_sum_over_levels():
    keras.utils.set_random_seed(0)
    model = build_generator(tiny.FILM, 3, fading=False)
    tiny.randomise(model)
    names = ["image_2_enlarged", "to_image_2", "image_2", "image_3_enlarged", "to_image_3", "image_3", "to_image_1"]
    _, masks, latents = tiny.inputs(3)
    parts = keras.Model(model.inputs, [model.get_layer(name).output for name in names])([masks, latents])
    part = dict(zip(names, map(np.asarray, parts), strict=True))
    for level, below in ((2, "to_image_1"), (3, "image_2")):
        enlarged = keras.layers.UpSampling2D(2, interpolation="bilinear")(part[below])
        np.testing.assert_allclose(part[f"image_{level}_enlarged"], enlarged, atol=1e-6)
        np.testing.assert_allclose(part[f"image_{level}"], enlarged + part[f"to_image_{level}"], atol=1e-5)


def test_averages_are_kept_by_what_every_2x2_pixels_lack():
    image = np.array([[1.0, 3, 0, 0], [2, 2, 0, 4]])[None, ..., None]  # averages 2 and 1
    kept = keep_average(image, np.array([[2.5, 0.0]])[None, ..., None], "image")
    assert np.asarray(kept)[0, ..., 0].tolist() == [[1.5, 3.5, -1, -1], [2.5, 2.5, -1, 3]]


def test_a_level_adds_nothing_to_the_image_at_first():
    model = build_generator(tiny.FILM, 3, fading=False)
    assert not np.any(model.get_layer("to_image_3").get_weights()[0])
    assert not np.any(model.get_layer("to_image_2").get_weights()[0])
    assert np.any(model.get_layer("to_image_1").get_weights()[0])


def test_noise_is_determined_by_the_latent_and_shows_once_it_has_strength():
    _, _, latents = tiny.inputs(3)
    image = film_image(tiny.FILM)
    assert np.array_equal(image, film_image(tiny.FILM))
    assert np.abs(image - film_image(replace(tiny.FILM, noise_levels=()))).max() > 0.01
    assert np.abs(image - film_image(tiny.FILM, latents=-latents)).max() > 0.01


def test_noise_has_variance_1_and_no_strength_at_first():
    model = build_generator(replace(tiny.FILM, noise_levels=(5,)), 5, fading=False)
    assert not np.any(model.get_layer("noise_5_strength").get_weights()[0])
    noise = keras.Model(model.inputs, model.get_layer("noise_5_field").output)
    _, masks, latents = tiny.inputs(5)
    assert np.asarray(noise([masks, latents])).var() == pytest.approx(1, abs=0.05)


def test_a_second_convolution_of_size_3_follows_each_transposed_one():
    model = build_generator(tiny.FILM, 3, fading=False)
    second = [model.get_layer(f"latent_{level}_second") for level in (1, 2, 3)]
    assert [(layer.kernel_size, layer.filters) for layer in second] == [
        ((3, 3), tiny.NETWORK.filters(n)) for n in (1, 2, 3)
    ]
    assert sources(second[2]) == ["latent_3_norm"]
    assert sources(model.get_layer("to_image_3")) == ["latent_3_second_norm"]


def test_the_critic_has_first_convolutions_up_to_a_level_and_a_dense_layer():
    model = build_critic(tiny.FILM, 3)
    names = [layer.name for layer in layers_of(model, keras.layers.Conv2D) if layer.kernel_size == (3, 3)]
    assert names == ["critic_2_first", "critic_1_first", "critic_0"]
    assert sources(model.get_layer("score")) == ["critic_dense_activation"]
    assert sources(model.get_layer("critic_2")) == ["critic_2_first_activation"]


# --- the generator a user loads -----------------------------------------------------------------


@pytest.mark.parametrize("config", [tiny.NETWORK, tiny.FILM], ids=["plain", "film"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_finished_generator_gives_the_clipped_outputs_of_the_trained_one(dtype, config):
    trained = build_generator(config, 2, dtype=dtype)
    _, masks, latents = tiny.inputs(2)
    wanted = np.clip(trained([masks, latents, np.ones(1, np.float32)]), 0, 1)
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(finished_generator(trained, config, 2)([masks, latents]), wanted, atol=tolerance)


@pytest.mark.parametrize("config", [tiny.NETWORK, tiny.FILM], ids=["plain", "film"])
def test_finished_generator_is_made_of_keras_layers_in_float32(config):
    finished = finished_generator(build_generator(config, 3, dtype="mixed_bfloat16"), config, 3)
    assert {type(layer).__module__.split(".")[0] for layer in finished.layers} == {"keras"}
    assert {layer.compute_dtype for layer in finished.layers} == {"float32"}


def test_finished_generator_stays_within_0_and_1():
    keras.utils.set_random_seed(0)
    trained = build_generator(tiny.NETWORK, 2)
    trained.get_layer("to_image_2").set_weights([np.full((1, 1, 8, 1), 50.0), np.zeros(1)])
    _, masks, latents = tiny.inputs(2)
    images = np.asarray(finished_generator(trained, tiny.NETWORK, 2)([masks, latents]))
    assert images.min() == 0 and images.max() == 1


def test_images_and_scores_are_float32_under_bfloat16():
    images, masks, latents = tiny.inputs(2)
    alpha = np.ones(1, np.float32)
    fake = build_generator(tiny.NETWORK, 2, dtype="mixed_bfloat16")([masks, latents, alpha])
    score = build_critic(tiny.NETWORK, 2, dtype="mixed_bfloat16")([images, masks, alpha])
    assert keras.backend.standardize_dtype(fake.dtype) == keras.backend.standardize_dtype(score.dtype) == "float32"
