"""The mask-embedding GAN and its WGAN-GP step: the networks of one phase, at α = 1 or while it fades in."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pytorch_peer.layers import (
    LEAKY_SLOPE,
    Convolution,
    Dense,
    FoldedEntrance,
    Player,
    TransposedConvolution,
    flat,
    leaky_relu,
    pixel_norm,
    single,
    without_autocast,
)

PENALTY_WEIGHT = 10.0
DRIFT_WEIGHT = 0.001


def halve(x):
    return F.avg_pool2d(x, 2)


def double(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def fade(old, new, alpha):
    return old + alpha.to(new.dtype) * (new - old)


class Generator(Player):
    """Mask (N, 1, H, W) and latent (N, L) to an image (N, 1, H, W).

    Args:
        sizes: `latent_size`, `embedding_size`, `mask_filters` and `filters` (of every level from 4×2 up).
        fading: whether it has the path of the phase before.
    """

    def __init__(self, sizes: dict, phase: int, fading: bool):
        super().__init__()
        filters, mask = sizes["filters"], sizes["mask_filters"]
        self.phase, self.fading, self.base = phase, fading and phase > 1, filters[0]
        layers = {
            f"from_mask_{phase}": Convolution(1, mask, 1, gain=1.0, bias=False),
            "mask_embedding": Dense(8 * mask, sizes["embedding_size"], gain=1.0),
            "projection": Dense(sizes["latent_size"] + sizes["embedding_size"], 8 * self.base),
        }
        for level in range(1, phase + 1):
            layers[f"mask_{level}"] = Convolution(mask, mask, 4, 2)
            below = filters[level - 1] + (mask if level > 1 else 0)
            layers[f"latent_{level}"] = TransposedConvolution(below, filters[level])
        for level in (phase, phase - 1) if self.fading else (phase,):
            layers[f"to_image_{level}"] = Convolution(filters[level], 1, 1, gain=1.0)
        if self.fading:
            layers[f"from_mask_{phase - 1}"] = Convolution(1, mask, 1, gain=1.0, bias=False)
        self.layers = nn.ModuleDict(layers)
        self.entrance = FoldedEntrance(layers[f"from_mask_{phase}"], layers[f"mask_{phase}"])

    def forward(self, mask, latent, alpha):
        phase, layers = self.phase, self.layers
        # 1) mask path down to 4×2
        features = leaky_relu(self.entrance(mask))
        if self.fading:
            features = fade(layers[f"from_mask_{phase - 1}"](halve(mask)), features, alpha)
        masks = {phase - 1: features}
        for level in range(phase - 1, 0, -1):
            masks[level - 1] = leaky_relu(layers[f"mask_{level}"](masks[level]))

        # 2) embedding joined to the latent, projected to 4×2
        embedding = layers["mask_embedding"](flat(masks[0]))
        projected = layers["projection"](torch.cat([latent, embedding.to(latent.dtype)], 1))
        features = projected.view(-1, 4, 2, self.base).permute(0, 3, 1, 2)
        features = pixel_norm(leaky_relu(features)).contiguous(memory_format=self.memory_format)

        # 3) latent path up to the image
        for level in range(1, phase + 1):
            older = features
            if level > 1:
                features = torch.cat([features, masks[level - 1].to(features.dtype)], 1)
            features = pixel_norm(leaky_relu(layers[f"latent_{level}"](features)))

        # 4) image in [0, 1]
        with without_autocast():
            image = layers[f"to_image_{phase}"](single(features))
            if self.fading:
                image = fade(double(layers[f"to_image_{phase - 1}"](single(older))), image, alpha)
        return image * 0.5 + 0.5


class Critic(Player):
    """Image and mask (N, 1, H, W) to a score (N, 1); arguments as of `Generator`, and `group_size`."""

    def __init__(self, sizes: dict, phase: int, fading: bool):
        super().__init__()
        filters = sizes["filters"]
        self.phase, self.fading, self.group = phase, fading and phase > 1, sizes["group_size"]
        layers = {f"from_image_{phase}": Convolution(2, filters[phase], 1, gain=1.0, bias=False)}
        if self.fading:
            layers[f"from_image_{phase - 1}"] = Convolution(2, filters[phase - 1], 1, gain=1.0, bias=False)
        for level in range(1, phase + 1):
            layers[f"critic_{level}"] = Convolution(filters[level], filters[level - 1], 4, 2)
        layers["critic_0"] = Convolution(filters[0] + 1, filters[0], 3)
        layers["score"] = Dense(8 * filters[0], 1, gain=1.0)
        self.layers = nn.ModuleDict(layers)
        self.entrance = FoldedEntrance(layers[f"from_image_{phase}"], layers[f"critic_{phase}"])

    def forward(self, image, mask, alpha):
        phase, layers = self.phase, self.layers
        pair = torch.cat([image * 2.0 - 1.0, mask], 1).contiguous(memory_format=self.memory_format)
        features = leaky_relu(self.entrance(pair))
        if self.fading:
            features = fade(layers[f"from_image_{phase - 1}"](halve(pair)), features, alpha)
        for level in range(phase - 1, 0, -1):
            features = leaky_relu(layers[f"critic_{level}"](features))
        features = torch.cat([features, self.deviation(features)], 1)
        features = layers["critic_0"](features)
        features = features * torch.where(features.detach() > 0, 1.0, LEAKY_SLOPE).to(features.dtype)
        with without_autocast():
            return layers["score"](single(flat(features)))

    def deviation(self, x):
        """One channel: the mean standard deviation within each group of consecutive images."""
        grouped = single(x).reshape(-1, self.group, *x.shape[1:])
        deviation = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = deviation.repeat_interleave(self.group).to(x.dtype)
        return channel[:, None, None, None].expand(-1, 1, *x.shape[2:])


class Mammograms:
    """One phase: its networks, a fixed batch, and the gradients of a step.

    Args:
        spec: from `project_worker`: sizes, phase, alpha (1,), batch, and what `Trainer` needs.
        memory_format: of features.
    """

    def __init__(self, spec: dict, memory_format: torch.memory_format):
        self.spec, self.memory_format = spec, memory_format
        phase, fading = spec["phase"], spec["alpha"] < 1.0
        self.generator = Generator(spec["sizes"], phase, fading).laid_out(memory_format)
        self.critic = Critic(spec["sizes"], phase, fading).laid_out(memory_format)
        self.alpha = torch.tensor([spec["alpha"]])
        shape = (spec["batch"], 4 * 2**phase, 2 * 2**phase, 1)
        random = np.random.default_rng(0)
        self.hold({"image": random.random(shape, np.float32), "mask": np.float32(random.random(shape) > 0.5)}, {})

    def hold(self, batch: dict[str, np.ndarray], noise: dict[str, np.ndarray]) -> None:
        """Train on this batch (as Keras has it), and with this noise instead of new one where some is given."""
        self.image, self.mask = (
            torch.from_numpy(batch[name]).permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)
            for name in ("image", "mask")
        )
        drawn = {name: torch.from_numpy(array) for name, array in noise.items()}
        self.drawn = (drawn["latent"], drawn["u"]) if drawn else None

    def averaged(self) -> list[torch.Tensor]:
        return list(self.generator.parameters())

    def noise(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents, and where between real and fake the penalty looks."""
        if self.drawn is not None:
            return self.drawn
        return torch.randn(len(self.image), self.spec["sizes"]["latent_size"]), torch.rand(len(self.image), 1, 1, 1)

    def real(self) -> torch.Tensor:
        return fade(double(halve(self.image)), self.image, self.alpha) if self.generator.fading else self.image

    def gradients(self, latent, u):
        """(critic's gradients, generator's gradients, losses) of a step; one pass of the generator."""
        fake = self.generator(self.mask, latent, self.alpha)
        leaf = fake.detach().requires_grad_()
        loss, losses = self.critic_loss(leaf, u)
        *critic, fake_gradient = torch.autograd.grad(loss, [*self.critic.parameters(), leaf])
        generator = torch.autograd.grad(fake, list(self.generator.parameters()), -fake_gradient)
        return critic, list(generator), losses

    def critic_gradients(self, latent, u):
        """(critic's gradients, losses) of the first half of a textbook step."""
        with torch.no_grad():
            fake = self.generator(self.mask, latent, self.alpha)
        loss, losses = self.critic_loss(fake, u)
        return list(torch.autograd.grad(loss, list(self.critic.parameters()))), losses

    def generator_gradients(self, latent, u):
        """(generator's gradients, no losses) of the second half of a textbook step."""
        fake = self.generator(self.mask, latent, self.alpha)
        loss = -self.critic(fake, self.mask, self.alpha).mean()
        return list(torch.autograd.grad(loss, list(self.generator.parameters()))), {}

    def critic_loss(self, fake, u):
        """(loss, its terms): real high, fake low, slope one between them, real near zero."""
        critic, real, mask, alpha = self.critic, self.real(), self.mask, self.alpha
        scores = critic(torch.cat([real, fake]), torch.cat([mask, mask]), alpha)
        real_score, fake_score = scores.chunk(2)
        between = (real + u * (fake.detach() - real)).requires_grad_()
        gradient = torch.autograd.grad(critic(between, mask, alpha).sum(), between, create_graph=True)[0]
        norm = (gradient.square().sum((1, 2, 3)) + 1e-12).sqrt()
        penalty = (norm - 1.0).square().mean()
        wasserstein = fake_score.mean() - real_score.mean()
        loss = wasserstein + PENALTY_WEIGHT * penalty + DRIFT_WEIGHT * real_score.square().mean()
        losses = {
            "critic_real": real_score.mean().detach(),
            "critic_fake": fake_score.mean().detach(),
            "gradient_penalty": penalty.detach(),
            "wasserstein": -wasserstein.detach(),
        }
        return loss, losses
