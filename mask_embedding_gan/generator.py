"""The generator of Ren et al. 2019, §4: the mask shrinks to an embedding, the latent grows to an image."""

import keras

from mask_embedding_gan.blocks import Blocks, NetworkConfig, double, halve, levelled, reduced_mask, resolution
from mask_embedding_gan.growth import transfer
from training.export import stock_model
from training.layers import EqualizedDense, FadeIn, PixelNorm, leaky_relu


def build_generator(
    config: NetworkConfig, phase: int, *, fading: bool = True, dtype: str = "float32", name: str = "generator"
) -> keras.Model:
    """Build the functional generator of one phase.

    Args:
        phase: 1…7; images are `resolution(phase)`. Levels that are trained on windows have no fade-in path.
        fading: whether the model has the fade-in path and its third input `alpha (1,)`, which phase 1 ignores.
        dtype: policy of the hidden layers, "float32" or "mixed_bfloat16"; images are float32.

    Returns:
        Model from [mask (H, W, 1) in {0, 1}, latent (latent_size,)] (and alpha) to an image (H, W, 1) in [0, 1],
        linear: it may overshoot a little in training; `finished_generator` clips.
    """
    height, width = resolution(phase)
    whole = config.windows_from - 1 if config.has_windows(phase) else phase
    mask = keras.Input((height, width, 1), name="mask")
    latent = keras.Input((config.latent_size,), name="latent")
    alpha = keras.Input(batch_shape=(1,), name="alpha") if fading else None
    fades, blocks = fading and phase > 1, Blocks(config, dtype)

    # 1) mask path: p stride-2 convolutions of 8 features down to 4×2
    whole_mask = reduced_mask(mask, 2 ** (phase - whole), "whole_mask")
    mask_features = _mask_path(blocks, whole_mask, whole, alpha if fades else None)  # [level]: (4·2^l, 2·2^l, 8)

    # 2) mask embedding, joined to the latent vector and projected to 4×2×128
    projected = latent
    if config.embedding_size:
        flat = keras.layers.Flatten(name="mask_flat", dtype=dtype)(mask_features[0])
        embedding = EqualizedDense(config.embedding_size, gain=1.0, name="mask_embedding", dtype=dtype)(flat)
        projected = keras.layers.Concatenate(name="latent_and_embedding", dtype=dtype)([latent, embedding])
    base = resolution(0)
    projected = EqualizedDense(base[0] * base[1] * config.base_filters, name="projection", dtype=dtype)(projected)
    features = keras.layers.Reshape((*base, config.base_filters), name="projection_4x2", dtype=dtype)(projected)
    features = PixelNorm(name="projection_norm", dtype=dtype)(leaky_relu("projection_activation", dtype)(features))

    # 3) latent path: p transposed convolutions; every mask block but the last joins at its own resolution
    latent_features = {0: features}  # [level]: (4·2^l, 2·2^l, kernels of the level)
    for level in range(1, whole + 1):
        below = latent_features[level - 1]
        if level > 1:
            join = keras.layers.Concatenate(name=f"skip_{level - 1}", dtype=dtype)
            below = join([below, mask_features[level - 1]])
        latent_features[level] = blocks.latent_block(below, latent, level)
    for level in range(whole + 1, phase + 1):
        level_mask = reduced_mask(mask, 2 ** (phase - level), f"mask_of_level_{level}")
        latent_features[level] = blocks.fine_block(latent_features[level - 1], level_mask, level)

    # 4) image: linear in [−1, 1], shown in [0, 1]
    if config.sum_of_levels:
        image = _sum_of_levels(blocks, latent_features, phase)
    else:
        image = blocks.to_image(latent_features[phase], phase)
        if fades:
            older = blocks.to_image(latent_features[phase - 1], phase - 1)
            image = FadeIn(name="image_fade", dtype="float32")([double(older, "image_doubled"), image, alpha])
    image = keras.layers.Rescaling(0.5, 0.5, name="image", dtype="float32")(image)
    if config.times_mask:
        image = keras.layers.Multiply(name="image_in_mask", dtype="float32")([image, mask])
    return keras.Model([mask, latent, *([alpha] if fading else [])], image, name=name)


def _mask_path(blocks: Blocks, mask, phase: int, alpha) -> dict:
    """Features of the mask path by level, from `phase` − 1 down to 0; `alpha` where the finest block fades in."""
    features = blocks.mask_entrance(mask, phase)
    if alpha is not None:
        enters = blocks.pointwise(blocks.config.mask_filters, f"from_mask_{phase - 1}")
        features = FadeIn(name="mask_fade", dtype=blocks.dtype)([enters(halve(mask, "mask_halved")), features, alpha])
    levels = {phase - 1: features}
    for level in range(phase - 1, 0, -1):
        levels[level - 1] = blocks.mask_block(levels[level], level)
    return levels


def _sum_of_levels(blocks: Blocks, features: dict, phase: int):
    """The image of level 1, enlarged level by level; the features of each level add to it (linear in [−1, 1])."""
    image, config = blocks.to_image(features[1], 1), blocks.config
    for level in range(2, phase + 1):
        if config.levelled and level == config.windows_from:
            image = levelled(image, f"image_{level - 1}")
        enlarged = double(image, f"image_{level}_enlarged", "bilinear")
        image = blocks.with_added(enlarged, image, features[level], level)
    return image


def finished_generator(generator: keras.Model, config: NetworkConfig, phase: int) -> keras.Model:
    """Build the generator a user loads: stock Keras layers, no fade-in, float32, clipped to [0, 1].

    Args:
        generator: a model of `build_generator` for this phase (usually the moving average), with or without fading.
    """
    plain = build_generator(config, phase, fading=False, name="mask_embedding_generator")
    transfer(generator, plain)
    return stock_model(keras.Model(plain.inputs, clipped(plain.output), name=plain.name))


def clipped(image):
    """Clip an image to [0, 1]."""
    return keras.layers.ReLU(max_value=1.0, name="clip")(image)
