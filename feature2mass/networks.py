"""The four networks of Feature2Mass (Lee et al. 2018, §2.1, §2.3, §3.2), and the numbers that fix their sizes.

    image ‖ margin map ‖ shape map (64, 64, 3) → encoder → visual feature (1024) → decoder → image (64, 64, 1)
    image → D₁ → real or fake, margin          image → D₂ → real or fake, shape

The paper gives the numbers of layers and features and the order within a module; widths, kernel sizes and strides are
ours.
"""

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from feature2mass.refinement import hashed, refined
from training.export import stock_model
from training.layers import PACKAGE, Cropping, LowPass, leaky_relu, repeat_border

SIZE = 64
FEATURES = 1024
EMBEDDING_UNITS = (256, SIZE * SIZE)
LAST_UPSAMPLING = 6  # number of the decoder's unit that reaches 64×64
VERDICT_UNITS = (512, 256)  # of D's first two fully connected layers; the third gives the logits


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and variants of the networks; the defaults are those of Lee et al. 2018, full width.

    The visual feature is 1024 long whatever the width.

    Attributes:
        width: factor on the filters of encoder and decoder.
        filters: of the encoder's first six convolutions, 64×64 to 2×2; the decoder mirrors them.
        discriminator_width: factor on the filters and units of D₁ and D₂.
        discriminator_filters: of each pair of D's convolutions, at 64×64, 32×32, 16×16, 8×8 and 4×4.
        plain_ends: no activation before the encoder's first convolution and no batch normalisation after the decoder's
            last (ours); False: LeakyReLU–Conv–BatchNorm in these modules as well (§3.2).
        activation_last: discriminators of Conv–BatchNorm–LeakyReLU modules, the first without BatchNorm (ours); False:
            LeakyReLU–Conv–BatchNorm (§3.2).
        low_pass: a fixed binomial filter after the decoder's last upsampling, against a mesh of pixels (ours).
        smooth_start: kernels of transposed convolutions that start smooth, for the same reason (ours).
        refined_units: decoder's units after which two convolutions add to the features (ours, `refinement`).
        noise_units: those of them that get noise which the visual feature determines (ours).
        plain_discriminators: no batch normalisation in D₁ and D₂, which hides from them how strong texture is (ours).
    """

    width: float = 1.0
    filters: tuple[int, ...] = (32, 64, 128, 256, 512, 512)
    discriminator_width: float = 1.0
    discriminator_filters: tuple[int, ...] = (32, 64, 128, 256, 512)
    low_pass: bool = False
    smooth_start: bool = False
    plain_ends: bool = False
    activation_last: bool = False
    refined_units: tuple[int, ...] = ()
    noise_units: tuple[int, ...] = ()
    plain_discriminators: bool = False

    def scaled_filters(self) -> list[int]:
        return [max(1, round(self.width * filters)) for filters in self.filters]

    def discriminator(self, sizes: tuple[int, ...]) -> list[int]:
        """Return the filters or units of a discriminator, scaled."""
        return [max(1, round(self.discriminator_width * size)) for size in sizes]


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothUpsampling(keras.initializers.RandomNormal):
    """Kernels of stride-2 transposed convolutions that start as a doubling followed by a random convolution.

    A random 2×2 kernel is convolved with [1 2 1]⊗[1 2 1], linear interpolation, into one of size 4. All four phases of
    the output then see taps of one sum: what is flat stays flat, where independent taps leave a checkerboard (Odena et
    al. 2016). A kernel of size 2 is a random 1×1 kernel repeated.

    Args:
        gain: of the layer before, as for He initialisation; the output's variance is about half its square.
        seed: as for every Keras initialiser.
    """

    def __init__(self, gain: float = 2.0**0.5, seed: int | None = None):
        super().__init__(stddev=1.0, seed=seed)
        self.gain = gain

    def __call__(self, shape: tuple[int, int, int, int], dtype: str | None = None):
        size, _, filters, channels = shape
        spreads = {2: [[1], [1]], 4: [[1, 0], [2, 1], [1, 2], [0, 1]]}
        if size not in spreads:
            raise ValueError(f"SmoothUpsampling: makes kernels of size 2 or 4, not {size}")
        spread = np.array(spreads[size], "float32")
        taps = super().__call__((size // 2, size // 2, filters, channels), dtype="float32")
        kernel = ops.einsum("hy,wx,yxoi->hwoi", spread, spread, taps)
        energy = np.square(spread).sum() ** 2 / 4  # an output pixel sees every other row and column of taps
        return ops.cast(kernel * float(self.gain / np.sqrt(energy * channels)), dtype or "float32")

    def get_config(self) -> dict:
        return {"gain": self.gain, "seed": super().get_config()["seed"]}


# ----------------------------------------------------------------------------------------- pieces


def _output_dtype(dtype: str) -> str:
    """Features, images and logits are float32 whatever the hidden layers compute in, but never less than they do."""
    return "float64" if dtype == "float64" else "float32"


def _batch_norm(name: str, dtype: str, synchronized: bool) -> keras.layers.Layer:
    """Statistics over the global batch: synchronised, two replicas normalise by what one would have seen.

    A short memory (momentum 0.9), because the moving average of the generator averages these statistics once more.
    """
    return keras.layers.BatchNormalization(
        momentum=0.9, synchronized=synchronized, name=f"{name}_normalization", dtype=dtype
    )


def _convolution(
    filters: int, size: int, strides: int, name: str, dtype: str, use_bias: bool = True
) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
        dtype=dtype,
    )


def _label_map(label, name: str, dtype: str):
    """E₁ or E₂: a one-hot label → dense 256 → dense 4096 → (64, 64, 1)."""
    hidden, pixels = EMBEDDING_UNITS
    features = keras.layers.Dense(hidden, kernel_initializer="he_normal", name=f"{name}_1", dtype=dtype)(label)
    features = keras.layers.Dense(pixels, name=f"{name}_2", dtype=dtype)(
        leaky_relu(f"{name}_activation", dtype)(features)
    )
    return keras.layers.Reshape((SIZE, SIZE, 1), name=f"{name}_map", dtype=dtype)(features)


def _encoder_unit(features, filters: int, number: int, config: NetworkConfig, dtype: str, synchronized: bool):
    """LeakyReLU–Conv–BatchNorm; the first unit keeps 64×64, all others halve."""
    name = f"encoder_{number}"
    if number > 1 or not config.plain_ends:
        features = leaky_relu(f"{name}_activation", dtype)(features)
    # at 2×2 three quarters of a kernel of size 4 would see nothing but padding
    size, strides = {1: (3, 1), 7: (2, 2)}.get(number, (4, 2))
    convolution = _convolution(filters, size, strides, name, dtype, use_bias=False)  # batch norm would take it away
    return _batch_norm(name, dtype, synchronized)(convolution(features))


def _decoder_unit(features, filters: int, number: int, config: NetworkConfig, dtype: str, synchronized: bool):
    """LeakyReLU–transposed Conv–BatchNorm, doubling height and width."""
    name = f"decoder_{number}"
    convolution = keras.layers.Conv2DTranspose(
        filters,
        2 if number == 1 else 4,
        strides=2,
        padding="same",
        use_bias=False,  # batch norm would take it away
        kernel_initializer=SmoothUpsampling() if config.smooth_start else "he_normal",
        name=name,
        dtype=dtype,
    )
    features = convolution(leaky_relu(f"{name}_activation", dtype)(features))
    if config.low_pass and number == LAST_UPSAMPLING:
        features = repeat_border(features, f"{name}_border", dtype)
        features = LowPass(padding="valid", name=f"{name}_low_pass", dtype=dtype)(features)
    return _batch_norm(name, dtype, synchronized)(features)


# --------------------------------------------------------------------------------------- networks


def build_encoder(
    config: NetworkConfig, margins: int, shapes: int, *, dtype: str = "float32", synchronized: bool = True
) -> keras.Model:
    """Build the functional encoder with its embeddings E₁ (margin) and E₂ (shape).

    Args:
        dtype: policy of the hidden layers; the feature is float32.
        synchronized: whether batch normalisation sees the batch of all replicas; for training, where TensorFlow runs.

    Returns:
        Model from [image (64, 64, 1) in [0, 1], one-hot margin, one-hot shape] to the visual feature (1024,),
        normalised over the batch.
    """
    image = keras.Input((SIZE, SIZE, 1), name="image")
    margin = keras.Input((margins,), name="margin")
    shape = keras.Input((shapes,), name="shape")

    # 1) the image in [−1, 1] next to a map of each label                                      # [N, 64, 64, 3]
    scaled = keras.layers.Rescaling(2.0, -1.0, name="image_scaled", dtype=dtype)(image)
    maps = [_label_map(margin, "margin_embedding", dtype), _label_map(shape, "shape_embedding", dtype)]
    features = keras.layers.Concatenate(name="image_and_labels", dtype=dtype)([scaled, *maps])

    # 2) seven convolutions                                                                    # [N, 1, 1, 1024]
    for number, filters in enumerate([*config.scaled_filters(), FEATURES], start=1):
        features = _encoder_unit(features, filters, number, config, dtype, synchronized)
    feature = keras.layers.Flatten(name="feature", dtype=_output_dtype(dtype))(features)
    return keras.Model([image, margin, shape], feature, name="encoder")


def build_decoder(config: NetworkConfig, *, dtype: str = "float32", synchronized: bool = True) -> keras.Model:
    """Build the functional decoder, the mirror of the encoder's convolutions.

    Returns:
        Model from a visual feature (1024,) to an image (64, 64, 1), float32; about in [0, 1], where `finished_networks`
        will clip it.
    """
    feature = keras.Input((FEATURES,), name="feature", dtype=_output_dtype(dtype))
    features = keras.layers.Reshape((1, 1, FEATURES), name="feature_map", dtype=dtype)(feature)

    # 1) six transposed convolutions up to 64×64
    numbers = hashed(feature) if config.noise_units else None
    for number, filters in enumerate(reversed(config.scaled_filters()), start=1):
        features = _decoder_unit(features, filters, number, config, dtype, synchronized)
        if number in config.refined_units:
            with_noise = numbers if number in config.noise_units else None
            features = refined(features, with_noise, f"decoder_{number}_refined", dtype)

    # 2) the seventh, of stride 1, to one channel; no sigmoid, which would bend what starts as linear (`linear_start`)
    features = repeat_border(leaky_relu("decoder_7_activation", dtype)(features), "decoder_7_border", dtype)
    last = keras.layers.Conv2DTranspose(1, 3, padding="same", use_bias=config.plain_ends, name="decoder_7", dtype=dtype)
    image = Cropping(1, name="image_cropped", dtype=dtype)(last(features))
    if not config.plain_ends:
        image = _batch_norm("decoder_7", dtype, synchronized)(image)
    image = keras.layers.Rescaling(0.5, 0.5, name="image", dtype=_output_dtype(dtype))(image)
    return keras.Model(feature, image, name="decoder")


def build_discriminator(config: NetworkConfig, classes: int, name: str, *, dtype: str = "float32") -> keras.Model:
    """Build D₁ or D₂: ten convolutions in five pairs, the second of each halving, and three dense layers.

    Batch normalisation only ever runs in training, by the statistics of the images of one call: real images are one
    batch, everything made is another.

    Args:
        classes: number of labels.
        name: of the model; its layers are named after it.

    Returns:
        Model from an image (64, 64, 1) in [0, 1] to [real-or-fake logit (1,), label logits (classes,)], float32.
    """
    image = keras.Input((SIZE, SIZE, 1), name="image", dtype=_output_dtype(dtype))
    features = keras.layers.Rescaling(2.0, -1.0, name=f"{name}_scaled", dtype=dtype)(image)
    number = 0
    for filters in config.discriminator(config.discriminator_filters):
        for size, strides in ((3, 1), (4, 2)):
            number += 1
            layer = f"{name}_{number}"
            normalised = (number > 1 or not config.activation_last) and not config.plain_discriminators
            activation = leaky_relu(f"{layer}_activation", dtype)
            if not config.activation_last:
                features = activation(features)
            features = _convolution(filters, size, strides, layer, dtype, use_bias=not normalised)(features)
            if normalised:
                features = _batch_norm(layer, dtype, synchronized=True)(features)
            if config.activation_last:
                features = activation(features)
    features = keras.layers.Flatten(name=f"{name}_flat", dtype=dtype)(features)
    for index, units in enumerate(config.discriminator(VERDICT_UNITS), start=1):
        dense = keras.layers.Dense(units, kernel_initializer="he_normal", name=f"{name}_dense_{index}", dtype=dtype)
        features = leaky_relu(f"{name}_dense_{index}_activation", dtype)(dense(features))
    logits = keras.layers.Dense(1 + classes, name=f"{name}_dense_3", dtype=_output_dtype(dtype))(features)
    return keras.Model(image, [logits[:, :1], logits[:, 1:]], name=name)


def build_generator(encoder: keras.Model, decoder: keras.Model, name: str = "generator") -> keras.Model:
    """Build G of the paper: the encoder followed by the decoder."""
    inputs = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in encoder.inputs]
    return keras.Model(inputs, decoder(encoder(inputs)), name=name)


def build_discriminators(margin_discriminator: keras.Model, shape_discriminator: keras.Model) -> keras.Model:
    """Build one player of both discriminators: from an image to D₁'s two outputs, then D₂'s."""
    image = keras.Input((SIZE, SIZE, 1), name="image", dtype=margin_discriminator.inputs[0].dtype)
    return keras.Model(image, [*margin_discriminator(image), *shape_discriminator(image)], name="critic")


def finished_networks(
    generator: keras.Model, config: NetworkConfig, margins: int, shapes: int
) -> tuple[keras.Model, keras.Model]:
    """Return the (encoder, decoder) of a generator in stock Keras layers, float32, for any backend.

    Built anew, because a synchronised batch normalisation opens on TensorFlow alone, and an initialiser of ours nowhere
    without this package.
    """
    config = replace(config, smooth_start=False)
    encoder = build_encoder(config, margins, shapes, synchronized=False)
    decoder = build_decoder(config, synchronized=False)
    for network in (encoder, decoder):
        network.set_weights(generator.get_layer(network.name).get_weights())
    clipped = keras.layers.ReLU(max_value=1.0, name="clip")(decoder.output)
    return stock_model(encoder), stock_model(keras.Model(decoder.input, clipped, name=decoder.name))
