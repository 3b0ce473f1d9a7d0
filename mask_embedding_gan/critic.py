"""The critic: from an image and its mask to a score (Ren et al. 2019, §4, Fig. 1).

The paper gives inputs and output; sizes, the mirror of the generator's latent path, are ours. Its score is called a
probability, which a WGAN's is not: here it is unbounded.
"""

import keras

from mask_embedding_gan.blocks import Blocks, NetworkConfig, halve, resolution
from training.layers import EqualizedDense, FadeIn, MinibatchStandardDeviation


def build_critic(config: NetworkConfig, phase: int, *, dtype: str = "float32") -> keras.Model:
    """Build the functional critic of one phase.

    It has no normalisation layer: the gradient penalty is a statement about each image alone.

    Args:
        dtype: policy of the hidden layers; scores are float32.

    Returns:
        Model from [image (H, W, 1) in [0, 1], mask (H, W, 1), alpha (1,)] to a score (1,), unbounded.
    """
    height, width = resolution(phase)
    image = keras.Input((height, width, 1), name="image")
    mask = keras.Input((height, width, 1), name="mask")
    alpha = keras.Input(batch_shape=(1,), name="alpha")

    # 1) the image back to [−1, 1]
    scaled = keras.layers.Rescaling(2.0, -1.0, name="image_scaled", dtype="float32")(image)

    # 2) p stride-2 convolutions of image and mask down to 4×2
    blocks = Blocks(config, dtype)
    features = blocks.critic_entrance(scaled, mask, phase)
    if phase > 1:
        pair = keras.layers.Concatenate(name="image_and_mask", dtype="float32")([scaled, mask])
        enters = blocks.pointwise(config.filters(phase - 1), f"from_image_{phase - 1}")
        older = enters(halve(pair, "pair_halved"))
        features = FadeIn(name="critic_fade", dtype=dtype)([older, features, alpha])
    for level in range(phase - 1, 0, -1):
        features = blocks.critic_block(features, level)

    # 3) variety of the batch, then one score
    features = MinibatchStandardDeviation(config.group_size, name="minibatch_deviation", dtype=dtype)(features)
    features = blocks.activated(blocks.keeping(config.base_filters, "critic_0")(features), "critic_0")
    features = keras.layers.Flatten(name="critic_flat", dtype=dtype)(features)
    if config.critic_convolutions:
        dense = EqualizedDense(config.base_filters, name="critic_dense", dtype=dtype)
        features = blocks.activated(dense(features), "critic_dense")
    score = EqualizedDense(1, gain=1.0, name="score", dtype="float32")(features)
    return keras.Model([image, mask, alpha], score, name="critic")
