"""The paper's generator at phase 3 against loops in plain NumPy, written from Ren et al. 2019, §4."""

import keras
import numpy as np
import pytest

from mask_embedding_gan.generator import build_generator
from mask_embedding_gan.presets import PRESETS

PHASE, COUNT = 3, 2  # images of 32×16


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def pixel_norm(x):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8)


def convolution(x, kernel, stride):
    """Cross-correlation with zeros around; kernel (size, size, in, out), weights scaled by √2 / √fan-in."""
    size, _, channels, filters = kernel.shape
    kernel = kernel * np.sqrt(2) / np.sqrt(size * size * channels)
    margin = (size - stride) // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    count, height, width, _ = x.shape
    out = np.zeros((count, height // stride, width // stride, filters))
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            patch = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
            out[:, row, column] = np.tensordot(patch, kernel, axes=3)
    return out


def transposed_convolution(x, kernel):
    """Every pixel paints 4×4 pixels of an image of twice the size; kernel (4, 4, out, in)."""
    kernel = kernel * np.sqrt(2) / np.sqrt(4 * kernel.shape[-1])  # four of its sixteen taps reach an output pixel
    count, height, width, _ = x.shape
    canvas = np.zeros((count, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            painted = np.einsum("ni,hwoi->nhwo", x[:, row, column], kernel)
            canvas[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += painted
    return canvas[:, 1:-1, 1:-1]


def dense(x, kernel, bias, gain):
    return x @ (kernel * gain / np.sqrt(kernel.shape[0])) + bias


def one_by_one(x, kernel):
    return x @ (kernel[0, 0] / np.sqrt(kernel.shape[2]))


def by_hand(weights: dict, mask, latent, alpha: float):
    """Image (n, 32, 16, 1) of a mask and a latent while phase 3 fades in."""
    conv = lambda x, name: convolution(x, weights[f"{name}/kernel"], 2) + weights[f"{name}/bias"]

    # the mask shrinks in three convolutions of stride 2; its first block fades in
    first = leaky(conv(one_by_one(mask, weights["from_mask_3/kernel"]), "mask_3"))
    halved = mask.reshape(len(mask), 16, 2, 8, 2, 1).mean(axis=(2, 4))
    older = one_by_one(halved, weights["from_mask_2/kernel"])
    masks = {2: older + alpha * (first - older)}
    masks[1] = leaky(conv(masks[2], "mask_2"))
    masks[0] = leaky(conv(masks[1], "mask_1"))

    # latent and embedding of the mask, 132 numbers, become 4×2 pixels of 128 features
    flat = masks[0].reshape(len(mask), -1)
    embedding = dense(flat, weights["mask_embedding/kernel"], weights["mask_embedding/bias"], 1.0)
    joined = np.concatenate([latent, embedding], axis=1)
    assert joined.shape[1] == 132
    projected = dense(joined, weights["projection/kernel"], weights["projection/bias"], np.sqrt(2))
    features = pixel_norm(leaky(projected.reshape(-1, 4, 2, 128)))

    # three transposed convolutions; every block of the mask but the last joins at its resolution
    images = {}
    for level in (1, 2, 3):
        if level > 1:
            features = np.concatenate([features, masks[level - 1]], axis=-1)
        name = f"latent_{level}"
        features = transposed_convolution(features, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
        features = pixel_norm(leaky(features))
        if level > 1:
            images[level] = (
                one_by_one(features, weights[f"to_image_{level}/kernel"]) + weights[f"to_image_{level}/bias"]
            )
    doubled = images[2].repeat(2, axis=1).repeat(2, axis=2)
    return 0.5 + 0.5 * (doubled + alpha * (images[3] - doubled))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_paper_s_generator_computes_what_its_text_says(alpha):
    keras.utils.set_random_seed(0)
    generator = build_generator(PRESETS["paper"].network, PHASE)
    random = np.random.default_rng(0)
    for weight in generator.weights:
        if weight.path.endswith("bias"):  # which would be zero
            weight.assign(0.1 * random.standard_normal(weight.shape))
    weights = {"/".join(one.path.split("/")[-2:]): np.asarray(one, np.float64) for one in generator.weights}
    mask = (random.random((COUNT, 32, 16, 1)) > 0.4).astype(np.float32)
    latent = random.standard_normal((COUNT, 100)).astype(np.float32)
    image = np.asarray(generator([mask, latent, np.array([alpha], np.float32)]))
    wanted = by_hand(weights, mask.astype(np.float64), latent.astype(np.float64), alpha)
    assert image.shape == (COUNT, 32, 16, 1) and np.ptp(wanted) > 0.1
    np.testing.assert_allclose(image, wanted, atol=1e-5)
