"""Exact checkpoints: one HDF5 file holds every variable of both players, their optimizers and the moving average.

Frozen weights, which the generator and its moving average share, are written once.

A file is written beside its final name, flushed to disk and renamed, so that a run killed at any moment finds either
the old state or the new one, never half of one. The last two are kept.
"""

import json
import os
from pathlib import Path

import h5py
import keras
import numpy as np

from training.adversarial import AdversarialModel

KEPT = 2


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file and what to do."""


def _variables(model: AdversarialModel) -> dict[str, list]:
    return {
        "generator": model.generator.weights,
        "critic": model.critic.weights,
        "ema_generator": [average for average, _ in model.weight_pairs(frozen=False)],
        "generator_optimizer": model.generator_optimizer.variables,
        "critic_optimizer": model.critic_optimizer.variables,
    }


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in `folder`, newest first."""
    return sorted(folder.glob("checkpoint-*.h5"), reverse=True)


def save_checkpoint(folder: Path, model: AdversarialModel, images_seen: int, state: dict) -> Path:
    """Write the model's whole state.

    Args:
        folder: where; made if absent.
        model: the model, compiled.
        images_seen: real images seen in this phase; names the file.
        state: what else the run must remember, JSON-able.

    Returns:
        The file. Older ones than the last two are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"checkpoint-{images_seen:010d}.h5"
    partial = final.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        file.attrs["state"] = json.dumps({**state, "images_seen": images_seen})
        for player, variables in _variables(model).items():
            group = file.create_group(player)
            for index, variable in enumerate(variables):
                dataset = group.create_dataset(f"{index:03d}", data=np.asarray(variable))
                dataset.attrs["path"] = variable.path
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, final)
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()
    return final


def read_state(path: Path) -> dict:
    """What `save_checkpoint` was given as `state`, with `images_seen`."""
    with _open(path) as file:
        return json.loads(file.attrs["state"])


def restore_checkpoint(path: Path, model: AdversarialModel) -> dict:
    """Set every variable of a compiled model from a checkpoint; returns its state.

    Raises:
        CheckpointError: the file is damaged, or holds another network's variables.
    """
    with _open(path) as file:
        for player, variables in _variables(model).items():
            _assign(variables, file[player], path, player)
        for average, weight in model.weight_pairs(frozen=True):
            average.assign(weight)
        return json.loads(file.attrs["state"])


def restore_critic(path: Path, critic: keras.Model) -> None:
    """Set the weights of a critic alone from a checkpoint of a model with one like it; errors as above."""
    with _open(path) as file:
        _assign(critic.weights, file["critic"], path, "critic")


def _assign(variables: list, group: h5py.Group, path: Path, player: str) -> None:
    if len(group) != len(variables):
        raise CheckpointError(
            f"{path}: holds {len(group)} variables of the {player}, this network has {len(variables)}; "
            "it was written with other settings: use another --run"
        )
    for index, variable in enumerate(variables):
        value = group[f"{index:03d}"][()]
        if value.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{path}: {variable.path} is {value.shape} there and {tuple(variable.shape)} here; "
                "it was written with other settings: use another --run"
            )
        variable.assign(value)


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise CheckpointError(f"{path}: not a readable checkpoint; delete it to go on from the one before") from error
