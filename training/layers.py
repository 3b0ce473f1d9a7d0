"""Layers that several systems share, written with `keras.ops` alone.

The equalised learning rate (Karras et al., *Progressive Growing of GANs*, 2018, §4.1) keeps every stored kernel at
unit variance and multiplies it by `gain / √fan_in` each time it is used, so that one learning rate suits all layers.
`stock_weights` folds that factor back in, which is how a trained network becomes one of plain Keras layers.
"""

import math

import keras
import numpy as np
from keras import ops

PACKAGE = "synthetic_mammography"
LEAKY_RELU_GAIN = math.sqrt(2.0)
LEAKY_SLOPE = 0.2
NOISE_MAPS = 8  # per resolution that has noise
PHASE = 6.0  # standard deviation, in radians, of the angles whose cosine is independent noise


def leaky_relu(name: str, dtype: str) -> keras.layers.Layer:
    """Make the activation of every hidden layer of ours: LeakyReLU of slope 0.2."""
    return keras.layers.LeakyReLU(LEAKY_SLOPE, name=name, dtype=dtype)


class _EqualizedKernel:
    """Mixin: `kernel` is the stored kernel times `kernel_scale`."""

    stock: type[keras.layers.Layer]
    bias: keras.Variable
    use_bias: bool

    def __init__(self, *args, gain: float = LEAKY_RELU_GAIN, **kwargs):
        kwargs.setdefault("kernel_initializer", keras.initializers.RandomNormal(stddev=1.0))
        super().__init__(*args, **kwargs)
        self.gain = gain

    @property
    def kernel(self):
        return self._kernel * self.kernel_scale

    @kernel.setter
    def kernel(self, variable):  # Conv2DTranspose.build assigns it; Conv2D and Dense assign `_kernel`
        self._kernel = variable

    @property
    def kernel_scale(self) -> float:
        return self.gain / math.sqrt(self.fan_in)

    @property
    def fan_in(self) -> float:
        """Number of input values that reach one output value."""
        return math.prod(self._kernel.shape[:-1])

    def stock_layer(self) -> keras.layers.Layer:
        """Return the plain Keras layer that computes the same once given `stock_weights()`."""
        config = {**self.get_config(), "dtype": "float32"}
        del config["gain"]
        return self.stock.from_config(config)

    def stock_weights(self) -> list[np.ndarray]:
        """Return this layer's weights with the run-time scale folded into the kernel."""
        kernel = ops.convert_to_numpy(self._kernel) * np.float32(self.kernel_scale)
        return [kernel, ops.convert_to_numpy(self.bias)] if self.use_bias else [kernel]

    # Conv2D and Dense would store the scaled kernel
    save_own_variables = keras.layers.Layer.save_own_variables
    load_own_variables = keras.layers.Layer.load_own_variables

    def get_config(self) -> dict:
        return {**super().get_config(), "gain": self.gain}  # type: ignore[misc]


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedDense(_EqualizedKernel, keras.layers.Dense):
    """`keras.layers.Dense` with an equalised learning rate; fan_in is the input's width."""

    stock = keras.layers.Dense


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedConv2D(_EqualizedKernel, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with an equalised learning rate; fan_in is size² × input channels."""

    stock = keras.layers.Conv2D

    def convolution_op(self, inputs, kernel):
        if self.kernel_size != (1, 1) or self.strides != (1, 1) or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        # a matrix product: what a 1×1 convolution is, with faster gradients
        pixels = ops.matmul(ops.reshape(inputs, (-1, inputs.shape[-1])), kernel[0, 0])
        return ops.reshape(pixels, (-1, *inputs.shape[1:-1], kernel.shape[-1]))


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedConv2DTranspose(_EqualizedKernel, keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with an equalised learning rate.

    fan_in counts what reaches an *output*: (size / stride)² × input channels, 4 × channels for size 4, stride 2.
    """

    stock = keras.layers.Conv2DTranspose

    @property
    def fan_in(self) -> float:
        taps = math.prod(size / stride for size, stride in zip(self.kernel_size, self.strides))
        return taps * self._kernel.shape[-1]

    def call(self, inputs):
        """Compute what the stock layer does, with `add_bias`."""
        arguments = {"strides": self.strides, "padding": self.padding, "data_format": self.data_format}
        outputs = ops.conv_transpose(inputs, self.kernel, **arguments)
        return add_bias(outputs, self.bias) if self.use_bias else outputs


def add_bias(x, bias):
    """Add a bias (channels,) to x (..., channels); its gradient is summed by a matrix product (ours).

    TensorFlow's own sum over all pixels takes ten times as long. A convolution does this by itself where it is followed
    by a bias, a transposed one does not.
    """

    @ops.custom_gradient
    def add(x, bias):
        def gradient(*arguments, upstream=None):
            g = arguments[0] if upstream is None else upstream
            pixels = ops.reshape(g, (-1, g.shape[-1]))
            return g, ops.matmul(ops.ones((1, ops.shape(pixels)[0]), dtype=g.dtype), pixels)[0]

        return ops.add(x, bias), gradient

    return add(x, ops.cast(bias, x.dtype))


@keras.saving.register_keras_serializable(PACKAGE)
class FoldedEntrance(keras.layers.Layer):
    """A linear 1×1 convolution and the stride-2 convolution after it, computed as one.

    A grown network enters its image at a 1×1 convolution to many features at full resolution. Without an activation
    between, the pair is one convolution of the few input channels: the same function at a fraction of the cost, with
    no feature map at full resolution (ours). Both kernels stay variables of their own, so that growing can part them.

    The one convolution is computed on blocks of 2×2 pixels that became channels: the same sums, but convolutions of one
    or two channels are several times slower than those of four or eight.

    Args:
        pointwise: EqualizedConv2D of size 1 without a bias.
        convolution: EqualizedConv2D of size 4 and stride 2 applied to what `pointwise` gives.
    """

    def __init__(self, pointwise: EqualizedConv2D, convolution: EqualizedConv2D, **kwargs):
        super().__init__(**kwargs)
        self.pointwise, self.convolution = pointwise, convolution

    def build(self, input_shape):
        joined = _joined_shape(input_shape)
        if not self.pointwise.built:  # a loaded model has built its layers already
            self.pointwise.build(joined)
        if not self.convolution.built:
            self.convolution.build(self.pointwise.compute_output_shape(joined))

    def folded_kernel(self):
        """Return the kernel (4, 4, input channels, filters) of the one convolution."""
        return ops.matmul(self.pointwise.kernel[0, 0], self.convolution.kernel)

    def call(self, inputs):
        """Compute features at half resolution of an image, or of a list of images whose channels are joined."""
        images = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        blocks = ops.concatenate([_blocks_of_pixels(image) for image in images], axis=-1)
        kernel = ops.cast(self.folded_kernel(), blocks.dtype)
        outputs = ops.conv(blocks, _kernel_of_blocks(kernel, [image.shape[-1] for image in images]), padding="valid")
        return ops.add(outputs, ops.cast(self.convolution.bias, outputs.dtype))

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(self.pointwise.compute_output_shape(_joined_shape(input_shape)))

    def stock_layer(self) -> keras.layers.Layer:
        return keras.layers.Conv2D.from_config({**self.convolution.stock_layer().get_config(), "name": self.name})

    def stock_weights(self) -> list[np.ndarray]:
        return [ops.convert_to_numpy(self.folded_kernel()), ops.convert_to_numpy(self.convolution.bias)]

    def get_config(self) -> dict:
        layers = {"pointwise": self.pointwise, "convolution": self.convolution}
        serialized = {name: keras.saving.serialize_keras_object(layer) for name, layer in layers.items()}
        return {**super().get_config(), **serialized}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("pointwise", "convolution"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def _joined_shape(shape) -> tuple:
    """The shape of one image, or of several with their channels joined."""
    if isinstance(shape[0], (list, tuple)):
        return (*shape[0][:-1], sum(one[-1] for one in shape))
    return tuple(shape)


def _blocks_of_pixels(image):
    """(n, h, w, c) → (n, h/2 + 1, w/2 + 1, 4c): each block of 2×2 pixels of the image with a border of one zero."""
    _, height, width, channels = image.shape
    rows, columns = height // 2 + 1, width // 2 + 1
    bordered = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = ops.reshape(bordered, (-1, rows, 2, columns, 2 * channels))
    return ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (-1, rows, columns, 4 * channels))


def _kernel_of_blocks(kernel, channels: list[int]):
    """A kernel (4, 4, sum of `channels`, filters) of stride 2 as one (2, 2, 4 · sum, filters) of blocks of pixels.

    Args:
        channels: those of each image, whose blocks are joined one after another.
    """
    parts, first = [], 0
    for count in channels:
        part = ops.reshape(kernel[:, :, first : first + count], (2, 2, 2, 2, count, -1))
        part = ops.transpose(part, (0, 2, 1, 3, 4, 5))
        parts.append(ops.reshape(part, (2, 2, 4 * count, -1)))
        first += count
    return ops.concatenate(parts, axis=2)


@keras.saving.register_keras_serializable(PACKAGE)
class MinibatchStandardDeviation(keras.layers.Layer):
    """Append one channel: the mean standard deviation within each group of images (Karras et al. 2018, §3).

    Groups are runs of `group_size` *consecutive* images, so that a batch split over replicas at a multiple of the
    group size gives the same scores as the whole batch. The batch must be a multiple of `group_size`.

    Args:
        group_size: int. Images per group. Defaults to 4.
    """

    def __init__(self, group_size: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, inputs):
        height, width, channels = inputs.shape[1:]
        grouped = ops.reshape(_precise(inputs), (-1, self.group_size, height, width, channels))
        deviation = ops.sqrt(ops.var(grouped, axis=1) + 1e-8)  # 1e-8: √ has no finite gradient at 0
        statistic = ops.mean(deviation, axis=(1, 2, 3), keepdims=True)  # [N / group, 1, 1, 1]
        statistic = ops.repeat(statistic, self.group_size, axis=0)
        channel = ops.broadcast_to(statistic, (ops.shape(inputs)[0], height, width, 1))
        return ops.concatenate([inputs, ops.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict:
        return {**super().get_config(), "group_size": self.group_size}


@keras.saving.register_keras_serializable(PACKAGE)
class FadeIn(keras.layers.Layer):
    """Blend `[old, new, alpha]` to `old + alpha · (new − old)`: alpha 0 is the old path, 1 the new one."""

    def call(self, inputs):
        old, new, alpha = inputs
        return old + ops.cast(alpha, new.dtype) * (new - old)

    def compute_output_shape(self, input_shape):
        return input_shape[1]


@keras.saving.register_keras_serializable(PACKAGE)
class PixelNorm(keras.layers.RMSNormalization):
    """Divide each pixel's features by their root mean square (Karras et al. 2018, §4.2).

    A stock RMSNormalization whose scale stays at one, with its gradient written out: with y = x·r, where
    r = 1/√(mean x² + ε), a gradient g of y becomes r·(g − y·mean(g·y)) (ours). It may be differentiated again.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"epsilon": 1e-8, **kwargs, "trainable": False})

    def call(self, inputs):
        @ops.custom_gradient
        def normalise(x):
            factor = ops.rsqrt(_mean_over_features(x * x) + self.epsilon)
            y = x * ops.cast(factor, x.dtype)

            def gradient(*arguments, upstream=None):
                g = arguments[0] if upstream is None else upstream
                return ops.cast(factor, x.dtype) * (g - y * ops.cast(_mean_over_features(g * y), x.dtype))

            return y, gradient

        return normalise(inputs)

    def stock_layer(self) -> keras.layers.Layer:
        return keras.layers.RMSNormalization.from_config({**self.get_config(), "dtype": "float32"})


def _mean_over_features(x):
    """Mean over the last axis, which is kept."""
    return ops.mean(_precise(x), axis=-1, keepdims=True)


def _precise(x):
    """x in float32 at least: bfloat16 cannot add many numbers."""
    return ops.cast(x, "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32")


def determined_noise(numbers, height: int, width: int, name: str, independent: bool = False):
    """Make white noise (n, height, width, 1) of variance 1 that `numbers` (n, size) determine, in float32.

    A bank of `NOISE_MAPS` frozen random maps, mixed by frozen random weights of the numbers: the same numbers, the same
    noise, and only stock layers and operations. All these mixtures lie in a space of `NOISE_MAPS` dimensions, so that
    two of them have a correlation of 0.3 on average.

    Args:
        independent: whether the noise is the cosine of such a mixture, of angles; its variance is 1/2 (ours). The
            noise of two draws of numbers is then uncorrelated, and its mean over all draws is zero in every pixel.
    """
    frozen = {"use_bias": False, "trainable": False, "dtype": "float32"}
    spread = (PHASE if independent else 1.0) * NOISE_MAPS**-0.5
    unit, shared = (keras.initializers.RandomNormal(stddev=size) for size in (1.0, spread))
    mixture = keras.layers.Dense(NOISE_MAPS, kernel_initializer=unit, name=f"{name}_drawn", **frozen)(numbers)
    mixture = PixelNorm(name=f"{name}_mixture", dtype="float32")(mixture)  # equally strong for all
    field = keras.layers.Dense(height * width, kernel_initializer=shared, name=f"{name}_maps", **frozen)(mixture)
    if independent:
        field = keras.ops.cos(field)
    return keras.layers.Reshape((height, width, 1), name=f"{name}_field", dtype="float32")(field)


@keras.saving.register_keras_serializable(PACKAGE)
class Cropping(keras.layers.Cropping2D):
    """`keras.layers.Cropping2D` whose gradient is one padding.

    TensorFlow's gradient of a strided slice, of which the stock layer consists, takes more than ten times as long.
    """

    def call(self, inputs):
        (top, bottom), (left, right) = self.cropping
        count, height, width, channels = ops.shape(inputs)
        return ops.slice(inputs, (0, top, left, 0), (count, height - top - bottom, width - left - right, channels))

    def stock_layer(self) -> keras.layers.Layer:
        return keras.layers.Cropping2D(self.cropping, name=self.name, dtype="float32")


def repeat_border(features, name: str, dtype: str, width: int = 1, cropping: type = Cropping):
    """Repeat the border of (n, height, width, channels) `width` times on every side; zeros there would leave a frame.

    Args:
        cropping: keras.layers.Cropping2D where all layers must be stock layers, which have no padding of this kind.
    """
    for axis, side in ((1, "rows"), (2, "columns")):
        others = features.shape[axis] - 1
        ends = []
        for place, rows_or_columns in (("first", (0, others)), ("last", (others, 0))):
            sides = (rows_or_columns, (0, 0)) if axis == 1 else ((0, 0), rows_or_columns)
            crop = cropping(sides, name=f"{name}_{side}_{place}", dtype=dtype)
            ends.append(crop(features))
        parts = [*width * ends[:1], features, *width * ends[1:]]
        features = keras.layers.Concatenate(axis, name=f"{name}_{side}", dtype=dtype)(parts)
    return features


@keras.saving.register_keras_serializable(PACKAGE)
class LowPass(keras.layers.DepthwiseConv2D):
    """A fixed [1 2 1]⊗[1 2 1]/16 filter on every channel.

    It takes away what a stride-2 transposed convolution leaves: the checkerboard (Odena et al. 2016).
    """

    def __init__(self, **kwargs):
        kwargs = {"padding": "same", **kwargs, "kernel_size": 3, "use_bias": False, "trainable": False}
        super().__init__(**kwargs)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        taps = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16.0
        self.kernel.assign(np.broadcast_to(taps[:, :, None, None], self.kernel.shape))

    def stock_layer(self) -> keras.layers.Layer:
        return keras.layers.DepthwiseConv2D(
            3, padding=self.padding, use_bias=False, trainable=False, name=self.name, dtype="float32"
        )
