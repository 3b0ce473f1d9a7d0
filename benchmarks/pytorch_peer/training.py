"""A training step of both peers: eager or compiled, in either memory layout, in float32 or bfloat16.

A problem (`mammograms.Mammograms`, `masses.Masses`) gives networks, noise, losses and gradients; `Trainer` gives the
rest: Adam, the moving average, autocast, the compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx


@dataclass(frozen=True)
class Variant:
    """How PyTorch runs a step.

    Attributes:
        compiled: the whole step in one graph of `torch.compile`, the penalty's second derivative, Adam and the moving
            average included.
        channels_last: memory layout of images, features and kernels.
        precision: "float32" or "mixed_bfloat16" (autocast).
    """

    compiled: bool = False
    channels_last: bool = False
    precision: str = "float32"

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class Player:
    """A network's parameters and Adam for them.

    Args:
        network: the player.
        adam: `rate`, `beta_1`, `beta_2`, `epsilon`.
        compiled: whether the update becomes part of a compiled graph, which fuses plain tensor operations; elsewhere it
            is PyTorch's own fused kernel.
    """

    def __init__(self, network: nn.Module, adam: dict, compiled: bool):
        self.adam, self.parameters = adam, list(network.parameters())
        self.update = self._plain if compiled else self._fused
        self.rate, self.steps = torch.tensor(adam["rate"]), torch.zeros(())
        self.first, self.second = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        betas = adam["beta_1"], adam["beta_2"]
        self.optimizer = torch.optim.Adam(self.parameters, adam["rate"], betas, adam["epsilon"], fused=True)

    def _fused(self, gradients: list[torch.Tensor]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    @torch.no_grad()
    def _plain(self, gradients: list[torch.Tensor]) -> None:
        beta_1, beta_2 = self.adam["beta_1"], self.adam["beta_2"]
        self.steps.add_(1.0)
        rate = self.rate * (1 - beta_2**self.steps).sqrt() / (1 - beta_1**self.steps)
        players = zip(self.parameters, gradients, self.first, self.second, strict=True)
        for parameter, gradient, first, second in players:
            if beta_1:
                first.lerp_(gradient, 1 - beta_1)
            second.lerp_(gradient.square(), 1 - beta_2)
            parameter.sub_(rate * (first if beta_1 else gradient) / (second.sqrt() + self.adam["epsilon"]))


class Trainer:
    """Runs steps of a problem in one variant."""

    def __init__(self, problem, variant: Variant):
        self.problem, self.variant = problem, variant
        self.generator = Player(problem.generator, problem.spec["generator_adam"], variant.compiled)
        self.critic = Player(problem.critic, problem.spec["critic_adam"], variant.compiled)
        self.forgotten = torch.tensor(1 - problem.spec["decay"])
        self.averages = [value.detach().clone() for value in problem.averaged()]
        self.run = self._traced() if variant.compiled else self._step

    def step(self) -> dict:
        """One step on the problem's batch with new noise; its losses."""
        return self.run(*self.problem.noise())

    def gradients(self, *noise: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], dict]:
        """(critic's, generator's, losses) of a step, nothing updated."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.variant.precision == "mixed_bfloat16"):
            return self.problem.gradients(*noise)

    def _step(self, *noise: torch.Tensor) -> dict:
        critic, generator, losses = self.gradients(*noise)
        self.critic.update(critic)
        self.generator.update(generator)
        self._average()
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        values = self.problem.averaged()
        if not self.variant.compiled:
            torch._foreach_lerp_(self.averages, values, self.forgotten)
            return
        for average, value in zip(self.averages, values, strict=True):
            average.lerp_(value, self.forgotten)

    def _traced(self) -> Callable[..., dict]:
        """The whole step as one compiled graph.

        The compiler does not trace a second derivative through `autograd.grad`, and fails on `torch.func.vjp` of these
        networks. So the operations that autograd runs are recorded first; in their graph no derivative is left.
        """
        graph = make_fx(self._step)(*self.problem.noise())
        for node in graph.graph.nodes:
            if node.target is torch.ops.aten.view.default:  # the compiler's layouts do not allow all of these views
                node.target = torch.ops.aten.reshape.default
        graph.recompile()
        compiled = torch.compile(graph, fullgraph=True, options={"cpp.threads": torch.get_num_threads()})
        return torch.no_grad()(compiled)
