"""Layers that both peers share: names and shapes of the Keras layers, kernels in PyTorch's order."""

import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LEAKY_SLOPE = 0.2
LEAKY_RELU_GAIN = math.sqrt(2.0)


class _PixelNorm(torch.autograd.Function):
    """x / √(mean over channels of x² + 1e-8) with its gradient by hand: one pass where autograd makes six."""

    @staticmethod
    def forward(ctx, x):
        inverse = torch.rsqrt(single(x).square().mean(1, keepdim=True) + 1e-8)
        y = x * inverse.to(x.dtype)
        ctx.save_for_backward(y, inverse.to(x.dtype))
        return y

    @staticmethod
    def backward(ctx, gradient):
        y, inverse = ctx.saved_tensors
        return torch.addcmul(gradient, y, (gradient * y).mean(1, keepdim=True), value=-1).mul_(inverse)


def pixel_norm(x: torch.Tensor) -> torch.Tensor:
    return _PixelNorm.apply(x)


def low_pass(x: torch.Tensor, padding: int = 1) -> torch.Tensor:
    """[1 2 1]⊗[1 2 1]/16 on every channel: two averages over 2×2."""
    return F.avg_pool2d(F.avg_pool2d(x, 2, 1, padding=padding), 2, 1)


def leaky_relu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)


class Player(nn.Module):
    """A network and the memory layout of its feature maps."""

    memory_format = torch.contiguous_format

    def laid_out(self, memory_format: torch.memory_format) -> "Player":
        self.memory_format = memory_format
        return self.to(memory_format=memory_format)


def without_autocast() -> AbstractContextManager:
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


def single(x: torch.Tensor) -> torch.Tensor:
    """In float32, but never less precise than it was."""
    return x if x.dtype == torch.float64 else x.float()


class Scaled(nn.Module):
    """A kernel that is multiplied by `scale` when it is used, and a bias."""

    def __init__(self, shape: tuple[int, ...], filters: int, scale: float, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(filters)) if bias else None
        self.scale = scale

    def kernel(self) -> torch.Tensor:
        return self.weight * self.scale if self.scale != 1.0 else self.weight


class Convolution(Scaled):
    """Convolution; equalised by `gain`, or plain where it is None."""

    def __init__(self, channels, filters, size, stride=1, gain: float | None = LEAKY_RELU_GAIN, bias=True):
        scale = 1.0 if gain is None else gain / math.sqrt(size * size * channels)
        super().__init__((filters, channels, size, size), filters, scale, bias)
        self.size, self.stride = size, stride

    def forward(self, x):
        padding = (self.size - 1) // 2  # what "same" pads for sizes 1, 2, 3 and 4 at these strides
        return F.conv2d(x, self.kernel(), self.bias, self.stride, padding)


class TransposedConvolution(Scaled):
    """Stride-2 transposed convolution of size 4 (or 2), stride-1 of size 3; fan-in is what reaches an output."""

    def __init__(self, channels, filters, size=4, stride=2, gain: float | None = LEAKY_RELU_GAIN, bias=True):
        scale = 1.0 if gain is None else gain / math.sqrt((size / stride) ** 2 * channels)
        super().__init__((channels, filters, size, size), filters, scale, bias)
        self.size, self.stride = size, stride

    def forward(self, x):
        return F.conv_transpose2d(x, self.kernel(), self.bias, self.stride, (self.size - 1) // 2)


class Dense(Scaled):
    """Fully connected layer; equalised by `gain`, or plain where it is None."""

    def __init__(self, channels, units, gain: float | None = LEAKY_RELU_GAIN):
        super().__init__((units, channels), units, 1.0 if gain is None else gain / math.sqrt(channels))

    def forward(self, x):
        return F.linear(x, self.kernel(), self.bias)


class BatchNorm(nn.Module):
    """Batch normalisation by the statistics of the batch, with moving ones as Keras keeps them."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, True, 0.1, 1e-3)


class FoldedEntrance(nn.Module):
    """A linear 1×1 convolution without a bias and the stride-2 convolution after it, computed as one."""

    def __init__(self, pointwise: Convolution, convolution: Convolution):
        super().__init__()
        self.pointwise, self.convolution = pointwise, convolution

    def forward(self, x):
        kernel = torch.einsum("fi,ofhw->oihw", self.pointwise.kernel()[:, :, 0, 0], self.convolution.kernel())
        return F.conv2d(x, kernel, self.convolution.bias, 2, 1)


def flat(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, H·W·C), the order in which Keras flattens."""
    return x.permute(0, 2, 3, 1).flatten(1)


def keras_name(name: str, parameter: torch.Tensor) -> str:
    """What Keras calls a parameter: `layers.critic_3.weight` is `critic_3/kernel`."""
    layer, weight = name.split(".")[-2:]
    if layer.endswith("_normalization"):
        return f"{layer}/{ {'weight': 'gamma', 'bias': 'beta'}[weight] }"
    return f"{layer}/{'kernel' if weight == 'weight' else weight}"


def from_keras(array: np.ndarray) -> torch.Tensor:
    """A Keras weight or batch in PyTorch's order: (in, out) and (h, w, in, out) reversed, NHWC to NCHW."""
    axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(array.ndim, tuple(range(array.ndim)))
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))
