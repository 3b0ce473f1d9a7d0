"""Exact resume: a run that is killed in each phase must end in the same bytes as one that never was.

    python benchmarks/resume.py --data data/phantoms

Trains the first phases of a run twice with the command line that a user types. The second is killed with SIGKILL while
a checkpoint is being written, and in each phase after a checkpoint, and started again after each.
"""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

SCRIPT = Path(__file__).parents[1] / "train_scripts" / "train_mask_embed.py"


def start(data: Path, run: Path, phases: int, preset: str, length: float) -> subprocess.Popen:
    plan = ["--phase", phases, "--preset", preset, "--length", length]
    command = [sys.executable, SCRIPT, "--data", data, "--run", run, *plan]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen, moment: Callable[[], bool]) -> bool:
    """Kill the process at the first moment that is true; False if it ended before."""
    while process.poll() is None:
        if moment():
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.0005)  # a checkpoint takes some milliseconds to write
    return False


def new_checkpoint(run: Path, phase: int) -> Callable[[], bool]:
    """Make a function that tells whether a phase has got a checkpoint since the first call, and is not yet complete."""
    folder, there = run / f"phase-{phase}", []

    def told() -> bool:
        found = set(folder.glob("checkpoint-*.h5"))
        there.append(found)
        return not found <= there[0] and not (folder / "generator.keras").exists()

    return told


def digest(run: Path, phase: int) -> str:
    return hashlib.sha256((run / f"phase-{phase}" / "generator.keras").read_bytes()).hexdigest()


@click.command(help=__doc__.split("\n")[0])
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--phases", default=7, show_default=True)
@click.option("--preset", default="quick", show_default=True)
@click.option("--length", default=1.0, show_default=True, help="Of the preset.")
def main(data: Path, phases: int, preset: str, length: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        assert start(data, whole, phases, preset, length).wait() == 0, "the uninterrupted run failed"

        moments = {
            "while a checkpoint is written": lambda: any(broken.glob("phase-*/.checkpoint-*.part*")),
            **{f"in phase {n}": new_checkpoint(broken, n) for n in range(1, phases + 1)},
        }
        for name, moment in moments.items():
            killed = kill_when(start(data, broken, phases, preset, length), moment)
            click.echo(f"killed {name}: {'yes' if killed else 'no, it had gone further'}")
        assert start(data, broken, phases, preset, length).wait() == 0, "the last restart failed"
        equal = [digest(whole, phase) == digest(broken, phase) for phase in range(1, phases + 1)]
    for phase, same in enumerate(equal, start=1):
        click.echo(f"phase {phase}: generator.keras {'bit-identical' if same else 'DIFFERS'}")
    click.echo(f"bit-identical phases / phases: {sum(equal) / phases:.2f}")


if __name__ == "__main__":
    main()
