"""The growable blocks of both networks, and the numbers that fix their sizes.

Level l is the resolution (4·2^l, 2·2^l); level 0 is 4×2, phase p trains at level p. A block is named after its level,
which is what lets phase p + 1 take every block of phase p by name.
"""

from dataclasses import asdict, dataclass

import keras

from training.layers import EqualizedConv2D, EqualizedConv2DTranspose, FoldedEntrance, PixelNorm, leaky_relu

NOISE_MAPS = 8  # per resolution that has noise
ADDED_GAIN = 0.3  # of what a level adds to the image of the level below: details are small


def resolution(level: int) -> tuple[int, int]:
    """(height, width) of a level: 4×2 at level 0, 512×256 at level 7."""
    return 4 * 2**level, 2 * 2**level


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the generator and the critic. The defaults are those of Ren et al. 2019, §4.

    Attributes:
        latent_size: length of the random vector.
        embedding_size: length of the mask embedding; 0 is the no-embedding baseline of §6.4, whose random vector is
            `latent_size + 32` long so that the projection keeps its size.
        mask_filters: features of every mask block.
        base_filters: features of the 4×2 projection.
        latent_filters: kernels of each transposed convolution, lowest resolution first (each ×0.8; rounding ours).
        group_size: images per group of the critic's minibatch standard deviation (ours).
        second_convolution: a 3×3 convolution, LeakyReLU and pixel norm after each transposed convolution (ours).
        sum_of_levels: the image is the enlarged image of the level below plus what the new features add to it
            (Karras et al., *StyleGAN2*, 2020, §4.1).
        times_mask: the image is zero outside its mask, as training images are (ours).
        noise_levels: levels at which noise that the latent determines is added to the features, before the second
            convolution (ours; after Karras et al., *StyleGAN*, 2019, §3.2).
        critic_convolutions: highest level at which the critic has a 3×3 convolution before its stride-2 one, and a
            dense layer before its score; 0: neither (ours).
        windows_from: first level that is trained on windows of the image (ours, `mask_embedding_gan.windows`); 0: none.
    """

    latent_size: int = 100
    embedding_size: int = 32
    mask_filters: int = 8
    base_filters: int = 128
    latent_filters: tuple[int, ...] = (128, 102, 82, 66, 53, 42, 34)
    group_size: int = 4
    second_convolution: bool = False
    sum_of_levels: bool = False
    times_mask: bool = False
    noise_levels: tuple[int, ...] = ()
    critic_convolutions: int = 0
    windows_from: int = 0

    def without_embedding(self) -> "NetworkConfig":
        """The baseline of §6.4: no embedding, the latent vector longer by as much."""
        changed = {"embedding_size": 0, "latent_size": self.latent_size + self.embedding_size}
        return NetworkConfig(**{**asdict(self), **changed})

    def has_windows(self, level: int) -> bool:
        """Whether a level is trained on windows."""
        return 0 < self.windows_from <= level

    def filters(self, level: int) -> int:
        """Features of the latent path at a level."""
        return self.base_filters if level == 0 else self.latent_filters[level - 1]


def stride_2(filters: int, name: str, dtype: str) -> EqualizedConv2D:
    """The convolution of every shrinking block: size 4, stride 2."""
    return EqualizedConv2D(filters, 4, strides=2, padding="same", name=name, dtype=dtype)


def pointwise(filters: int, name: str, dtype: str) -> EqualizedConv2D:
    """The linear 1×1 convolution at which an image or a mask enters."""
    return EqualizedConv2D(filters, 1, use_bias=False, gain=1.0, name=name, dtype=dtype)


def mask_block(mask_features, level: int, config: NetworkConfig, dtype: str):
    """Level l → l − 1 of the mask path."""
    name = f"mask_{level}"
    convolution = stride_2(config.mask_filters, name, dtype)
    return leaky_relu(f"{name}_activation", dtype)(convolution(mask_features))


def mask_entrance(mask, level: int, config: NetworkConfig, dtype: str):
    """The mask's 1×1 convolution at a level, and the mask block below it."""
    name = f"mask_{level}"
    folded = FoldedEntrance(
        pointwise(config.mask_filters, f"from_mask_{level}", dtype),
        stride_2(config.mask_filters, name, dtype),
        name=f"mask_entrance_{level}",
        dtype=dtype,
    )
    return leaky_relu(f"{name}_activation", dtype)(folded(mask))


def latent_block(features, latent, level: int, config: NetworkConfig, dtype: str):
    """Level l − 1 → l of the latent path: a stride-2 transposed convolution of size 4, LeakyReLU, pixel norm.

    Args:
        features: of the level below.
        latent: the random vector, from which a block with noise takes it.
    """
    name = f"latent_{level}"
    features = EqualizedConv2DTranspose(config.filters(level), 4, strides=2, padding="same", name=name, dtype=dtype)(
        features
    )
    if level in config.noise_levels:
        features = with_noise(features, latent, level, dtype)
    features = _activated(features, name, dtype)
    if config.second_convolution:
        name = f"{name}_second"
        convolution = EqualizedConv2D(config.filters(level), 3, padding="same", name=name, dtype=dtype)
        features = _activated(convolution(features), name, dtype)
    return features


def fine_block(features, mask, level: int, config: NetworkConfig, dtype: str, inside=None):
    """Level l − 1 → l where levels are trained on windows: two convolutions, the mask joins before the second.

    Args:
        features: of the level below.
        mask: of this level.
        inside: 1 within the frame of the image and 0 in a window's margin beyond it; None where there is no margin.
    """
    name = f"latent_{level}"
    filters = config.filters(level)
    first = EqualizedConv2DTranspose(filters, 4, strides=2, padding="same", name=name, dtype=dtype)
    features = _activated(first(features), name, dtype)
    if inside is not None:  # beyond the frame, the whole image's convolutions see zeros
        features = keras.layers.Multiply(name=f"{name}_inside", dtype=dtype)([features, inside])
    features = keras.layers.Concatenate(name=f"{name}_and_mask", dtype=dtype)([features, mask])
    name = f"{name}_second"
    return _activated(EqualizedConv2D(filters, 3, padding="same", name=name, dtype=dtype)(features), name, dtype)


def _activated(features, name: str, dtype: str):
    """LeakyReLU and pixel norm."""
    return PixelNorm(name=f"{name}_norm", dtype=dtype)(leaky_relu(f"{name}_activation", dtype)(features))


def with_noise(features, latent, level: int, dtype: str):
    """Features plus one map of noise, of a learned strength in each of them that starts at zero."""
    name = f"noise_{level}"
    noise = latent_noise(latent, level, name)
    strength = EqualizedConv2D(
        features.shape[-1],
        1,
        use_bias=False,
        gain=1.0,
        kernel_initializer="zeros",
        name=f"{name}_strength",
        dtype=dtype,
    )
    return keras.layers.Add(name=f"{name}_added", dtype=dtype)([features, strength(noise)])


def latent_noise(latent, level: int, name: str):
    """White noise (n, height, width, 1) of variance 1 that the latent determines, in float32.

    A bank of `NOISE_MAPS` frozen random maps, mixed by frozen random weights of the latent: the same latent, the same
    noise, and stock layers alone.
    """
    frozen = {"use_bias": False, "trainable": False, "dtype": "float32"}
    unit, shared = (keras.initializers.RandomNormal(stddev=size) for size in (1.0, NOISE_MAPS**-0.5))
    mixture = keras.layers.Dense(NOISE_MAPS, kernel_initializer=unit, name=f"{name}_drawn", **frozen)(latent)
    # mean square 1: as much noise for every latent
    mixture = PixelNorm(name=f"{name}_mixture", dtype="float32")(mixture)
    height, width = resolution(level)
    field = keras.layers.Dense(height * width, kernel_initializer=shared, name=f"{name}_maps", **frozen)(mixture)
    return keras.layers.Reshape((height, width, 1), name=f"{name}_field", dtype="float32")(field)


def to_image(features, level: int, config: NetworkConfig):
    """1×1 convolution to one channel, linear, in float32: [−1, 1] is the range of an image here."""
    name = f"to_image_{level}"
    if config.sum_of_levels and level > 1:
        added = EqualizedConv2D(1, 1, gain=ADDED_GAIN, kernel_initializer="zeros", name=name, dtype="float32")
        return added(features)
    return EqualizedConv2D(1, 1, gain=1.0, name=name, dtype="float32")(features)


def critic_block(features, level: int, config: NetworkConfig, dtype: str):
    """Level l → l − 1 of the critic: the mirror of `latent_block`."""
    name = f"critic_{level}"
    if level <= config.critic_convolutions:
        convolution = EqualizedConv2D(config.filters(level), 3, padding="same", name=f"{name}_first", dtype=dtype)
        features = leaky_relu(f"{name}_first_activation", dtype)(convolution(features))
    return leaky_relu(f"{name}_activation", dtype)(stride_2(config.filters(level - 1), name, dtype)(features))


def critic_entrance(image, mask, level: int, config: NetworkConfig, dtype: str):
    """The critic's 1×1 convolution of image and mask at a level, and the critic block below it."""
    name = f"critic_{level}"
    if level <= config.critic_convolutions:  # two convolutions do not fold into one with the entrance
        pair = keras.layers.Concatenate(name=f"image_and_mask_{level}", dtype=dtype)([image, mask])
        features = pointwise(config.filters(level), f"from_image_{level}", dtype)(pair)
        return critic_block(features, level, config, dtype)
    folded = FoldedEntrance(
        pointwise(config.filters(level), f"from_image_{level}", dtype),
        stride_2(config.filters(level - 1), name, dtype),
        name=f"critic_entrance_{level}",
        dtype=dtype,
    )
    return leaky_relu(f"{name}_activation", dtype)(folded([image, mask]))


def halve(x, name: str):
    """2×2 average: differentiable twice, as the gradient penalty needs (a bilinear resize is not)."""
    return keras.layers.AveragePooling2D(2, name=name, dtype="float32")(x)


def reduced_mask(mask, factor: int, name: str):
    """A mask of a coarser level: 1 where its average is 0.5 or more, as in a dataset; of stock layers."""
    if factor == 1:
        return mask
    average = keras.layers.AveragePooling2D(factor, name=f"{name}_average", dtype="float32")(mask)
    steep = keras.layers.Rescaling(1e6, 1 - 0.5e6, name=f"{name}_steep", dtype="float32")(average)
    return keras.layers.ReLU(max_value=1.0, name=name, dtype="float32")(steep)


def double(x, name: str, interpolation: str = "nearest"):
    return keras.layers.UpSampling2D(2, interpolation=interpolation, name=name, dtype="float32")(x)
