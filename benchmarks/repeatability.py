"""Repeatability: fresh processes with one seed must end in the same bytes, killed in between or not.

    python benchmarks/repeatability.py --processes 20 --kill 1

Trains each system for 20 steps of its `quick` preset in `--processes` fresh processes and compares SHA-256 digests of
every variable of their last checkpoints. `--kill` more are killed with SIGKILL when half of the steps are in a
checkpoint and the next are under way, then started again. Environment variables for threads and oneDNN are passed on:
`TF_NUM_INTRAOP_THREADS=1`, `TF_ENABLE_ONEDNN_OPTS=0`.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from machine import cpu_name

STEPS, TICKS = 20, 4
IMAGES = 64  # phantoms of each kind
SYSTEMS = {  # name: (kind of data, phase or None)
    "mask-embed-2": ("mammogram", 2),
    "mask-embed-2-r1": ("mammogram", 2),  # with the R1 penalty
    "mask-embed-6": ("mammogram", 6),  # on windows
    "pix2pix": ("mammogram", None),
    "feature2mass": ("mass", None),
}
PIX2PIX_HEIGHT = 128


# ------------------------------------------------------------------------ in a process of its own


def train_mask_embedding_gan(dataset, folder: Path, precision: str, last_phase: int, r1_weight: float) -> None:
    from dataclasses import replace

    from mask_embedding_gan.presets import PRESETS
    from mask_embedding_gan.train import last_phase_with_these_threads, train
    from training.run import RunDirectory, choose_strategy, run_config

    preset = PRESETS["quick"]
    phases = tuple(
        replace(
            schedule,
            fade_in_images=STEPS // 2 * schedule.batch if schedule.phase > 1 else 0,
            stable_images=(STEPS // 2 if schedule.phase > 1 else STEPS) * schedule.batch,
            ticks=TICKS,
            steps_per_execution=STEPS // TICKS,
            r1_weight=r1_weight,
        )
        for schedule in preset.phases
    )
    preset = replace(preset, phases=phases, precision=precision)
    run = RunDirectory(folder, run_config(preset, dataset, 0))
    train(dataset, run, preset, last_phase_with_these_threads(run, preset, last_phase, choose_strategy()))


def train_pix2pix(dataset, folder: Path, precision: str) -> None:
    from dataclasses import replace

    from pix2pix.presets import PRESETS
    from pix2pix.train import train
    from training.run import RunDirectory, run_config

    preset = PRESETS["quick"].changed(height=PIX2PIX_HEIGHT, precision=precision)
    preset = replace(preset, images=STEPS * preset.batch, ticks=TICKS, steps_per_execution=STEPS // TICKS)
    train(dataset, RunDirectory(folder, run_config(preset, dataset, 0)), preset)


def train_feature2mass(dataset, folder: Path, precision: str) -> None:
    from dataclasses import replace

    from feature2mass.presets import PRESETS
    from feature2mass.train import train
    from preprocessing.batches import labelled_masses
    from training.run import RunDirectory, run_config

    preset = PRESETS["quick"].changed(precision=precision)
    epochs = STEPS * preset.batch / len(labelled_masses(dataset, "train")[0])
    preset = replace(preset, epochs=epochs, ticks=TICKS, steps_per_execution=STEPS // TICKS)
    train(dataset, RunDirectory(folder, run_config(preset, dataset, 0)), preset)


def train_here(system: str, data: Path, folder: Path, precision: str, phase: int | None) -> None:
    """Train one system in this process, as its command does."""
    from training.command_line import training_command

    with training_command():
        from preprocessing.shards import open_dataset

        dataset = open_dataset(data)
        if phase is not None:
            train_mask_embedding_gan(dataset, folder, precision, phase, 0.1 if system.endswith("r1") else 0.0)
        elif system == "pix2pix":
            train_pix2pix(dataset, folder, precision)
        else:
            train_feature2mass(dataset, folder, precision)


# ------------------------------------------------------------------------------- fresh processes


def start(system: str, data: Path, folder: Path, precision: str, phase: int | None) -> subprocess.Popen:
    arguments = ["--train", system, "--data", data, "--run", folder, "--precision", precision]
    arguments += [] if phase is None else ["--phase", phase]
    command = [sys.executable, __file__, *map(str, arguments)]
    log = open(folder.with_suffix(".txt"), "w")
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, folder: Path) -> None:
    if status := process.wait():
        said = folder.with_suffix(".txt").read_text()[-2000:]
        raise click.ClickException(f"{folder.name}: a training ended with status {status}:\n{said}")


def kill_half_way(process: subprocess.Popen, checkpoints: Path) -> bool:
    """Kill a training in the steps after its second checkpoint of four; False if it ended before."""
    while process.poll() is None:
        if len(list(checkpoints.glob("checkpoint-*.h5"))) >= TICKS // 2:
            process.kill()
            process.wait()
            return True
        time.sleep(0.001)
    return False


def digest(checkpoints: Path) -> str:
    """Of every variable of the newest checkpoint, in the file's order."""
    import h5py
    import numpy as np

    total = hashlib.sha256()
    with h5py.File(max(checkpoints.glob("checkpoint-*.h5"))) as file:
        for player in sorted(file):
            for name in sorted(file[player]):
                total.update(f"{player}/{name}".encode() + np.ascontiguousarray(file[player][name]).tobytes())
    return total.hexdigest()


def prepared(system: str, data: Path, scratch: Path, precision: str, phase: int | None) -> Path:
    """A run directory in which the phases before the one to be compared are complete; absent where there are none."""
    folder = scratch / f"{system}-before"
    if phase is not None and phase > 1:
        while not (folder / f"phase-{phase - 1}" / "generator.keras").exists():  # a process per number of threads
            finish(start(system, data, folder, precision, phase - 1), folder)
    return folder


def digest_of_process(system: str, data: Path, folder: Path, precision: str, before: Path, kill: bool) -> str:
    """Return the digest of a run in a fresh process, which continues from `before` if that exists; a kill takes two."""
    phase = SYSTEMS[system][1]
    if before.exists():
        shutil.copytree(before, folder)
    checkpoints = folder if phase is None else folder / f"phase-{phase}"
    process = start(system, data, folder, precision, phase)
    if kill:
        if not kill_half_way(process, checkpoints):
            raise click.ClickException(f"{system}: had ended before it was killed")
        process = start(system, data, folder, precision, phase)
    finish(process, folder)
    found = digest(checkpoints)
    shutil.rmtree(folder)
    click.echo(f"{folder.name}: {found}{', killed and resumed' if kill else ''}")
    return found


def measure(system: str, scratch: Path, precision: str, processes: int, kills: int, at_once: int) -> list[str]:
    """Digests of `processes` that run through, and of `kills` that are killed and resumed."""
    data = scratch / SYSTEMS[system][0]
    before = prepared(system, data, scratch, precision, SYSTEMS[system][1])

    def run(number: int) -> str:
        folder = scratch / f"{system}-{number + 1}"
        return digest_of_process(system, data, folder, precision, before, kill=number >= processes)

    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(run, range(processes + kills)))


@click.command(help=__doc__.split("\n")[0])
@click.option("--systems", default=",".join(SYSTEMS), show_default=True)
@click.option("--processes", type=click.IntRange(1), default=20, show_default=True, help="Of each system.")
@click.option("--kill", "kills", type=click.IntRange(0), default=1, show_default=True, help="More that are killed.")
@click.option("--at-once", type=click.IntRange(1), default=1, show_default=True, help="Processes at the same time.")
@click.option("--precision", default="float32", show_default=True)
@click.option("--train", "system", type=click.Choice(list(SYSTEMS)), hidden=True)
@click.option("--data", type=click.Path(path_type=Path), hidden=True)
@click.option("--run", "folder", type=click.Path(path_type=Path), hidden=True)
@click.option("--phase", type=int, hidden=True)
def main(systems, processes, kills, at_once, precision, system, data, folder, phase) -> None:
    if system:
        train_here(system, data, folder, precision, phase)
        return
    from preprocessing.phantoms.mammogram import make_phantoms
    from preprocessing.phantoms.mass import make_mass_phantoms

    chosen, single = systems.split(","), 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for kind, make in {"mammogram": make_phantoms, "mass": make_mass_phantoms}.items():
            if any(SYSTEMS[name][0] == kind for name in chosen):
                make(scratch / kind, IMAGES)
        for name in chosen:
            digests = measure(name, scratch, precision, processes, kills, at_once)
            counts = sorted(Counter(digests).values(), reverse=True)
            single += len(counts) == 1
            click.echo(f"{name}: {len(digests)} processes, {len(counts)} distinct digests {counts}")
    click.echo(f"{cpu_name()}, {precision}")
    click.echo(f"systems with a single digest / systems: {single / len(chosen):.2f}")


if __name__ == "__main__":
    main()
