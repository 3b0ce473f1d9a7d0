"""Shared layers against numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.layers import (
    Cropping,
    EqualizedConv2D,
    EqualizedConv2DTranspose,
    EqualizedDense,
    FadeIn,
    FoldedEntrance,
    LowPass,
    MinibatchStandardDeviation,
    PixelNorm,
    add_bias,
    determined_noise,
    repeat_border,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def built(layer, shape):
    layer.build(shape)
    return layer


# --- equalised learning rate --------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer, shape, scale",
    [
        (EqualizedDense(3, gain=1.0), (None, 16), 1 / 4),
        (EqualizedDense(3), (None, 8), 1 / 2),  # √2 / √8
        (EqualizedConv2D(5, 4, strides=2, gain=1.0), (None, 8, 8, 9), 1 / 12),  # 4 · 4 · 9 values in
        (EqualizedConv2DTranspose(5, 4, strides=2, gain=1.0), (None, 8, 8, 9), 1 / 6),  # 2 · 2 · 9 reach an output
        (EqualizedConv2DTranspose(5, 3, strides=1, gain=3.0), (None, 8, 8, 4), 1 / 2),  # stride 1: all 9 · 4
    ],
    ids=["dense", "default gain", "convolution", "transposed stride 2", "transposed stride 1"],
)
def test_kernel_scale_is_gain_over_root_of_fan_in(layer, shape, scale):
    assert built(layer, shape).kernel_scale == pytest.approx(scale)


def test_stored_kernel_has_unit_variance():
    layer = built(EqualizedConv2D(64, 3), (None, 8, 8, 64))
    assert np.std(layer.get_weights()[0]) == pytest.approx(1, abs=0.02)


def test_dense_uses_the_scaled_kernel():
    layer = built(EqualizedDense(3, gain=1.0), (None, 4))
    kernel, x = noise(4, 3), noise(2, 4)
    layer.set_weights([kernel, np.ones(3)])
    np.testing.assert_allclose(layer(x), x @ kernel / 2 + 1, rtol=1e-5, atol=1e-6)


def test_output_of_a_transposed_convolution_keeps_unit_variance():
    layer = EqualizedConv2DTranspose(64, 4, strides=2, padding="same", gain=1.0)
    inside = np.asarray(layer(noise(8, 8, 8, 64)))[:, 2:-2, 2:-2]
    assert np.std(inside) == pytest.approx(1, abs=0.05)


def test_gradient_reaches_the_stored_kernel_scaled():
    import tensorflow as tf

    layer = built(EqualizedDense(1, gain=1.0, use_bias=False), (None, 4))
    x = noise(1, 4)
    with tf.GradientTape() as tape:
        y = layer(x)[0, 0]
    np.testing.assert_allclose(tape.gradient(y, layer.trainable_variables)[0][:, 0], x[0] / 2, rtol=1e-6)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (EqualizedDense(3, gain=0.7), (2, 5)),
        (EqualizedConv2D(3, 4, strides=2, padding="same", gain=0.7), (2, 8, 4, 5)),
        (EqualizedConv2DTranspose(3, 4, strides=2, padding="same", gain=0.7), (2, 8, 4, 5)),
        (LowPass(), (2, 8, 4, 5)),
        (
            FoldedEntrance(
                EqualizedConv2D(6, 1, use_bias=False, gain=0.7), EqualizedConv2D(3, 4, strides=2, padding="same")
            ),
            (2, 8, 4, 5),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_stock_layer_with_stock_weights_computes_the_same(layer, shape):
    x = noise(*shape)
    wanted = layer(x)
    stock = layer.stock_layer()
    stock.build(shape)
    stock.set_weights(getattr(layer, "stock_weights", layer.get_weights)())
    assert type(stock).__module__.startswith("keras.")
    np.testing.assert_allclose(stock(x), wanted, rtol=1e-5, atol=1e-5)


# --- folded entrance ----------------------------------------------------------------------------


def entrance() -> FoldedEntrance:
    layer = FoldedEntrance(
        EqualizedConv2D(6, 1, use_bias=False, gain=0.7), EqualizedConv2D(3, 4, strides=2, padding="same")
    )
    layer.build((None, 8, 4, 2))
    layer.convolution.set_weights([layer.convolution.get_weights()[0], noise(3)])
    return layer


def test_folded_entrance_equals_its_two_convolutions_in_turn():
    layer, x = entrance(), noise(2, 8, 4, 2)
    np.testing.assert_allclose(layer(x), layer.convolution(layer.pointwise(x)), rtol=1e-4, atol=1e-5)


def test_folded_entrance_of_several_images_joins_their_channels():
    layer, x = entrance(), noise(2, 8, 4, 2)
    np.testing.assert_allclose(layer([x[..., :1], x[..., 1:]]), layer(x), rtol=1e-5, atol=1e-6)


def test_bias_is_added_and_its_gradient_is_the_sum_over_pixels():
    x, upstream = tf.constant(noise(2, 3, 4, 5)), tf.constant(noise(2, 3, 4, 5) ** 2)
    bias = tf.Variable([1.0, 2.0, 3.0, 4.0, 5.0])
    with tf.GradientTape() as tape:
        y = add_bias(x, bias)
    np.testing.assert_allclose(y, x + bias)
    np.testing.assert_allclose(tape.gradient(y, bias, upstream), np.sum(upstream, axis=(0, 1, 2)), rtol=1e-5)


def test_folded_entrance_trains_both_kernels_and_the_bias():
    assert [tuple(v.shape) for v in entrance().trainable_variables] == [(1, 1, 2, 6), (4, 4, 6, 3), (3,)]


# --- minibatch standard deviation ---------------------------------------------------------------


def test_deviation_of_a_group_by_hand():
    values = np.array([0.0, 0.0, 4.0, 4.0], np.float32)  # standard deviation 2
    x = np.stack([values, 3 * values], -1).reshape(4, 1, 1, 2)  # 2 and 6: mean 4
    added = np.asarray(MinibatchStandardDeviation(4)(x))[..., -1]
    np.testing.assert_allclose(added, 4, rtol=1e-6)


def test_deviation_appends_one_channel_and_keeps_the_rest():
    x = noise(4, 4, 2, 3)
    y = np.asarray(MinibatchStandardDeviation(4)(x))
    assert y.shape == (4, 4, 2, 4)
    np.testing.assert_array_equal(y[..., :3], x)


def test_groups_are_consecutive_images():
    x = np.array([1, 1, 0, 2], np.float32).reshape(4, 1, 1, 1)
    added = np.asarray(MinibatchStandardDeviation(2)(x))[:, 0, 0, 1]
    np.testing.assert_allclose(added, [1e-4, 1e-4, 1, 1], rtol=1e-4)


def test_a_group_alone_scores_as_in_its_batch():
    x, layer = noise(8, 4, 2, 3), MinibatchStandardDeviation(4)
    np.testing.assert_array_equal(np.asarray(layer(x))[4:], layer(x[4:]))


def test_gradient_is_finite_where_all_images_are_equal():
    import tensorflow as tf

    x = tf.ones((4, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(MinibatchStandardDeviation(4)(x)[..., -1])
    assert np.isfinite(tape.gradient(y, x)).all()


def test_deviation_is_computed_in_the_precision_of_a_float64_network():
    x = np.random.default_rng(0).standard_normal((4, 2, 2, 3))
    wanted = np.sqrt(x.var(0) + 1e-8).mean()
    added = np.asarray(MinibatchStandardDeviation(4, dtype="float64")(x))[0, 0, 0, -1]
    assert added == pytest.approx(wanted, rel=1e-12)


# --- fade-in, pixel norm, low-pass --------------------------------------------------------------


@pytest.mark.parametrize("alpha, wanted", [(0.0, 2.0), (0.25, 3.0), (1.0, 6.0)])
def test_fade_in_is_linear_in_alpha(alpha, wanted):
    old, new = np.full((1, 2, 2, 1), 2.0, np.float32), np.full((1, 2, 2, 1), 6.0, np.float32)
    np.testing.assert_allclose(FadeIn()([old, new, np.array([alpha], np.float32)]), wanted)


def test_pixel_norm_makes_the_mean_square_of_each_pixel_one():
    x = np.array([[3.0, 4.0], [0.0, 10.0]], np.float32).reshape(1, 2, 1, 2)
    y = np.asarray(PixelNorm(name="norm", dtype="float32")(x)).reshape(2, 2)
    np.testing.assert_allclose(y, [[3 / 12.5**0.5, 4 / 12.5**0.5], [0, 2**0.5]], rtol=1e-5)


def test_pixel_norm_has_nothing_to_train():
    assert not built(PixelNorm(name="norm", dtype="float32"), (None, 4, 2, 8)).trainable_variables


def test_pixel_norm_has_the_gradient_of_the_stock_layer():
    """By the chain rule through the stock layer's operations, in float64."""
    x = tf.constant(np.random.default_rng(0).standard_normal((2, 3, 3, 5)))
    upstream = tf.constant(np.random.default_rng(1).standard_normal((2, 3, 3, 5)))
    ours = PixelNorm(dtype="float64")
    gradients = []
    for layer in (ours, keras.layers.RMSNormalization(epsilon=ours.epsilon, dtype="float64")):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        gradients.append(tape.gradient(y, x, upstream))
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-12)


def test_pixel_norm_may_be_differentiated_twice():
    x = tf.constant(np.random.default_rng(0).standard_normal((1, 2, 2, 5)))
    seconds = []
    for layer in (PixelNorm(dtype="float64"), keras.layers.RMSNormalization(epsilon=1e-8, dtype="float64")):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                score = tf.reduce_sum(layer(x) ** 3)
            slope = tf.reduce_sum(inner.gradient(score, x) ** 2)
        seconds.append(outer.gradient(slope, x))
    assert np.abs(seconds[0]).max() > 0.1
    np.testing.assert_allclose(*seconds, rtol=1e-9, atol=1e-9)


def test_a_1x1_convolution_is_a_matrix_product_of_features():
    x = np.random.default_rng(0).standard_normal((2, 4, 2, 3))
    layer = built(EqualizedConv2D(5, 1, dtype="float64"), (None, 4, 2, 3))
    np.testing.assert_allclose(layer(x), x @ np.asarray(layer.kernel)[0, 0] + np.asarray(layer.bias), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2])
def test_a_repeated_border_is_that_of_numpy(width):
    x = noise(1, 3, 4, 2)
    image = keras.Input(x.shape[1:])
    model = keras.Model(image, repeat_border(image, "border", "float32", width))
    sides = ((0, 0), (width, width), (width, width), (0, 0))
    np.testing.assert_array_equal(model(x), np.pad(x, sides, mode="edge"))


def test_cropping_and_its_gradient_are_those_of_the_stock_layer():
    x, cropping = tf.constant(noise(2, 6, 7, 3)), ((1, 2), (0, 3))
    found = []
    for layer in (Cropping(cropping), keras.layers.Cropping2D(cropping)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            cropped = layer(x)
            total = tf.reduce_sum(cropped**2)
        found.append((cropped, tape.gradient(total, x)))
    for ours, stock in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, stock)


def test_low_pass_of_an_impulse_is_the_binomial_filter():
    x = np.zeros((1, 5, 5, 2), np.float32)
    x[0, 2, 2, 1] = 16
    y = np.asarray(LowPass()(x))[0]
    np.testing.assert_allclose(y[1:4, 1:4, 1], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    assert not y[..., 0].any()


def test_low_pass_removes_a_checkerboard():
    y, x = np.mgrid[:8, :8]
    board = ((x + y) % 2 * 2.0 - 1).reshape(1, 8, 8, 1).astype(np.float32)
    np.testing.assert_allclose(np.asarray(LowPass()(board))[:, 1:-1, 1:-1], 0, atol=1e-7)


def test_low_pass_does_not_train():
    assert not built(LowPass(), (None, 8, 8, 2)).trainable_variables


# --- saving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer, shapes",
    [
        (EqualizedDense(3, gain=0.3, use_bias=False), [(5,)]),
        (EqualizedConv2D(3, 4, strides=2, padding="same", gain=0.3), [(8, 4, 2)]),
        (EqualizedConv2DTranspose(3, 4, strides=2, padding="same", gain=0.3), [(8, 4, 2)]),
        (
            FoldedEntrance(EqualizedConv2D(6, 1, use_bias=False, gain=0.7), EqualizedConv2D(3, 4, strides=2, gain=0.3)),
            [(8, 4, 2)],
        ),
        (MinibatchStandardDeviation(2), [(8, 4, 2)]),
        (LowPass(), [(8, 4, 2)]),
        (FadeIn(), [(8, 4, 2), (8, 4, 2), (1,)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_saved_model_computes_the_same_with_arguments_that_are_not_the_defaults(tmp_path, layer, shapes):
    tensors = [keras.Input(shape) for shape in shapes]
    model = keras.Model(tensors, layer(tensors if len(tensors) > 1 else tensors[0]))
    x = [noise(4, *shape) if shape != (1,) else np.full((4, 1, 1, 1), 0.25, np.float32) for shape in shapes]
    if len(shapes) == 3:  # a batch of alphas
        model = keras.Model(tensors[:2], layer([*tensors[:2], np.array([0.25], np.float32)]))
        x = x[:2]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6, atol=1e-6)


# --- noise --------------------------------------------------------------------------------------


def noise_of(draws: int, independent: bool) -> np.ndarray:
    """Noise of 32×16 pixels, (draws, 512), of as many draws of ten numbers."""
    keras.utils.set_random_seed(0)
    numbers = keras.Input((10,))
    model = keras.Model(numbers, determined_noise(numbers, 32, 16, "noise", independent))
    drawn = np.random.default_rng(0).standard_normal((draws, 10)).astype(np.float32)
    return np.asarray(model(drawn)).reshape(draws, -1)


def test_independent_noise_of_two_draws_is_as_unlike_as_white_noise():
    """512 pixels of white noise: 1/√512 = 0.044 (root mean square); mixtures of 8 maps: 1/√8 at least."""
    rms = lambda found: np.sqrt((np.corrcoef(found)[np.triu_indices(len(found), 1)] ** 2).mean())
    assert rms(noise_of(100, True)) == pytest.approx(512**-0.5, rel=0.1)
    assert rms(noise_of(100, False)) > 0.95 * 8**-0.5


def test_independent_noise_has_no_pattern_that_all_draws_share():
    found = noise_of(400, True)
    assert found.var() == pytest.approx(0.5, rel=0.02)
    assert found.mean(axis=0).std() == pytest.approx((0.5 / 400) ** 0.5, rel=0.1)
