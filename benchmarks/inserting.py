"""Thousands of lesions: images per second, memory over time, and a run that is killed twice.

    python benchmarks/inserting.py --mammograms films --count 5000 --work runs/inserting

Inserts the lesions of a dataset of mammograms into each other's films, as COCO, once undisturbed and once killed
(SIGKILL) after a third and two thirds of the images. Prints resident memory at tenths of the first run, and the ratio
of equal files of the two.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]


def started(mammograms: Path, count: int, output: Path) -> subprocess.Popen:
    words = [
        "--mammograms",
        mammograms,
        "--masses",
        mammograms,
        "--format",
        "coco",
        "--count",
        count,
        "--output",
        output,
    ]
    command = [sys.executable, ROOT / "train_scripts" / "insert_lesions.py", *words]
    return subprocess.Popen([str(word) for word in command], env={**os.environ, "PYTHONPATH": str(ROOT)})


def images(output: Path) -> int:
    return len(list((output / "images").glob("*.png"))) if output.exists() else 0


def undisturbed(mammograms: Path, count: int, output: Path) -> tuple[list[tuple[int, float]], float]:
    """Resident MB by images made, and processor seconds."""
    before, process, memory = resource.getrusage(resource.RUSAGE_CHILDREN), started(mammograms, count, output), []
    while process.poll() is None:
        made = images(output)
        if made >= (len(memory) + 1) * count / 10:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            memory.append((made, pages * resource.getpagesize() / 1e6))
        time.sleep(0.2)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return memory, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def killed(mammograms: Path, count: int, output: Path) -> None:
    for share in (1 / 3, 2 / 3, None):
        process = started(mammograms, count, output)
        while share and process.poll() is None and images(output) < share * count:
            time.sleep(0.05)
        if share:
            process.send_signal(signal.SIGKILL)
            click.echo(f"killed with {images(output)} images")
        process.wait()


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--count", type=click.IntRange(10), default=5000, help="Images to make.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for results.")
def main(mammograms: Path, count: int, work: Path) -> None:
    whole, broken = work / "whole", work / "broken"
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    memory, seconds = undisturbed(mammograms, count, whole)
    click.echo("MB: " + ", ".join(f"{size:.0f} at {made}" for made, size in memory))
    click.echo(
        f"{count} images in {seconds:.0f} processor seconds: {count / seconds:.1f} images per second of one core"
    )
    killed(mammograms, count, broken)
    one, other = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (whole, broken)
    )
    same = sum(one.get(name) == other.get(name) for name in one | other)
    click.echo(f"equal files of the killed run / all: {same / len(one | other):.4f} of {len(one | other)}")


if __name__ == "__main__":
    main()
