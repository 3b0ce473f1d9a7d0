"""The growable blocks of both networks, and the numbers that fix their sizes.

Level l is the resolution (4·2^l, 2·2^l); level 0 is 4×2, phase p trains at level p. A block is named after its level,
which is what lets phase p + 1 take every block of phase p by name.
"""

from dataclasses import dataclass, replace

import keras

from training.layers import (
    EqualizedConv2D,
    EqualizedConv2DTranspose,
    FoldedEntrance,
    PixelNorm,
    determined_noise,
    leaky_relu,
    repeat_border,
)

FILTER = 15  # pixels, odd, of a filter that levels the power spectrum
ADDED_GAIN = 0.3  # of what a level adds to the image of the level below: details are small


def resolution(level: int) -> tuple[int, int]:
    """Return (height, width) of a level: 4×2 at level 0, 512×256 at level 7."""
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
        independent_noise: whether the noise of any two latents is uncorrelated (ours, `determined_noise`).
        critic_convolutions: highest level at which the critic has a 3×3 convolution before its stride-2 one, and a
            dense layer before its score; 0: neither (ours).
        windows_from: first level that is trained on windows of the image (ours, `mask_embedding_gan.windows`); 0: none.
        levelled: whether a fixed filter gives the image of the last level that is trained on whole images the power
            spectrum of training images, before levels that are trained on windows add to it (ours,
            `mask_embedding_gan.spectrum`).
        keeps_averages: whether 2×2 pixels of a level that is trained on windows average to a pixel of the level below
            (ours, `keep_average`).
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
    independent_noise: bool = False
    critic_convolutions: int = 0
    windows_from: int = 0
    levelled: bool = False
    keeps_averages: bool = False

    def without_embedding(self) -> "NetworkConfig":
        """Return the baseline of §6.4: no embedding, the latent vector longer by as much."""
        return replace(self, embedding_size=0, latent_size=self.latent_size + self.embedding_size)

    def has_windows(self, level: int) -> bool:
        """Tell whether a level is trained on windows."""
        return 0 < self.windows_from <= level

    def filters(self, level: int) -> int:
        """Count the features of the latent path at a level."""
        return self.base_filters if level == 0 else self.latent_filters[level - 1]


class Blocks:
    """The blocks of both networks; each names its layers after its level.

    Args:
        dtype: policy of the hidden layers, "float32" or "mixed_bfloat16"; images are float32.
    """

    def __init__(self, config: NetworkConfig, dtype: str = "float32"):
        self.config, self.dtype = config, dtype

    # --- layers

    def shrinking(self, filters: int, name: str) -> EqualizedConv2D:
        """Build the convolution of every shrinking block: size 4, stride 2."""
        return EqualizedConv2D(filters, 4, strides=2, padding="same", name=name, dtype=self.dtype)

    def keeping(self, filters: int, name: str) -> EqualizedConv2D:
        """Build a 3×3 convolution at one resolution."""
        return EqualizedConv2D(filters, 3, padding="same", name=name, dtype=self.dtype)

    def pointwise(self, filters: int, name: str, **options) -> EqualizedConv2D:
        """Build a linear 1×1 convolution, at which an image, a mask or noise enters."""
        return EqualizedConv2D(filters, 1, use_bias=False, gain=1.0, name=name, dtype=self.dtype, **options)

    def activated(self, x, name: str, norm: bool = False):
        """Apply LeakyReLU; in the latent path pixel norm after it."""
        x = leaky_relu(f"{name}_activation", self.dtype)(x)
        return PixelNorm(name=f"{name}_norm", dtype=self.dtype)(x) if norm else x

    # --- mask path, level l → l − 1

    def mask_block(self, x, level: int):
        """Apply a stride-2 convolution."""
        name = f"mask_{level}"
        return self.activated(self.shrinking(self.config.mask_filters, name)(x), name)

    def mask_entrance(self, mask, level: int):
        """Apply the 1×1 convolution of the mask at a level, and the mask block after it."""
        name, filters = f"mask_{level}", self.config.mask_filters
        pair = self.pointwise(filters, f"from_mask_{level}"), self.shrinking(filters, name)
        return self.activated(FoldedEntrance(*pair, name=f"mask_entrance_{level}", dtype=self.dtype)(mask), name)

    # --- latent path, level l − 1 → l

    def growing(self, x, level: int):
        """Apply the stride-2 transposed convolution of size 4."""
        filters, name = self.config.filters(level), f"latent_{level}"
        return EqualizedConv2DTranspose(filters, 4, strides=2, padding="same", name=name, dtype=self.dtype)(x)

    def latent_block(self, x, latent, level: int):
        """Apply a transposed convolution, LeakyReLU, pixel norm; with the additions, noise and a second convolution."""
        name, x = f"latent_{level}", self.growing(x, level)
        if level in self.config.noise_levels:
            x = self.with_noise(x, latent, level)
        x = self.activated(x, name, norm=True)
        if self.config.second_convolution:
            x = self.second(x, level)
        return x

    def fine_block(self, x, mask, level: int, inside=None):
        """Apply a transposed and a 3×3 convolution, at a level that is trained on windows; its mask joins between them.

        Args:
            inside: 1 within the frame of the image and 0 in a window's margin beyond it; None where there is no margin.
        """
        name = f"latent_{level}"
        x = self.activated(self.growing(x, level), name, norm=True)
        if inside is not None:  # beyond the frame, the whole image's convolutions see zeros
            x = keras.layers.Multiply(name=f"{name}_inside", dtype=self.dtype)([x, inside])
        return self.second(keras.layers.Concatenate(name=f"{name}_and_mask", dtype=self.dtype)([x, mask]), level)

    def second(self, x, level: int):
        """Apply the second convolution of a block."""
        name = f"latent_{level}_second"
        return self.activated(self.keeping(self.config.filters(level), name)(x), name, norm=True)

    def with_noise(self, x, latent, level: int):
        """Add one map of noise to features, of a learned strength in each of them that starts at zero."""
        name = f"noise_{level}"
        noise = determined_noise(latent, *resolution(level), name, self.config.independent_noise)
        strength = self.pointwise(x.shape[-1], f"{name}_strength", kernel_initializer="zeros")
        return keras.layers.Add(name=f"{name}_added", dtype=self.dtype)([x, strength(noise)])

    def to_image(self, x, level: int):
        """Apply a linear 1×1 convolution to one channel, in float32; images are in [−1, 1] here."""
        name = f"to_image_{level}"
        if self.config.sum_of_levels and level > 1:
            return EqualizedConv2D(1, 1, gain=ADDED_GAIN, kernel_initializer="zeros", name=name, dtype="float32")(x)
        return EqualizedConv2D(1, 1, gain=1.0, name=name, dtype="float32")(x)

    def with_added(self, enlarged, below, x, level: int):
        """Add an image from the features x of a level to the enlarged image of the level below.

        Args:
            below: that image before it was enlarged. Where the level keeps averages, each of its pixels is the average
                of 2×2 new ones.
        """
        name, keeps = f"image_{level}", self.config.keeps_averages and self.config.has_windows(level)
        add = keras.layers.Add(name=f"{name}_free" if keeps else name, dtype="float32")
        image = add([enlarged, self.to_image(x, level)])
        return keep_average(image, below, name) if keeps else image

    # --- critic, level l → l − 1: the mirror of the latent path

    def critic_block(self, x, level: int):
        """Apply a stride-2 convolution, after a 3×3 one where the critic has it."""
        name = f"critic_{level}"
        if level <= self.config.critic_convolutions:
            x = self.activated(self.keeping(self.config.filters(level), f"{name}_first")(x), f"{name}_first")
        return self.activated(self.shrinking(self.config.filters(level - 1), name)(x), name)

    def critic_entrance(self, image, mask, level: int):
        """Apply the 1×1 convolution of image and mask at a level, and the critic block after it."""
        name, filters = f"critic_{level}", self.config.filters(level)
        pointwise = self.pointwise(filters, f"from_image_{level}")
        if level <= self.config.critic_convolutions:  # two convolutions do not fold into one with the entrance
            pair = keras.layers.Concatenate(name=f"image_and_mask_{level}", dtype=self.dtype)([image, mask])
            return self.critic_block(pointwise(pair), level)
        shrinking = self.shrinking(self.config.filters(level - 1), name)
        folded = FoldedEntrance(pointwise, shrinking, name=f"critic_entrance_{level}", dtype=self.dtype)
        return self.activated(folded([image, mask]), name)


def halve(x, name: str):
    """Average 2×2 pixels: differentiable twice, as the gradient penalty needs (a bilinear resize is not)."""
    return keras.layers.AveragePooling2D(2, name=name, dtype="float32")(x)


def keep_average(image, below, name: str):
    """Return the image nearest to `image` whose 2×2 pixels average to a pixel of `below`, the image a level below.

    A level that is trained on windows then cannot spoil what was learned on whole images (ours).
    """
    missing = keras.layers.Subtract(name=f"{name}_missing", dtype="float32")([below, halve(image, f"{name}_halved")])
    return keras.layers.Add(name=name, dtype="float32")([image, double(missing, f"{name}_missing_doubled")])


def levelled(image, name: str, size: int = FILTER):
    """Apply a fixed filter (size, size), which levels the power spectrum (`mask_embedding_gan.spectrum`); stock layers.

    Args:
        name: of the image; the filter becomes the layer "<name>_levelled".
    """
    image = repeat_border(image, f"{name}_border", "float32", size // 2, keras.layers.Cropping2D)
    convolution = keras.layers.Conv2D(
        1, size, use_bias=False, trainable=False, name=f"{name}_levelled", dtype="float32"
    )
    return convolution(image)


def reduced_mask(mask, factor: int, name: str):
    """Reduce a mask to a coarser level: 1 where its average is 0.5 or more, as in a dataset; of stock layers."""
    if factor == 1:
        return mask
    average = keras.layers.AveragePooling2D(factor, name=f"{name}_average", dtype="float32")(mask)
    steep = keras.layers.Rescaling(1e6, 1 - 0.5e6, name=f"{name}_steep", dtype="float32")(average)
    return keras.layers.ReLU(max_value=1.0, name=name, dtype="float32")(steep)


def double(x, name: str, interpolation: str = "nearest"):
    return keras.layers.UpSampling2D(2, interpolation=interpolation, name=name, dtype="float32")(x)
