"""Encoder and decoder that start as a linear transform and its inverse (ours).

With random kernels the first thousand steps go into learning that a dark corner is dark. Here a part of every layer's
channels starts as one level of an orthonormal Haar transform, which turns each 2×2 block of a channel into its sum and
three differences: from 64×64 to 32×32 the sum alone, further down what varies most among example images, as much as
fits. The decoder starts with the transposed kernels, and its last convolution with what fits the examples best. So the
visual feature begins as the 768 coefficients that say most about an image. The other channels start at random and read
the coefficients; a part of the feature is theirs. They do not affect the image until training gives them weight.

LeakyReLU is linear where all is positive: batch normalisation starts with the deviation of each coefficient and with an
offset of a few deviations, and a channel that is constant, the last of a layer, lets the decoder take offsets away
again. Nothing is frozen; training takes it from there.
"""

import cv2
import keras
import numpy as np

GRID = 32  # above this height and width only sums are kept
SHARE = 0.75  # of a layer's channels that are used for coefficients, at most
OFFSET = 3.0  # deviations
RIDGE = 1e-4  # of the least squares, as a share of the variance

# sum and differences of a 2×2 block: (row, column, pattern)
HAAR = np.array([[[1, 1, 1, 1], [1, -1, 1, -1]], [[1, 1, -1, -1], [1, -1, -1, 1]]], np.float32) / 2


def start_linearly(encoder: keras.Model, decoder: keras.Model, images: np.ndarray) -> None:
    """Set some weights of fresh networks so that the decoder gives back what the visual feature can hold of an image.

    Args:
        encoder, decoder: from `build_encoder`, `build_decoder`.
        images: float (n, 64, 64) in [0, 1], examples that decide what is kept and how it is normalised.
    """
    units = int(np.log2(images.shape[1])) + 1
    images = 2 * np.asarray(images, np.float32)[..., None] - 1
    layers = {layer.name for layer in decoder.layers}
    kernels = []

    # 1) encoder: the image as it is, then coefficients
    values = images
    for number in range(1, units + 1):
        layer = encoder.get_layer(f"encoder_{number}")
        if number == 1:
            kernel = np.ones((1, 1, 1, 1), np.float32)
        else:
            kernel = _haar(values, room=max(1, int(SHARE * layer.filters)))
            values = _analyse(values, kernel)
        kernels.append(kernel)
        _set_kernel(layer, kernel)
        mean = values.mean(axis=(0, 1, 2))
        normalization = encoder.get_layer(f"encoder_{number}_normalization")
        values, offset = _normalise(normalization, values, constant=number == units)

    # 2) decoder: back again, with the mean of each of the feature's coefficients, which make the mean image
    offset = offset - mean
    for number, kernel in enumerate(reversed(kernels[1:]), start=1):
        if kernel.shape[3] == 1:
            offset = np.zeros(1, np.float32)  # a sum's offset is the same everywhere: normalisation takes it away
        _set_kernel(decoder.get_layer(f"decoder_{number}"), kernel, offset)
        values = _synthesise(values - offset, kernel)
        if f"decoder_{number}_low_pass" in layers:
            values = np.stack([_low_pass(one) for one in values])
        normalization = decoder.get_layer(f"decoder_{number}_normalization")
        inner = number < units - 1 and kernels[units - number - 1].shape[3] > 1
        values, offset = _normalise(normalization, values, constant=inner)

    # 3) the last convolution: what comes nearest to the images
    layer = decoder.get_layer(f"decoder_{units}")
    taps, bias = _least_squares(values[..., 0], images[..., 0])
    weights = np.zeros(layer.kernel.shape, np.float32)
    weights[:, :, 0, 0] = taps[::-1, ::-1]  # a transposed convolution's kernel is the other way round
    layer.kernel.assign(weights)
    layer.bias.assign([bias])


def _haar(values: np.ndarray, room: int) -> np.ndarray:
    """Kernel (2, 2, channels, coefficients) of those that vary most, or of sums only."""
    channels = values.shape[-1]
    kernel = np.einsum("ijp,cd->ijcdp", HAAR, np.eye(channels, dtype=np.float32)).reshape(2, 2, channels, -1)
    if values.shape[1] > GRID:
        return kernel[..., ::4][..., :room]
    variances = _analyse(values, kernel).var(axis=(0, 1, 2))
    return kernel[..., np.sort(np.argsort(-variances, kind="stable")[:room])]


def _analyse(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(n, 2h, 2w, channels) → (n, h, w, coefficients)."""
    count, height, width, channels = values.shape
    blocks = values.reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.einsum("nyixjc,ijcd->nyxd", blocks, kernel, optimize=True)


def _synthesise(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(n, h, w, coefficients) → (n, 2h, 2w, channels), the inverse but for coefficients that the kernel lacks."""
    blocks = np.einsum("nyxd,ijcd->nyixjc", values, kernel, optimize=True)
    count, height, _, width, _, channels = blocks.shape
    return blocks.reshape(count, 2 * height, 2 * width, channels)


def _low_pass(values: np.ndarray) -> np.ndarray:
    """[1 2 1]⊗[1 2 1]/16 on (h, w, 1), mirrored at the border."""
    return cv2.GaussianBlur(values, (3, 3), 0, borderType=cv2.BORDER_REFLECT)[..., None]


def _least_squares(values: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, float]:
    """(taps (3, 3), bias) of the convolution from values (n, h, w) that comes nearest to images of the same shape.

    Taps are kept small by `RIDGE`: neighbours of smooth images are all but the same.
    """
    rows, columns = values.shape[1:]
    shifted = np.stack([values[:, y : rows - 2 + y, x : columns - 2 + x].ravel() for y in range(3) for x in range(3)])
    wanted = images[:, 1:-1, 1:-1].ravel()
    mean, centred = shifted.mean(axis=1), shifted - shifted.mean(axis=1, keepdims=True)
    covariance = (centred @ centred.T).astype(np.float64)
    covariance += (RIDGE * np.trace(covariance) + 1e-12) * np.eye(len(covariance))
    taps = np.linalg.solve(covariance, centred @ (wanted - wanted.mean()))
    return taps.reshape(3, 3), float(wanted.mean() - taps @ mean)


def _set_kernel(layer: keras.layers.Layer, kernel: np.ndarray, offset: np.ndarray | None = None) -> None:
    """Have the first outputs of a layer compute a kernel of its first inputs, and read nothing else.

    A transposed convolution stores what it computes the other way round, (row, column, out, in): it takes the kernel of
    the convolution that it reverts. Its last input is constant and takes an `offset` of the others away.
    """
    weights = np.array(layer.kernel)
    margin = (weights.shape[0] - kernel.shape[0]) // 2
    inside = slice(margin, margin + kernel.shape[0])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        weights[:, :, : kernel.shape[2]] = 0
    else:
        weights[..., : kernel.shape[3]] = 0
    weights[inside, inside, : kernel.shape[2], : kernel.shape[3]] = kernel
    if offset is not None and offset.any():
        weights[inside, inside, : kernel.shape[2], -1] = -kernel @ offset
    layer.kernel.assign(weights)


def _normalise(layer: keras.layers.Layer, values: np.ndarray, *, constant: bool) -> tuple[np.ndarray, np.ndarray]:
    """Have batch normalisation keep deviations and set means to `OFFSET` of them.

    Args:
        constant: whether the layer's last channel becomes a constant 1.

    Returns:
        (the layer's output, its mean by channel).
    """
    mean, variance = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
    deviation = np.sqrt(variance + layer.epsilon)
    offset = OFFSET * deviation
    variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    for variable, start in zip(variables, (deviation, offset, mean, variance), strict=True):
        weights = np.array(variable)
        weights[: len(start)] = start
        variable.assign(weights)
    if constant:
        layer.gamma.assign([*np.array(layer.gamma)[:-1], 0])
        layer.beta.assign([*np.array(layer.beta)[:-1], 1])
    return values - mean + offset, offset
