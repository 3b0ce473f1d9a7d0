"""Growing a network by one phase: every old layer is taken by name, the new ones start where they disturb least.

A random new block throws away what the last phase learned and leaves a checkerboard that does not train away. Here the
new transposed convolution starts as bilinear upsampling of the old features, the new critic convolution as a 2×2
average, the new 1×1 convolutions as copies of the old, each plus a little noise to tell the channels apart (ours).
"""

import keras
import numpy as np

from mask_embedding_gan.blocks import LEAKY_SLOPE
from training.detail import relative_detail
from training.layers import FadeIn

NOISE = 0.2  # in units of a freshly drawn equalised kernel
FITTED_MASKS = 16  # on which the new image convolution is fitted
CARRIED_NORM = 1.0  # of the weights by which two new channels carry the old image
ANCHOR = 1.0  # root mean square, over all new channels, of the one that starts about constant

_BILINEAR = (
    np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 16.0
)  # size 4, stride 2: 3/4 and 1/4 of two neighbours
_AVERAGE = np.pad(np.full((2, 2), 0.25), 1)  # size 4, stride 2: the mean of the central 2×2


def weights_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    """Every weight of a network by its layer's name and its own, e.g. `latent_3/kernel`."""
    return {"/".join(weight.path.split("/")[-2:]): weight for weight in model.weights}


def transfer(old: keras.Model, new: keras.Model) -> list[str]:
    """Copy every weight that both networks have, by name; returns the names copied."""
    theirs = weights_by_name(old)
    shared = {name: weight for name, weight in weights_by_name(new).items() if name in theirs}
    for name, weight in shared.items():
        weight.assign(theirs[name])
    return list(shared)


def without_fade_in(network: keras.Model) -> keras.Model:
    """The same layers and weights without the older path of each fade-in: what a network computes at alpha 1."""

    def call(layer: keras.layers.Layer, *args, **kwargs):
        if isinstance(layer, FadeIn):
            _, newer, _ = args[0]
            return newer
        return layer(*args, **kwargs)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def grow_generator(
    old: keras.Model,
    new: keras.Model,
    phase: int,
    seed: int,
    *,
    examples: tuple[np.ndarray, np.ndarray] | None = None,
    preserve: bool = True,
) -> None:
    """Fill `new`, a fresh generator of `phase`, from `old`, one of `phase − 1`.

    Args:
        seed: of the noise in the new block.
        examples: (images, masks) of training, float (n, height, width, 1) of the new resolution. The new image
            convolution is fitted on the masks so that the new path shows what the old one did, and the new detail is
            made like theirs. None leaves the convolution a copy and the detail off.
        preserve: start the new block as upsampling of the old features; False leaves it as drawn.
    """
    transfer(old, new)
    rng = np.random.default_rng(seed)
    if examples is not None and _has(new, f"detail_{phase}_maps"):
        images, masks = examples
        bank = new.get_layer(f"detail_{phase}_maps")
        bank.set_weights([relative_detail(images[..., 0], masks[..., 0], len(bank.get_weights()[0]), rng)])
    if not preserve:
        return
    image = old.get_layer(f"to_image_{phase - 1}")
    weights, bias = image.stock_weights()
    carried = weights.ravel(), bias.item() + 1.0
    _start_as(new.get_layer(f"latent_{phase}"), _BILINEAR, rng, carried=carried, anchored=phase > 2)
    entrance, entered = new.get_layer(f"mask_entrance_{phase}"), f"mask_entrance_{phase - 1}"
    if _has(old, entered):  # phase 1 without an embedding does not see the mask at all
        _start_as_copy(old.get_layer(entered).pointwise, entrance.pointwise)
    # a mask is not negative: what a negative weight makes of it, LeakyReLU shrinks, and nothing else
    negative = entrance.pointwise.get_weights()[0].ravel() < 0
    _start_as(entrance.convolution, _AVERAGE, rng, gains=np.where(negative, 1 / LEAKY_SLOPE, 1.0))
    _start_as_copy(image, new.get_layer(f"to_image_{phase}"))
    if examples is not None:
        fitted = examples[1][:FITTED_MASKS]
        latents = rng.standard_normal((len(fitted), new.inputs[1].shape[-1])).astype(np.float32)
        _fit_image_convolution(new, phase, fitted, latents)


def _has(model: keras.Model, name: str) -> bool:
    return name in {layer.name for layer in model.layers}


def _fit_image_convolution(new: keras.Model, phase: int, masks: np.ndarray, latents: np.ndarray) -> None:
    """Least squares: the 1×1 convolution to an image that best repeats the old image from the new features.

    The new block drops channels, rectifies and normalises once more; a copied convolution then shows another image.
    """
    layer, old = (new.get_layer(f"to_image_{level}") for level in (phase, phase - 1))
    probe = keras.Model(new.inputs, [layer.input, old.output])  # images before their detail, which is added anyway
    old_path = keras.ops.zeros((1,))
    features, image = (
        np.asarray(part, np.float64) for part in probe([*map(keras.ops.array, (masks, latents)), old_path])
    )
    image = image.repeat(2, axis=1).repeat(2, axis=2)
    design = features.reshape(-1, features.shape[-1])
    design = np.concatenate([design, np.ones((len(design), 1))], axis=1)
    ridge = 1e-4 * len(design) * np.eye(design.shape[1])
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ image.reshape(-1))
    kernel = solution[:-1].reshape(1, 1, -1, 1) / layer.kernel_scale
    layer.set_weights([kernel.astype(np.float32), solution[-1:].astype(np.float32)])


def grow_critic(old: keras.Model, new: keras.Model, phase: int, seed: int, *, preserve: bool = True) -> None:
    """Fill `new`, a fresh critic of `phase`, from `old`, one of `phase − 1`."""
    transfer(old, new)
    if not preserve:
        return
    entrance, entered = new.get_layer(f"critic_entrance_{phase}"), old.get_layer(f"critic_entrance_{phase - 1}")
    _start_as(entrance.convolution, _AVERAGE, np.random.default_rng(seed))
    _start_as_copy(entered.pointwise, entrance.pointwise)


def _start_as(
    layer: keras.layers.Layer,
    taps: np.ndarray,
    rng: np.random.Generator,
    *,
    gains: float | np.ndarray = 1.0,
    carried: tuple[np.ndarray, float] | None = None,
    anchored: bool = False,
) -> None:
    """`taps` from each input channel to the output channel of the same number, noise everywhere.

    Args:
        gains: of each output channel.
        carried: (weights, offset) of one more feature, the brightness of the image, that the first two output channels
            carry with either sign: rectified, the two together still hold it whole. Pixel norm divides by what is
            small wherever all features cross zero, which shows as a sharp rim or streak. So black is the zero of
            the brightness, and the third channel, the anchor, starts as a constant that no norm falls short of.
        anchored: whether the third input channel is an anchor, to be doubled like all others: zero padding weakens it
            at the margins as it does them, and pixel norm undoes that. The first anchor is a bias, which does not fade.
    """
    kernel, bias = layer.get_weights()
    bias = np.zeros_like(bias)
    channels = gains * np.eye(*kernel.shape[2:])  # [in, out], or [out, in] of a transposed convolution
    if carried is not None:
        weights, offset = carried
        unit = CARRIED_NORM / np.linalg.norm(weights)
        channels[:3] = 0.0
        channels[:2, : weights.size] = np.outer([unit, -unit], weights)
        bias[:2] = unit * offset, -unit * offset
        if anchored:  # of C channels, all others of norm 1, pixel norm left ANCHOR·√C / √(1 + ANCHOR²) of it
            channels[2, 2] = np.sqrt((1 + ANCHOR**2) * len(bias) / weights.size)
        else:
            bias[2] = ANCHOR * np.sqrt(len(bias))
    wanted = taps[:, :, None, None] * channels / layer.kernel_scale
    layer.set_weights([wanted + NOISE * rng.standard_normal(kernel.shape), bias])


def _start_as_copy(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Copy a 1×1 convolution as far as both have channels, in effective (scaled) units; 0 for the rest."""
    kernel, *bias = new.get_weights()
    effective, *old_bias = old.stock_weights()
    inputs, outputs = np.minimum(kernel.shape[2:], effective.shape[2:])
    kernel[...] = 0.0
    kernel[:, :, :inputs, :outputs] = effective[:, :, :inputs, :outputs] / new.kernel_scale
    new.set_weights([kernel, *(old[: new.size] for old, new in zip(old_bias, bias))])
