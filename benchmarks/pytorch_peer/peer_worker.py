"""PyTorch's side of `against_pytorch.py`: a process that builds a variant and runs steps of it when told to.

The allocator is what the process was started with; everything else is an argument of `build`.
"""

import os
import time

import numpy as np
import torch
from machine import PEAK_SIZES, fastest
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pytorch_peer.layers import from_keras, keras_name
from pytorch_peer.mammograms import Mammograms
from pytorch_peer.masses import Masses
from pytorch_peer.protocol import serve
from pytorch_peer.training import Trainer, Variant


class Peer:
    """The trainers that were built, by name."""

    def __init__(self):
        self.trainers: dict[str, tuple[Trainer, int]] = {}

    def build(self, name: str, system: str, spec: dict, variant: dict, threads: int) -> dict:
        """Build a variant; `name` is how `run` will call it."""
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        variant = Variant(**variant)
        problem = {"mammograms": Mammograms, "masses": Masses}[system](spec, variant.memory_format)
        self.trainers[name] = Trainer(problem, variant), threads
        return {}

    def forget(self) -> dict:
        """Free every trainer, and what was compiled for it."""
        self.trainers.clear()
        torch.compiler.reset()
        return {}

    def run(self, name: str, steps: int) -> dict:
        """Seconds of each step."""
        trainer, threads = self.trainers[name]
        torch.set_num_threads(threads)
        seconds = []
        for _ in range(steps):
            began = time.perf_counter()
            losses = trainer.step()
            loss = float(next(iter(losses.values())))
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds, "loss": loss}

    def compare(self, name: str, path: str) -> dict:
        """Largest difference of a loss or a layer's gradient from the project's, in `path`, relative to its norm.

        Gradients of the project that this network has no parameter for must be 0, or differ by their whole norm.
        """
        trainer = self.trainers[name][0]
        arrays = dict(np.load(path))
        problem, differences = trainer.problem, {}
        wide = any(array.dtype == np.float64 for array in _under(arrays, "critic").values())
        if wide:
            arrays = {key: array.astype(np.float64) for key, array in arrays.items()}
            problem.generator.double(), problem.critic.double()
        problem.hold(_under(arrays, "batch"), _under(arrays, "noise"))
        players = {"critic": problem.critic, "generator": problem.generator}
        for player, network in players.items():
            weights = _under(arrays, f"{player}/weight")
            with torch.no_grad():
                for key, parameter in network.named_parameters():
                    parameter.copy_(from_keras(weights[keras_name(key, parameter)]))
        *gradients, losses = trainer.gradients(*problem.noise())
        for player, found in zip(players, gradients):
            theirs = _under(arrays, f"{player}/gradient")
            pairs: dict[str, list] = {}
            for (key, parameter), gradient in zip(players[player].named_parameters(), found, strict=True):
                name = keras_name(key, parameter)
                pairs.setdefault(name.split("/")[0], []).append((gradient, from_keras(theirs.pop(name))))
            differences |= {f"{player} {layer}": _difference(of_layer) for layer, of_layer in pairs.items()}
            differences |= {f"{player} {key}": float(np.linalg.norm(rest)) for key, rest in theirs.items()}
        for key, value in losses.items():
            differences[key] = _difference([(value, torch.from_numpy(arrays[f"loss/{key}"]))])
        worst = max(differences, key=differences.get)
        return {"worst": worst, "difference": differences[worst], "compared": len(differences)}

    def peak(self, precision: str) -> dict:
        """FLOP/s of PyTorch's fastest large matrix product, on all cores."""
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        dtype = torch.bfloat16 if precision == "mixed_bfloat16" else torch.float32
        trials = {}
        for size in PEAK_SIZES:
            a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
            trials[2 * size**3] = lambda a=a, b=b: torch.matmul(a, b)
        return {"flops": fastest(trials)}

    def operations(self, name: str) -> dict:
        """Floating-point operations of a step's convolutions and matrix products, forwards and backwards."""
        trainer = self.trainers[name][0]
        with OperationCounter() as counter:
            trainer.gradients(*trainer.problem.noise())
        return {"operations": counter.total}


class OperationCounter(TorchDispatchMode):
    """Adds up what PyTorch's own formulas say of every operation that runs, two for a multiplication and addition."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _under(arrays: dict, prefix: str) -> dict:
    """The arrays whose names begin with `prefix`/, without it."""
    return {key.removeprefix(f"{prefix}/"): array for key, array in arrays.items() if key.startswith(f"{prefix}/")}


def _difference(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Norm of what was found less what was expected, in units of the latter's, over a layer's tensors together."""
    found, expected = (torch.cat([tensor.detach().flatten() for tensor in tensors]) for tensors in zip(*pairs))
    return float((found - expected).norm() / (expected.norm() + 1e-12))


if __name__ == "__main__":
    serve(Peer())
