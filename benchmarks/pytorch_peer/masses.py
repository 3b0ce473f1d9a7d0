"""Feature2Mass and its step: encoder and decoder against two discriminators."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pytorch_peer.layers import (
    BatchNorm,
    Convolution,
    Dense,
    Player,
    TransposedConvolution,
    flat,
    leaky_relu,
    low_pass,
    single,
    without_autocast,
)

SIZE = 64


class Autoencoder(Player):
    """Encoder and decoder: an image (N, 1, 64, 64) and one-hot labels to a reconstruction."""

    def __init__(self, sizes: dict):
        super().__init__()
        filters, hidden = sizes["filters"], sizes["embedding_units"][0]
        plain = {"gain": None, "bias": False}
        layers = {}
        for name, classes in (("margin", sizes["margins"]), ("shape", sizes["shapes"])):
            layers[f"{name}_embedding_1"] = Dense(classes, hidden, gain=None)
            layers[f"{name}_embedding_2"] = Dense(hidden, SIZE * SIZE, gain=None)
        channels = 3
        for number, width in enumerate([*filters, sizes["features"]], start=1):
            size, stride = {1: (3, 1), 7: (2, 2)}.get(number, (4, 2))
            layers[f"encoder_{number}"] = Convolution(channels, width, size, stride, **plain)
            layers[f"encoder_{number}_normalization"] = BatchNorm(width)
            channels = width
        for number, width in enumerate(reversed(filters), start=1):
            layers[f"decoder_{number}"] = TransposedConvolution(channels, width, 2 if number == 1 else 4, 2, **plain)
            layers[f"decoder_{number}_normalization"] = BatchNorm(width)
            channels = width
        layers["decoder_7"] = TransposedConvolution(channels, 1, 3, 1, gain=None)
        self.layers = nn.ModuleDict(layers)

    def forward(self, image, margin, shape):
        layers = self.layers
        # 1) encoder: the image next to a map of each label, seven convolutions
        maps = [image * 2.0 - 1.0]
        for name, label in (("margin", margin), ("shape", shape)):
            hidden = leaky_relu(layers[f"{name}_embedding_1"](label))
            maps.append(layers[f"{name}_embedding_2"](hidden).view(-1, 1, SIZE, SIZE))
        features = torch.cat(maps, 1).contiguous(memory_format=self.memory_format)
        for number in range(1, 8):
            features = leaky_relu(features) if number > 1 else features
            features = layers[f"encoder_{number}_normalization"](layers[f"encoder_{number}"](features))

        # 2) decoder: six transposed convolutions, borders repeated before the low pass and the last
        for number in range(1, 7):
            features = layers[f"decoder_{number}"](leaky_relu(features))
            if number == 6:
                features = low_pass(F.pad(features, (1, 1, 1, 1), mode="replicate"), padding=0)
            features = layers[f"decoder_{number}_normalization"](features)
        features = F.pad(leaky_relu(features), (1, 1, 1, 1), mode="replicate")
        last = layers["decoder_7"]
        image = F.conv_transpose2d(features, last.weight, last.bias, padding=2)  # what "same" and a crop by one leave
        return single(image) * 0.5 + 0.5


class Discriminator(Player):
    """An image to the logits of real-or-fake and of its label, (N, 1 + classes)."""

    def __init__(self, sizes: dict, classes: int, name: str):
        super().__init__()
        self.name, channels, number, layers = name, 1, 0, {}
        for width in sizes["discriminator_filters"]:
            for size, stride in ((3, 1), (4, 2)):
                number += 1
                layer = f"{name}_{number}"
                layers[layer] = Convolution(channels, width, size, stride, gain=None, bias=number == 1)
                if number > 1:
                    layers[f"{layer}_normalization"] = BatchNorm(width)
                channels = width
        self.convolutions, channels = number, channels * 4
        for index, units in enumerate([*sizes["verdict_units"], 1 + classes], start=1):
            layers[f"{name}_dense_{index}"] = Dense(channels, units, gain=None)
            channels = units
        self.layers = nn.ModuleDict(layers)

    def forward(self, image):
        layers, name = self.layers, self.name
        features = (image * 2.0 - 1.0).contiguous(memory_format=self.memory_format)
        for number in range(1, self.convolutions + 1):
            features = layers[f"{name}_{number}"](features)
            if number > 1:
                features = layers[f"{name}_{number}_normalization"](features)
            features = leaky_relu(features)
        features = flat(features)
        for index in (1, 2):
            features = leaky_relu(layers[f"{name}_dense_{index}"](features))
        with without_autocast():
            return layers[f"{name}_dense_3"](single(features))


class Critic(Player):
    """Both discriminators as one player."""

    def __init__(self, sizes: dict):
        super().__init__()
        self.margin = Discriminator(sizes, sizes["margins"], "margin_discriminator")
        self.shape = Discriminator(sizes, sizes["shapes"], "shape_discriminator")

    def laid_out(self, memory_format: torch.memory_format) -> "Critic":
        self.margin.laid_out(memory_format)
        self.shape.laid_out(memory_format)
        return self

    def forward(self, image):
        return self.margin(image), self.shape(image)


class Masses:
    """The networks, a fixed batch, and the gradients of a step; arguments as of `Mammograms`."""

    def __init__(self, spec: dict, memory_format: torch.memory_format):
        self.spec, self.memory_format, sizes = spec, memory_format, spec["sizes"]
        self.generator = Autoencoder(sizes).laid_out(memory_format)
        self.critic = Critic(sizes).laid_out(memory_format)
        random = np.random.default_rng(0)
        batch = {"image": random.random((spec["batch"], SIZE, SIZE, 1), np.float32)}
        for name in ("margin", "shape"):
            classes = sizes[f"{name}s"]
            batch[name] = np.eye(classes, dtype=np.float32)[random.integers(classes, size=spec["batch"])]
        self.hold(batch, {})

    def hold(self, batch: dict[str, np.ndarray], noise: dict) -> None:
        """Train on this batch, as Keras has it; there is no noise."""
        image = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2)
        self.image = image.contiguous(memory_format=self.memory_format)
        self.margin, self.shape = (torch.from_numpy(batch[name]) for name in ("margin", "shape"))

    def averaged(self) -> list[torch.Tensor]:
        """What the moving average follows: weights and moving statistics."""
        return [*self.generator.parameters(), *self.generator.buffers()]

    def noise(self) -> tuple:
        return ()

    def gradients(self):
        """(critic's gradients, generator's gradients, losses) of a step; one pass of the generator."""
        fake = self.generator(self.image, self.margin, self.shape)
        l1 = (self.image - fake).abs().mean()
        leaf = fake.detach().requires_grad_()
        critic_loss, verdict, losses = self.losses(leaf)
        critic = torch.autograd.grad(critic_loss, list(self.critic.parameters()), retain_graph=True)
        fake_gradient = torch.autograd.grad(verdict, leaf)[0]
        price = torch.full_like(l1, self.spec["sizes"]["weights"][3])
        generator = torch.autograd.grad([fake, l1], list(self.generator.parameters()), [fake_gradient, price])
        return list(critic), list(generator), losses | {"l1": l1.detach()}

    def critic_gradients(self):
        """(critic's gradients, losses) of the first half of a textbook step."""
        with torch.no_grad():
            fake = self.generator(self.image, self.margin, self.shape)
        loss, _, losses = self.losses(fake)
        return list(torch.autograd.grad(loss, list(self.critic.parameters()))), losses

    def generator_gradients(self):
        """(generator's gradients, its L1) of the second half of a textbook step."""
        fake = self.generator(self.image, self.margin, self.shape)
        l1 = (self.image - fake).abs().mean()
        weights, entropy = self.spec["sizes"]["weights"], F.binary_cross_entropy_with_logits
        loss = weights[3] * l1
        for of_fake, label in zip(self.critic(fake), (self.margin, self.shape)):
            loss = loss + entropy(of_fake[:, :1], torch.ones_like(of_fake[:, :1]))
            loss = loss + weights[2] * entropy(of_fake[:, 1:], label)
        return list(torch.autograd.grad(loss, list(self.generator.parameters()))), {"l1": l1.detach()}

    def losses(self, fake):
        """(the discriminators' loss, what the generator pays for their verdict, terms)."""
        weights = self.spec["sizes"]["weights"]
        real, made = self.critic(self.image), self.critic(fake)
        entropy = F.binary_cross_entropy_with_logits
        totals, adversarial, labels = [], 0.0, 0.0
        for of_real, of_fake, label, weight in zip(real, made, (self.margin, self.shape), weights):
            one, zero = torch.ones_like(of_real[:, :1]), torch.zeros_like(of_real[:, :1])
            label_of_fake = entropy(of_fake[:, 1:], label)
            right = entropy(of_real[:, :1], one) + entropy(of_fake[:, :1], zero)
            totals.append(right + weight * (entropy(of_real[:, 1:], label) + label_of_fake))
            adversarial = adversarial + entropy(of_fake[:, :1], one)
            labels = labels + label_of_fake
        names = ("margin_loss", "shape_loss", "adversarial", "labels")
        terms = {name: value.detach() for name, value in zip(names, (*totals, adversarial, labels))}
        return sum(totals), adversarial + weights[2] * labels, terms
