"""What writing mammograms costs next to computing them, and the memory it takes for few and for many.

    python benchmarks/generating.py [--images 200] [--rounds 5]
    python benchmarks/generating.py --memory

The generator is that of the last phase of `quick`, 512x256, with the weights it starts from. Bare is one call of
`model.predict` on inputs that lie in memory, with the batch size that is best on this machine. Ours are whole calls of
the functions behind `generate_mammograms.py`, from the file of the generator to the files of the images; the same call
for 8 images is timed too, so that starting (loading the network, compiling it) and the cost per image are known apart,
and with them the time for 10,000 images. All take turns in one process, and the fastest of the rounds counts, for bare
and for ours. Processor time, over all cores, hardly depends on what else the machine does. The last line is the ratio
of the default: h5 files, phantoms' masks.

With `--memory`, the peak of resident memory of processes that write 100 and 5,000 images; the last line is the ratio.
"""

import multiprocessing
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from machine import cpu_name

from preprocessing.tensorflow_settings import import_tensorflow_quietly

HEIGHT, WIDTH = 512, 256
MASKS = 64  # different ones, for bare and in the dataset
START = 8  # images
WANTED = 10_000
FEW, MANY = 100, 5_000
FORMATS = ("h5", "png", "dicom")


def write_generator(file: Path) -> None:
    """The generator of the last phase of `quick`, untrained."""
    from mask_embedding_gan.generator import finished_generator
    from mask_embedding_gan.players import build_players
    from mask_embedding_gan.presets import PRESETS
    from training.export import save_model

    preset = PRESETS["quick"]
    save_model(finished_generator(build_players(preset.network, 7, seed=0).generator, preset.network, 7), file)


def timed(function, *arguments, **options) -> np.ndarray:
    """Seconds of a call: of the clock, and of the processors over all cores."""
    start = np.array([time.perf_counter(), time.process_time()])
    function(*arguments, **options)
    return np.array([time.perf_counter(), time.process_time()]) - start


def prepared_inputs(model, count: int) -> list[np.ndarray]:
    """Return masks of phantoms, in turns, and latents."""
    from generation.generate import mask_source, system_of

    source = mask_source(model, None)
    masks = np.array([source[number].mask for number in range(MASKS)], np.float32)[..., None]
    return [masks[np.arange(count) % MASKS], system_of(model)(model, source).random(0, count)]


def best_batch(model, inputs: list[np.ndarray]) -> int:
    """The batch size at which `model.predict` makes most images per second."""
    rates = {}
    some = [array[:32] for array in inputs]
    for batch in (1, 2, 4, 8, 16, 32):
        seconds = [timed(model.predict, some, batch_size=batch, verbose=0)[0] for _ in range(3)]  # the first compiles
        rates[batch] = len(some[0]) / min(seconds)
    click.echo("predict: " + ", ".join(f"batch {batch}: {rate:.1f}" for batch, rate in rates.items()) + " images/s")
    return max(rates, key=rates.get)


def measure_speed(folder: Path, images: int, rounds: int) -> None:
    """Print milliseconds per image of each way, and ratios."""
    from generation.generate import load_generator, write_mammograms
    from preprocessing.phantoms.mammogram import make_phantoms

    make_phantoms(folder / "masks", MASKS, validation_fraction=0)
    model = load_generator(folder / "generator.keras")
    inputs = prepared_inputs(model, images)
    batch = best_batch(model, inputs)
    ways = {
        "dicom, phantoms' masks": ("dicom", None),
        "png, phantoms' masks": ("png", None),
        "h5, masks of a dataset": ("h5", folder / "masks"),
        "h5, phantoms' masks": ("h5", None),
    }
    seconds = defaultdict(list)
    for _ in range(rounds):
        seconds["bare"].append(timed(model.predict, inputs, batch_size=batch, verbose=0))
        for way, (name, masks) in ways.items():
            for count in (START, images):
                given = folder / "generator.keras", folder / "output", count
                seconds[way, count].append(timed(write_mammograms, *given, masks=masks, file_format=name))
                shutil.rmtree(folder / "output")
    bare = np.min(seconds["bare"], axis=0) / images
    click.echo(f"bare model.predict, batch {batch}: {_milliseconds(bare)} per image")
    for way in ways:
        start, whole = (np.min(seconds[way, count], axis=0) for count in (START, images))
        each = (whole - start) / (images - START)
        ratio = WANTED * bare / (start + (WANTED - START) * each)
        click.echo(
            f"{way}: {start[0]:.1f} s to start, {_milliseconds(each)} per image; for {WANTED:,} images with the start, "
            f"bare over ours: {ratio[1]:.3f} of processor time, {ratio[0]:.3f} of time"
        )


def _milliseconds(seconds: np.ndarray) -> str:
    return f"{1000 * seconds[0]:.2f} ms ({1000 * seconds[1]:.2f} of processor time)"


def peak_bytes(file_format: str, folder: str, count: int) -> int:
    """Peak of resident memory of this process after it has written `count` images."""
    import_tensorflow_quietly()
    from generation.generate import write_mammograms

    output = Path(folder, f"{file_format}-{count}")
    write_mammograms(Path(folder, "generator.keras"), output, count, file_format=file_format)
    shutil.rmtree(output)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_memory(folder: Path, formats: list[str]) -> None:
    """Print peaks of few and of many images, and ratios."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        for name in formats:
            few, many = (fresh.apply(peak_bytes, (name, str(folder), count)) for count in (FEW, MANY))
            click.echo(f"{name}: peak {few / 2**20:,.0f} MiB at {FEW}, {many / 2**20:,.0f} MiB at {MANY:,} images")
            click.echo(f"{name}: peak memory at {MANY:,} over {FEW} images: {many / few:.3f}")


@click.command()
@click.option("--images", default=200, show_default=True, help="Timed, per way and round.")
@click.option("--rounds", default=5, show_default=True, help="In each, every way once; the fastest counts.")
@click.option("--memory", is_flag=True, help="Measure peak memory instead.")
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, help="Of --memory. Default: all.")
def main(images: int, rounds: int, memory: bool, formats: tuple[str, ...]) -> None:
    """Measure generation."""
    import_tensorflow_quietly()
    from preprocessing.shards.workers import usable_cores

    click.echo(f"{usable_cores()} cores of {cpu_name()}")
    with tempfile.TemporaryDirectory() as folder:
        write_generator(Path(folder, "generator.keras"))
        if memory:
            measure_memory(Path(folder), formats or FORMATS[::-1])
        else:
            measure_speed(Path(folder), images, rounds)


if __name__ == "__main__":
    main()
