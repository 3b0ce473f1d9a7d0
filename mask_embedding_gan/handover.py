"""A run that begins with the networks of another, which a small file carries from one to the next."""

import json
from pathlib import Path

from mask_embedding_gan.schedule import Preset
from preprocessing.atomic import write_whole
from preprocessing.json_file import read_json
from training.checkpoint import checkpoints, lighten, read_state, unpack
from training.run import RunDirectory, RunError, Stage

BEGUN = "begun.json"


def stage(run: RunDirectory, phase: int) -> Stage:
    """Return the part of a run that trains a phase."""
    return run.stage(f"phase-{phase}")


def first_phase(run: RunDirectory) -> int:
    """Return the phase that the run began with: 1, or that of the light checkpoint that it was given."""
    file = run.path / BEGUN
    if not file.exists():
        return 1
    try:
        return int(read_json(file)["phase"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is damaged; restore it, or choose another --run") from error


def begin_with(run: RunDirectory, preset: Preset, networks: Path) -> None:
    """Begin a run with the networks of a light checkpoint; one that has begun is left alone.

    Args:
        networks: a file from `save_networks`.

    Raises:
        RunError: the file is not a checkpoint of a phase, or one that has seen more images than the phase takes here.
        CheckpointError: the file is damaged.
    """
    state = read_state(networks)
    phase = state.get("phase")
    if phase is None:
        raise RunError(f"--networks {networks}: is not a checkpoint of a mask-embedding GAN")
    images = preset.schedule(phase).duration.total_images
    if state["images_seen"] > images:
        raise RunError(
            f"--networks {networks}: has seen {state['images_seen']} images of phase {phase}, which takes "
            f"{images} here; use the --preset and --length that it was trained with"
        )
    if any(checkpoints(folder) for folder in run.path.glob("phase-*")):
        return
    # before the checkpoint: a kill in between must not leave a run that begins with phase 1
    write_whole(run.path / BEGUN, json.dumps({"phase": phase}) + "\n")
    unpack(networks, stage(run, phase).folder, stage(run, phase - 1).generator)


def save_networks(run: Path, output: Path) -> dict:
    """Write the newest checkpoint of a run as a light one.

    Returns:
        The checkpoint's state: "phase" and "images_seen".

    Raises:
        RunError: the folder holds no checkpoint, or lacks the generator that the checkpoint builds on.
    """
    found = sorted(run.glob("phase-*/checkpoint-*.h5"))
    if not found:
        raise RunError(f"--run {run}: holds no checkpoint of a phase")
    state = read_state(found[-1])
    try:
        phase, settings = int(state["phase"]), read_json(run / "config.json")
        windows_from = int(settings["preset"]["network"].get("windows_from", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{run / 'config.json'}: is missing or damaged; restore it") from error
    builds_on = run / f"phase-{phase - 1}" / "generator.keras" if 0 < windows_from <= phase else None
    if builds_on and not builds_on.exists():
        raise RunError(f"{builds_on}: is missing, and phase {phase} builds on it; restore it")
    lighten(found[-1], output, builds_on)
    return state
