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
        compiled: gradients as a graph of `torch.compile`, the penalty's second derivative included.
        channels_last: memory layout of images, features and kernels.
        precision: "float32" or "mixed_bfloat16" (autocast).
        textbook: update one player, then the other, each with images of its own, instead of both from the same images.
    """

    compiled: bool = False
    channels_last: bool = False
    precision: str = "float32"
    textbook: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


class Trainer:
    """Runs steps of a problem in one variant.

    Adam is PyTorch's fused kernel over all parameters of a player, the moving average one call over all tensors.
    """

    def __init__(self, problem, variant: Variant):
        self.problem, self.variant = problem, variant
        self.optimizers = [
            _adam(problem.critic, problem.spec["critic_adam"]),
            _adam(problem.generator, problem.spec["generator_adam"]),
        ]
        self.averages = [value.detach().clone() for value in problem.averaged()]
        self.forgotten = 1 - problem.spec["decay"]
        functions = [problem.critic_gradients, problem.generator_gradients] if variant.textbook else [problem.gradients]
        self.runs = [self._compiled(function) if variant.compiled else self._cast(function) for function in functions]

    def step(self) -> dict:
        """One step on the problem's batch with new noise; its losses."""
        optimizers, losses = iter(self.optimizers), {}
        for run in self.runs:
            *gradients, found = run(*self.problem.noise())
            losses |= found
            for of_player in gradients:
                optimizer = next(optimizers)
                for parameter, gradient in zip(optimizer.param_groups[0]["params"], of_player, strict=True):
                    parameter.grad = gradient
                optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.problem.averaged(), self.forgotten)
        return losses

    def gradients(self, *noise: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], dict]:
        """(critic's, generator's, losses) of a step, nothing updated."""
        return self._cast(self.problem.gradients)(*noise)

    def _cast(self, function: Callable[..., tuple]) -> Callable[..., tuple]:
        """`function` in the variant's precision."""

        def cast(*noise):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.variant.precision == "mixed_bfloat16"):
                return function(*noise)

        return cast

    def _compiled(self, function: Callable[..., tuple]) -> Callable[..., tuple]:
        """What `function` computes, gradients included, as one compiled graph.

        The compiler does not trace a second derivative through `autograd.grad`, and fails on `torch.func.vjp` of these
        networks. So the operations that autograd runs are recorded first; in their graph no derivative is left.
        """
        graph = make_fx(self._cast(function))(*self.problem.noise())
        for node in graph.graph.nodes:
            if node.target is torch.ops.aten.view.default:  # the compiler's layouts do not allow all of these views
                node.target = torch.ops.aten.reshape.default
        graph.recompile()
        compiled = torch.compile(graph, fullgraph=True, options={"cpp.threads": torch.get_num_threads()})
        return torch.no_grad()(compiled)


def _adam(network: nn.Module, settings: dict) -> torch.optim.Adam:
    betas = settings["beta_1"], settings["beta_2"]
    return torch.optim.Adam(network.parameters(), settings["rate"], betas, settings["epsilon"], fused=True)
