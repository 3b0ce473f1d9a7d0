"""Growing a network by one phase: every old layer is taken by name, the new ones start where they disturb least.

A random new block throws away what the last phase learned and leaves a checkerboard that does not train away. Here the
new transposed convolution starts as bilinear upsampling of the old features, the new critic convolution as a 2×2
average, the new 1×1 convolutions as copies of the old, each plus a little noise to tell the channels apart (ours).
"""

import keras
import numpy as np

NOISE = 0.2  # in units of a freshly drawn equalised kernel

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


def grow_generator(old: keras.Model, new: keras.Model, phase: int, seed: int, *, preserve: bool = True) -> None:
    """Fill `new`, a fresh generator of `phase`, from `old`, one of `phase − 1`.

    Args:
        seed: of the noise in the new block.
        preserve: start the new block as upsampling of the old features; False leaves it as drawn.
    """
    transfer(old, new)
    if not preserve:
        return
    rng = np.random.default_rng(seed)
    entrance, entered = new.get_layer(f"mask_entrance_{phase}"), old.get_layer(f"mask_entrance_{phase - 1}")
    _start_as(new.get_layer(f"latent_{phase}"), _BILINEAR, rng)
    _start_as(entrance.convolution, _AVERAGE, rng)
    _start_as_copy(entered.pointwise, entrance.pointwise)
    _start_as_copy(old.get_layer(f"to_image_{phase - 1}"), new.get_layer(f"to_image_{phase}"))


def grow_critic(old: keras.Model, new: keras.Model, phase: int, seed: int, *, preserve: bool = True) -> None:
    """Fill `new`, a fresh critic of `phase`, from `old`, one of `phase − 1`."""
    transfer(old, new)
    if not preserve:
        return
    entrance, entered = new.get_layer(f"critic_entrance_{phase}"), old.get_layer(f"critic_entrance_{phase - 1}")
    _start_as(entrance.convolution, _AVERAGE, np.random.default_rng(seed))
    _start_as_copy(entered.pointwise, entrance.pointwise)


def _start_as(layer: keras.layers.Layer, taps: np.ndarray, rng: np.random.Generator) -> None:
    """`taps` from each input channel to the output channel of the same number, noise everywhere."""
    kernel, bias = layer.get_weights()
    channels = np.eye(*kernel.shape[2:])  # [in, out], or [out, in] of a transposed convolution
    wanted = taps[:, :, None, None] * channels / layer.kernel_scale
    layer.set_weights([wanted + NOISE * rng.standard_normal(kernel.shape), np.zeros_like(bias)])


def _start_as_copy(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Copy a 1×1 convolution as far as the new one has channels, in effective (scaled) units."""
    kernel, *bias = new.get_weights()
    effective, *old_bias = old.stock_weights()
    effective = effective[:, :, : kernel.shape[2], : kernel.shape[3]]
    new.set_weights([effective / new.kernel_scale, *(old[: new.size] for old, new in zip(old_bias, bias))])
