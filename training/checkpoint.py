"""Exact checkpoints: one HDF5 file holds every variable of both players, their optimizers and the moving average.

Frozen weights, which the generator and its moving average share, are written once.

A file is written next to its final name, flushed to disk and renamed, so that a run killed at any moment finds either
the old state or the new one, never half of one. The last two are kept.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import numpy as np

from preprocessing.atomic import remove_left_over, write_whole
from preprocessing.errors import UserError
from training.model import AdversarialModel, frozen_weights
from training.stored_arrays import stored_arrays

KEPT = 2
DISCRIMINATOR = "critic"  # what checkpoints of every system call it
CHECKSUM = "sha256"  # attribute of a file; older ones have none
SEAL = b"\nsha256 "  # then the digest of all bytes before it, in hexadecimal, ends a file; older ones have none
PREVIOUS = "previous_generator"  # in a light checkpoint


class CheckpointError(UserError):
    """A checkpoint cannot be used; the message names the file and what to do."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is damaged; what to do depends on whether there is an older one."""


def _variables(model: AdversarialModel) -> dict[str, list]:
    return {
        "generator": model.generator.weights,
        DISCRIMINATOR: model.discriminator.weights,
        "ema_generator": [average for average, _ in model.weight_pairs(frozen=False)],
        "generator_optimizer": model.generator_optimizer.variables,
        f"{DISCRIMINATOR}_optimizer": model.discriminator_optimizer.variables,
    }


def checkpoints(folder: Path) -> list[Path]:
    """List whole checkpoints in `folder`, newest first."""
    return sorted(folder.glob("checkpoint-*.h5"), reverse=True)


def save_checkpoint(folder: Path, model: AdversarialModel, state: dict) -> Path:
    """Write the model's whole state; the file is named after the images it has seen.

    Args:
        state: what else the run must remember, JSON-able.

    Returns:
        The file. Older ones than the last two are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"checkpoint-{model.images_seen:010d}.h5"
    content = io.BytesIO()  # a full disk makes HDF5 end in errors without a reason, or in a crash
    with h5py.File(content, "w") as file:
        file.attrs["state"] = json.dumps({**state, "images_seen": model.images_seen})
        for player, variables in _variables(model).items():
            group = file.create_group(player)
            for index, variable in enumerate(variables):
                dataset = group.create_dataset(f"{index:03d}", data=np.asarray(variable))
                dataset.attrs["path"] = variable.path
        file.attrs[CHECKSUM] = _checksum(file)
    write_whole(final, _sealed(content.getvalue()))
    remove_left_over(folder)
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()
    return final


def read_state(path: Path) -> dict:
    """Read what `save_checkpoint` was given as `state`, with `images_seen`."""
    with _open(path) as file:
        return json.loads(file.attrs["state"])


def restore_checkpoint(path: Path, model: AdversarialModel) -> None:
    """Set every variable of a compiled model from a checkpoint.

    Learning rates are not restored: a run begun from a light checkpoint may have other settings.

    Raises:
        CheckpointError: the file is damaged, or holds another network's variables.
    """
    optimizers = model.generator_optimizer, model.discriminator_optimizer
    rates = [float(np.asarray(optimizer.learning_rate)) for optimizer in optimizers]
    with _open(path) as file:
        for player, variables in _variables(model).items():
            _assign(variables, file[player], path, player)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.learning_rate = rate
        for average, weight in model.weight_pairs(frozen=True):
            average.assign(weight)


def lighten(checkpoint: Path, output: Path, previous: Path | None = None) -> None:
    """Write a checkpoint that fits into an e-mail, from which training can continue, though not bit by bit.

    Networks are kept in half precision and the moving average in float32; of what an optimizer knows of each variable,
    its mean.

    Args:
        output: the file to write; replaced if it exists.
        previous: a finished generator that the checkpoint builds on, kept within.
    """
    content = io.BytesIO()
    with _open(checkpoint) as whole, _compact_file(content) as light:
        light.attrs["state"] = whole.attrs["state"]
        for player, group in whole.items():
            h5py.h5g.create(light.id, player.encode(), gcpl=_untimed(h5py.h5p.GROUP_CREATE))
            for index, dataset in group.items():
                value = dataset[()]
                if player.endswith("optimizer") and value.ndim:
                    value = value.mean(dtype=np.float64).astype(value.dtype)
                elif player in ("generator", DISCRIMINATOR):
                    value = value.astype(np.float16)
                options = {"compression": 9, "shuffle": True} if value.size > 1 else {}
                kept = light[player].create_dataset(index, data=value, **options)
                kept.attrs["path"] = dataset.attrs["path"]
        if previous:
            light.create_dataset(PREVIOUS, data=np.frombuffer(previous.read_bytes(), np.uint8))
        light.attrs[CHECKSUM] = _checksum(light)
    write_whole(output, _sealed(content.getvalue()))


def unpack(light: Path, folder: Path, previous: Path) -> None:
    """Put a light checkpoint where a run looks for its own, and the generator that it builds on, if any, as well.

    The checkpoint is written last: where it is, nothing is missing.

    Args:
        light: from `lighten`.
        previous: where the generator of the phase before belongs.
    """
    state = read_state(light)
    with _open(light) as file:
        if PREVIOUS in file:
            write_whole(previous, file[PREVIOUS][()].tobytes())
    write_whole(folder / f"checkpoint-{int(state['images_seen']):010d}.h5", light.read_bytes())


def restore_average(path: Path, generator: keras.Model) -> None:
    """Set the weights of a generator to the moving average in a checkpoint of a model with one like it.

    Raises:
        CheckpointError: the file is damaged, or holds another network's variables.
    """
    frozen = {id(weight) for weight in frozen_weights(generator)}
    averaged = [weight for weight in generator.weights if id(weight) not in frozen]
    with _open(path) as file:
        _assign(generator.weights, file["generator"], path, "generator")
        _assign(averaged, file["ema_generator"], path, "ema_generator")


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
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DamagedCheckpointError(f"{path}: {variable.path} is NaN or infinite")
        variable.assign(value)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    """Open a checkpoint, checksums verified; any error while it is read is a `DamagedCheckpointError`.

    It is opened as a plain file: HDF5 would lock it, which many network file systems cannot do.
    """
    try:
        if not _is_intact(path.read_bytes()):
            raise DamagedCheckpointError(f"{path}: is damaged (wrong checksum)")
        with open(path, "rb") as plain, h5py.File(plain, "r") as file:
            if CHECKSUM in file.attrs and file.attrs[CHECKSUM] != _checksum(file):
                raise DamagedCheckpointError(f"{path}: is damaged (wrong checksum)")
            yield file
    except CheckpointError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, and perhaps over another file
        raise DamagedCheckpointError(f"{path}: is damaged, or no checkpoint") from error


def _compact_file(content: io.BytesIO) -> h5py.File:
    """A new HDF5 file with the small headers of version 1.10, whose bytes depend on its data alone."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, content)
    return h5py.File(h5py.h5f.create(b"light", h5py.h5f.ACC_TRUNC, _untimed(h5py.h5p.FILE_CREATE), access))


def _untimed(kind: h5py.h5p.PropClassID) -> h5py.h5p.PropOCID:
    """Properties of a file or group that does not record when it was made."""
    properties = h5py.h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def _sealed(content: bytes) -> bytes:
    """The bytes of a file with their digest behind them, which HDF5 does not look at."""
    return content + SEAL + hashlib.sha256(content).hexdigest().encode()


def _is_intact(file: bytes) -> bool:
    """Whether a sealed file has the bytes that were written; HDF5 may read a damaged one without end."""
    content, found, digest = file.rpartition(SEAL)
    return not found or len(digest) != 64 or hashlib.sha256(content).hexdigest().encode() == digest


def _checksum(file: h5py.File) -> str:
    """SHA-256 of the state and of every array, its name, type and shape; all must lie in the file itself."""
    digest = hashlib.sha256(str(file.attrs["state"]).encode())
    for name, array in stored_arrays(file):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array[()]).tobytes())
    return digest.hexdigest()
