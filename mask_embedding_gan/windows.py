"""Training the finest levels on windows (ours; compare Chai et al., *Any-resolution Training*, ECCV 2022).

From `NetworkConfig.windows_from` on, a phase adds one block to a finished generator, which stays as it is: what a
whole image shows has been learned, and what is left is local. The block and the critic see windows of the size of the
last whole images, at random places of the finer image, so that a step costs no more than one of the last phase on whole
images. The image of the level below stays as it is, as averages of 2×2 pixels (`blocks.keep_average`).

A window is computed from the features of the level below with a margin on each side, and the margin of what comes out
is cut off, so that every pixel is the one that the whole image has there: tiling leaves no seam.
"""

import keras
import tensorflow as tf

from mask_embedding_gan.blocks import Blocks, NetworkConfig, double, resolution
from mask_embedding_gan.generator import build_generator, clipped
from mask_embedding_gan.schedule import PhaseSchedule, Terms
from mask_embedding_gan.train_step import CRITIC_LOSSES, PhaseGAN, critic_step
from training.export import stock_model
from training.layers import Cropping
from training.model import Players
from training.noise import batch_size, global_batch_noise, stream_seed


def margin(config: NetworkConfig, level: int) -> int:
    """Return how wide the margin of a window is on each side, in pixels of the level below.

    2 of them are 4 of the level itself, whose convolutions need 2. Where three levels or more are trained on windows it
    is wider, so that a window begins at a whole pixel of each level below.
    """
    return max(2, 2 ** (level - config.windows_from))


def build_window_block(
    config: NetworkConfig, level: int, height: int, width: int, *, dtype: str = "float32", name: str = "generator"
) -> keras.Model:
    """Build the block of a level on a window of (height, width).

    Returns:
        Model from [features, image] of the level below, (height/2 + 2m, width/2 + 2m, …), and [mask, inside] of this
        one, (height + 4m, width + 4m, 1), to [features, image] of the window, m the `margin`. Features are zero and
        images continued beyond the frame, where `inside` is 0; images are linear in [−1, 1].
    """
    beside = margin(config, level)
    rows, columns = (size // 2 + 2 * beside for size in (height, width))
    below = keras.Input((rows, columns, config.filters(level - 1)), name="features_below")
    image_below = keras.Input((rows, columns, 1), name="image_below")
    mask = keras.Input((2 * rows, 2 * columns, 1), name="mask")
    inside = keras.Input((2 * rows, 2 * columns, 1), name="inside")
    cut = lambda x, name, pixels=2 * beside: Cropping(pixels, name=name)(x)

    blocks = Blocks(config, dtype)
    features = cut(blocks.fine_block(below, mask, level, inside), "features_cut")
    enlarged = cut(double(image_below, f"image_{level}_enlarged", "bilinear"), "image_cut")
    image = blocks.with_added(enlarged, cut(image_below, "image_below_cut", beside), features, level)
    return keras.Model([below, image_below, mask, inside], [features, image], name=name)


def layers_below(config: NetworkConfig) -> tuple[str, str]:
    """Name the layers of the last level on whole images whose features and image the first level on windows takes."""
    whole = config.windows_from - 1
    return f"latent_{whole}_second_norm", f"image_{whole}{'_levelled' if config.levelled else ''}"


class LevelsBelow:
    """What a finished generator gives the next block for a window; nothing in it is trained.

    Args:
        previous: the finished generator (stock layers) of the phase before.
    """

    def __init__(self, previous: keras.Model, config: NetworkConfig, phase: int):
        self.previous, self.config, self.phase = previous, config, phase
        self.whole = config.windows_from - 1
        self.window = resolution(self.whole)
        mask = previous.get_layer("whole_mask").output if phase > config.windows_from else previous.inputs[0]
        outputs = [previous.get_layer(name).output for name in layers_below(config)]
        self.whole_levels = keras.Model([mask, previous.inputs[1]], outputs)
        self.blocks = {}
        height, width = self.window
        for level in range(phase - 1, self.whole, -1):
            height, width = (size // 2 + 2 * margin(config, level + 1) for size in (height, width))
            self.blocks[level] = _filled(stock_model(build_window_block(config, level, height, width)), previous)

    def __call__(self, mask: tf.Tensor, latent: tf.Tensor, corner: tf.Tensor) -> list[tf.Tensor]:
        """Compute [features, image, mask, inside] as the block takes them.

        Args:
            mask: (n, height, width, 1), whole, of this phase's resolution.
            latent: (n, latent size).
            corner: int (n, 2), top and left of each window; multiples of 2^(levels above whole images).
        """
        found = self.whole_levels([reduced(mask, mask.shape[1] // self.window[0]), latent], training=False)
        return self._inputs(found, mask, corner, self.phase, *self.window)

    def _inputs(self, found, mask, corner, level: int, height: int, width: int) -> list[tf.Tensor]:
        """The inputs of a level's block for a window of (height, width).

        Args:
            found: features and image of the last level that is trained on whole images.
            mask: of this phase's resolution: each level reduces it once, as the finished generator does.
        """
        beside, own_mask = margin(self.config, level), reduced(mask, 2 ** (self.phase - level))
        corner, rows, columns = corner // 2 - beside, height // 2 + 2 * beside, width // 2 + 2 * beside
        margins = [window_of(x, 2 * corner, 2 * rows, 2 * columns) for x in (own_mask, tf.ones_like(own_mask))]
        if level - 1 == self.whole:
            features, image = found
            features = window_of(features, corner, rows, columns)
            return [features, window_of(image, corner, rows, columns, continued=True), *margins]
        inputs = self._inputs(found, mask, corner, level - 1, rows, columns)
        features, image = self.blocks[level - 1](inputs, training=False)
        frame = resolution(level - 1)
        inside = tf.ones((batch_size(mask), *frame, 1), features.dtype)
        features *= window_of(inside, corner, rows, columns)
        return [features, _continued(image, corner, frame), *margins]

    def finished(self, block: keras.Model) -> keras.Model:
        """Build the generator a user loads: the previous one with one more block, as `finished_generator` makes it.

        Args:
            block: of `build_window_block`, usually the moving average.
        """
        plain = build_generator(self.config, self.phase, fading=False, name=self.previous.name)
        whole = stock_model(keras.Model(plain.inputs, clipped(plain.output), name=plain.name))
        added = stock_model(block)
        ours = {layer.name for layer in added.layers if layer.weights}
        for layer in whole.layers:
            if layer.weights:
                source = added if layer.name in ours else self.previous
                layer.set_weights(source.get_layer(layer.name).get_weights())
        return whole


def _filled(block: keras.Model, generator: keras.Model) -> keras.Model:
    """A block of stock layers with the weights of a generator's layers of the same names."""
    for layer in block.layers:
        if layer.weights:
            layer.set_weights(generator.get_layer(layer.name).get_weights())
    return block


def reduced(mask: tf.Tensor, factor: int) -> tf.Tensor:
    """Reduce a mask (n, height, width, 1) to a coarser level: 1 where its average is 0.5 or more."""
    if factor == 1:
        return mask
    return tf.cast(tf.nn.avg_pool2d(mask, factor, factor, "VALID") >= 0.5, mask.dtype)


class WindowGAN(PhaseGAN):
    """One phase on windows: WGAN-GP, or logistic losses with the R1 penalty where the schedule gives it a weight.

    Args:
        players: generators from `build_window_block`, of this phase's level; a critic of images of a window's size.
        below: the levels below.
    """

    def __init__(self, players: Players, below: LevelsBelow, schedule: PhaseSchedule, seed: int = 0):
        super().__init__(players, schedule, seed, below.whole_levels.inputs[1].shape[-1], CRITIC_LOSSES)
        self.below, self.window = below, below.window
        self.place_seed = stream_seed(seed, "window", schedule.phase)

    def finished(self) -> keras.Model:
        """Build the whole generator with the moving average of this phase's block, for users."""
        return self.below.finished(self.ema_generator)

    def player_gradients(self, batch, step, variant: Terms):
        real, mask = batch["image"], batch["mask"]
        count = batch_size(real)
        latent, u = self.latents(count, self.latent_seed, step), self.interpolation(count, step)

        # 1) windows about random places inside the breast, the same of real and generated images
        corner = self.corners(mask, step)
        inputs = self.below(mask, latent, corner)
        real, mask = (window_of(whole, corner, *self.window) for whole in (real, mask))

        # 2) one pass of the generator serves both players
        with tf.GradientTape() as generator_tape:
            _, image = self.generator(inputs, training=True)
            fake = (0.5 + 0.5 * image) * mask

        # 3) critic: real high, fake low; WGAN-GP: slope one between them, real near zero
        variables = [variable.value for variable in self.discriminator.trainable_variables]
        seen = self.stable_critic, variables, self.as_critic_sees, real, fake, mask, tf.ones((1,)), u
        critic_gradients, fake_gradient, losses = critic_step(*seen, variant.r1_weight)

        # 4) generator: its loss through the critic
        variables = [variable.value for variable in self.generator.trainable_variables]
        generator_gradients = generator_tape.gradient(fake, variables, fake_gradient)
        return critic_gradients, generator_gradients, losses

    def corners(self, mask: tf.Tensor, step) -> tf.Tensor:
        """Draw top and left (n, 2) of one window per mask, about a random pixel inside it, within the image."""
        count = batch_size(mask)
        factor = mask.shape[1] // self.window[0]
        coarse = tf.nn.avg_pool2d(mask, 2 * factor, 2 * factor, "VALID")
        _, rows, columns, _ = coarse.shape
        drawn = global_batch_noise(tf.random.stateless_uniform, count, (rows * columns,), self.place_seed, step)
        pixel = tf.argmax(drawn * (0.01 + tf.reshape(coarse, (-1, rows * columns))), axis=1, output_type=tf.int32)
        centre = tf.stack([pixel // columns, pixel % columns], axis=1) * 2 * factor
        limit = tf.constant([size - kept for size, kept in zip(mask.shape[1:3], self.window, strict=True)])
        corner = tf.clip_by_value(centre - tf.constant(self.window) // 2, 0, limit)
        return corner // factor * factor


def window_of(x: tf.Tensor, corner: tf.Tensor, height: int, width: int, continued: bool = False) -> tf.Tensor:
    """Cut a window (n, height, width, channels) out of each x (n, H, W, channels); no gradient reaches x.

    Args:
        corner: int (n, 2), top and left of each; a window may reach beyond the frame.
        continued: whether edges are continued there, instead of zero.
    """
    x = tf.stop_gradient(x)
    for axis, (size, kept) in enumerate(zip(x.shape[1:3], (height, width), strict=True), start=1):
        wanted = corner[:, axis - 1, None] + tf.range(kept)[None]
        x = tf.gather(x, tf.clip_by_value(wanted, 0, size - 1), axis=axis, batch_dims=1)
        if not continued:
            within = tf.cast((wanted >= 0) & (wanted < size), x.dtype)
            x *= tf.reshape(within, (-1, kept, 1, 1) if axis == 1 else (-1, 1, kept, 1))
    return x


def _continued(window: tf.Tensor, corner: tf.Tensor, limits: tuple[int, int]) -> tf.Tensor:
    """A window that reaches beyond its image's frame of size `limits`, the edges of the image continued there."""
    for axis, size in enumerate(limits, start=1):
        first, kept = corner[:, axis - 1, None], window.shape[axis]
        wanted = tf.clip_by_value(first + tf.range(kept)[None], 0, size - 1) - first
        window = tf.gather(window, wanted, axis=axis, batch_dims=1)
    return window
