"""Exact checkpoints: one HDF5 file holds every variable of both players, their optimizers and the moving average.

Frozen weights, which the generator and its moving average share, are written once.

A file is written next to its final name, flushed to disk and renamed, so that a run killed at any moment finds either
the old state or the new one, never half of one. The last two are kept.
"""

import json
import os
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np

from training.model import AdversarialModel

KEPT = 2
DISCRIMINATOR = "critic"  # what checkpoints of every system call it
PREVIOUS = "previous_generator"  # in a light checkpoint


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file and what to do."""


def _variables(model: AdversarialModel) -> dict[str, list]:
    return {
        "generator": model.generator.weights,
        DISCRIMINATOR: model.discriminator.weights,
        "ema_generator": [average for average, _ in model.weight_pairs(frozen=False)],
        "generator_optimizer": model.generator_optimizer.variables,
        f"{DISCRIMINATOR}_optimizer": model.discriminator_optimizer.variables,
    }


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in `folder`, newest first."""
    return sorted(folder.glob("checkpoint-*.h5"), reverse=True)


def save_checkpoint(folder: Path, model: AdversarialModel, state: dict) -> Path:
    """Write the model's whole state; the file is named after the images it has seen.

    Args:
        folder: where; made if absent.
        model: the model, compiled.
        state: what else the run must remember, JSON-able.

    Returns:
        The file. Older ones than the last two are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"checkpoint-{model.images_seen:010d}.h5"
    partial = final.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        file.attrs["state"] = json.dumps({**state, "images_seen": model.images_seen})
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


def lighten(checkpoint: Path, output: Path, previous: Path | None = None) -> None:
    """Write a checkpoint that fits into an e-mail, from which training can continue, though not bit by bit.

    Networks are kept in half precision and the moving average in float32; of what an optimizer knows of each variable,
    its mean.

    Args:
        checkpoint: a whole one.
        output: the file to write; replaced if it exists.
        previous: a finished generator that the checkpoint builds on, kept within.
    """
    partial = output.with_suffix(".partial")
    with _open(checkpoint) as whole, h5py.File(partial, "w") as light:
        light.attrs["state"] = whole.attrs["state"]
        for player, group in whole.items():
            for index, dataset in group.items():
                value = dataset[()]
                if player.endswith("optimizer") and value.ndim:
                    value = value.mean(dtype=np.float64).astype(value.dtype)
                elif player in ("generator", DISCRIMINATOR):
                    value = value.astype(np.float16)
                options = {"compression": 9, "shuffle": True} if value.size > 1 else {}
                kept = light.create_dataset(f"{player}/{index}", data=value, **options)
                kept.attrs["path"] = dataset.attrs["path"]
        if previous:
            light.create_dataset(PREVIOUS, data=np.frombuffer(previous.read_bytes(), np.uint8))
    os.replace(partial, output)


def unpack(light: Path, folder: Path, previous: Path) -> None:
    """Put a light checkpoint where a run looks for its own, and the generator that it builds on, if any, as well.

    Args:
        light: from `lighten`.
        folder: of the phase.
        previous: where the generator of the phase before belongs.
    """
    state = read_state(light)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(light, folder / f"checkpoint-{state['images_seen']:010d}.h5")
    with _open(light) as file:
        if PREVIOUS in file:
            previous.parent.mkdir(parents=True, exist_ok=True)
            previous.write_bytes(file[PREVIOUS][()].tobytes())


def restore_discriminator(path: Path, discriminator: keras.Model) -> None:
    """Set the weights of a discriminator alone from a checkpoint of a model with one like it.

    Raises:
        CheckpointError: the file is damaged, or holds another network's variables.
    """
    with _open(path) as file:
        _assign(discriminator.weights, file[DISCRIMINATOR], path, DISCRIMINATOR)


def _assign(variables: list, group: h5py.Group, path: Path, player: str) -> None:
    """Set variables from a group of a checkpoint."""
    if len(group) != len(variables):
        whose = player.replace(DISCRIMINATOR, "discriminator").replace("_", " ")
        raise CheckpointError(
            f"{path}: holds {len(group)} variables of the {whose}, this network has {len(variables)}; "
            "it was written with other settings: use another --run"
        )
    for index, variable in enumerate(variables):
        value = group[f"{index:03d}"][()]
        if value.ndim == 0 and player.endswith("optimizer"):  # a light checkpoint keeps their means
            value = np.full(variable.shape, value)
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
        raise CheckpointError(f"{path}: not a readable checkpoint; delete it to use the one before") from error
