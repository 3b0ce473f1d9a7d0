"""U-Net generator and PatchGAN discriminator of pix2pix (Isola et al. 2017, arXiv 1611.07004v3, §3.2 and appendix).

    texture map, dropout noise → generator → image          texture map ‖ image → discriminator → one logit per patch

Numbers of layers and filters are the paper's for the largest images here, 512×256; both networks have fewer layers for
smaller ones. All layers are stock Keras layers.
"""

from dataclasses import dataclass

import keras
from keras import ops

from training.layers import leaky_relu

DROPPED_BLOCKS = 3  # innermost blocks of the decoder that have dropout
GROWTH = 8  # filters are doubled from layer to layer, up to this multiple of the first
KEEP = 0.5  # share of features that dropout keeps
INNERMOST_DTYPE = "float32"  # in bfloat16 TensorFlow's convolution from 4×2 to 2×1 reads beyond its input on CPUs: NaN


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of both networks; the defaults are those of Isola et al. 2017.

    Attributes:
        height: of the images, a power of two, 8 or more; they are half as wide.
        filters: of the first convolution of both networks.
    """

    height: int = 512
    filters: int = 64

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.height, self.height // 2

    @property
    def depth(self) -> int:
        """Stride-2 convolutions of the generator's encoder, down to 2×1; 8 at 512×256, as in the paper."""
        return self.size[1].bit_length() - 1

    @property
    def discriminator_depth(self) -> int:
        """Stride-2 convolutions of the discriminator: 3 at 512×256, the paper's 70×70 patches.

        For smaller images fewer, so that a patch stays about a quarter of the height: 34×34 at 128×64, 16×16 below.
        """
        return min(max(self.depth - 4, 1), 3)

    def layer_filters(self, layer: int) -> int:
        """Count the filters of an encoder's or discriminator's convolution, counted from 1."""
        return self.filters * min(2 ** (layer - 1), GROWTH)

    @property
    def dropped(self) -> list[tuple[int, int, int]]:
        """(height, width, filters) of the features that have dropout, innermost first."""
        blocks = range(1, min(DROPPED_BLOCKS, self.depth - 1) + 1)
        return [(2 * 2**block, 2**block, self.layer_filters(self.depth - block)) for block in blocks]

    @property
    def noise_size(self) -> int:
        """Features that have dropout: the length of one image's noise."""
        return sum(height * width * filters for height, width, filters in self.dropped)


# ----------------------------------------------------------------------------------------- pieces


def _convolution(
    filters: int, name: str, dtype: str, *, strides: int = 2, use_bias: bool = False, transposed: bool = False
) -> keras.layers.Layer:
    kind = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    return kind(
        filters,
        4,
        strides=strides,
        padding="same",
        use_bias=use_bias,  # a normalisation after it would take it away
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name=name,
        dtype=dtype,
    )


def _instance_norm(name: str, dtype: str) -> keras.layers.Layer:
    """Normalise each image by its own statistics: batch normalisation of a batch of one, which the paper uses (§3.3).

    An image does not depend on what else is in its batch, however small or shared by devices the batch is.
    """
    return keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, name=f"{name}_normalization", dtype=dtype)


def _dropout_masks(noise, config: NetworkConfig, dtype: str) -> list:
    """The noise cut into a mask for each block that has dropout, scaled by 1 / `KEEP`."""
    column = keras.layers.Reshape((config.noise_size, 1), name="noise_column", dtype=dtype)(noise)
    masks, begin = [], 0
    for number, shape in enumerate(config.dropped, start=1):
        end = begin + shape[0] * shape[1] * shape[2]
        cut = keras.layers.Cropping1D((begin, config.noise_size - end), name=f"noise_{number}", dtype=dtype)(column)
        mask = keras.layers.Reshape(shape, name=f"noise_{number}_mask", dtype=dtype)(cut)
        masks.append(keras.layers.Rescaling(1 / KEEP, name=f"noise_{number}_scaled", dtype=dtype)(mask))
        begin = end
    return masks


# --------------------------------------------------------------------------------------- networks


def build_generator(config: NetworkConfig, *, dtype: str = "float32", name: str = "generator") -> keras.Model:
    """Build the functional U-Net; what dropout keeps is an input, so that it stays at work when images are generated.

    Dropout is the only randomness of pix2pix (§3.1), and stays on at test time (§3.3). As a multiplication by an input
    it is a function of what a caller draws; Keras' own dropout layer is inactive at inference.

    Args:
        dtype: policy of the hidden layers, "float32" or "mixed_bfloat16"; images are float32.

    Returns:
        Model from [texture_map (height, width, 1) in [0, 1], noise (noise_size,) of {0, 1}, even odds] to an image
        (height, width, 1) in [0, 1].
    """
    texture_map = keras.Input((*config.size, 1), name="texture_map")
    noise = keras.Input((config.noise_size,), name="noise")
    masks = _dropout_masks(noise, config, dtype)

    # 1) encoder: C64-C128-C256-C512-C512-C512-C512-C512, without normalisation of the first, and of the last (ours):
    #    of 2×1 pixels it would leave no more than which is the larger
    features = keras.layers.Rescaling(2.0, -1.0, name="texture_map_scaled", dtype=dtype)(texture_map)
    skips = {}
    for layer in range(1, config.depth + 1):
        at = f"encoder_{layer}"
        normalised = 1 < layer < config.depth
        exact = dtype if layer < config.depth else INNERMOST_DTYPE
        features = _convolution(config.layer_filters(layer), at, exact, use_bias=not normalised)(features)
        if normalised:
            features = _instance_norm(at, dtype)(features)
        features = skips[layer] = leaky_relu(f"{at}_activation", dtype)(features)

    # 2) decoder: CD512-CD512-CD512-C512-C256-C128-C64, each joined by what the encoder saw at its resolution
    for block in range(1, config.depth):
        at, partner = f"decoder_{block}", config.depth - block
        exact = dtype if block > 1 else INNERMOST_DTYPE
        features = _convolution(config.layer_filters(partner), at, exact, transposed=True)(features)
        features = _instance_norm(at, dtype)(features)
        if block <= len(masks):
            features = keras.layers.Multiply(name=f"{at}_dropout", dtype=dtype)([features, masks[block - 1]])
        features = keras.layers.ReLU(name=f"{at}_activation", dtype=dtype)(features)
        features = keras.layers.Concatenate(name=f"{at}_skip", dtype=dtype)([features, skips[partner]])

    # 3) image: tanh in [−1, 1], shown in [0, 1]
    image = _convolution(1, f"decoder_{config.depth}", "float32", use_bias=True, transposed=True)(features)
    image = keras.layers.Activation("tanh", name="tanh", dtype="float32")(image)
    image = keras.layers.Rescaling(0.5, 0.5, name="image", dtype="float32")(image)
    return keras.Model([texture_map, noise], image, name=name)


def build_discriminator(config: NetworkConfig, *, dtype: str = "float32") -> keras.Model:
    """Build the PatchGAN: C64-C128-C256-C512, the last of stride 1, and a convolution to one logit per patch.

    Args:
        dtype: policy of the hidden layers; logits are float32.

    Returns:
        Model from [texture_map, image], each (height, width, 1) in [0, 1], to logits (height / 2^d, width / 2^d, 1), d
        the `discriminator_depth`.
    """
    inputs = [keras.Input((*config.size, 1), name=name) for name in ("texture_map", "image")]
    pair = keras.layers.Concatenate(name="texture_map_and_image", dtype=dtype)(inputs)
    features = keras.layers.Rescaling(2.0, -1.0, name="pair_scaled", dtype=dtype)(pair)
    for layer in range(1, config.discriminator_depth + 2):
        at = f"critic_{layer}"
        strides = 2 if layer <= config.discriminator_depth else 1
        convolution = _convolution(config.layer_filters(layer), at, dtype, strides=strides, use_bias=layer == 1)
        features = convolution(features)
        if layer > 1:
            features = _instance_norm(at, dtype)(features)
        features = leaky_relu(f"{at}_activation", dtype)(features)
    logits = _convolution(1, f"critic_{config.discriminator_depth + 2}", "float32", strides=1, use_bias=True)(features)
    return keras.Model(inputs, logits, name="critic")


def finished_generator(generator: keras.Model, config: NetworkConfig) -> keras.Model:
    """Build the generator a user loads: stock Keras layers, in float32 also after training in another precision."""
    plain = build_generator(config, name="pix2pix_generator")
    plain.set_weights([ops.convert_to_numpy(weight) for weight in generator.weights])
    return plain
