"""How fast batches come, at every level, and what memory that takes for a small and a large dataset.

    python benchmarks/reader.py [--seconds 3] [--level 64x32] [--run runs/demo]

Datasets of noise are written to a temporary folder first. Files are warm. With the directory of a training, each level
is compared with the images per second that its phase took. The last line is the ratio that must not grow: resident
memory while 20,000 images are read from a dataset of 20,000, over the same from one of 1,000.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly

BATCH = {8: 64, 16: 64, 32: 64, 64: 32, 128: 16, 256: 16, 512: 8}  # by height
SMALL, LARGE = 1_000, 20_000


def write_noise(folder: Path, count: int, levels: list[tuple[int, int]]) -> None:
    """A dataset of `count` noise images in half ellipses."""
    import numpy as np

    from preprocessing.shards import DatasetWriter
    from preprocessing.shards.format import array_name

    rng = np.random.default_rng(0)
    fields = {"subject": "0" * 16, "laterality": "L", "view": "CC"}
    noise, breast = {}, {}
    for level in levels:
        y, x = np.mgrid[: level[0], : level[1]] / level[0]
        noise[level] = rng.integers(0, 65536, (64, *level), np.uint16)
        breast[level] = np.uint8(((y - 0.5) / 0.45) ** 2 + (x / 0.35) ** 2 < 1)
    writer = DatasetWriter(folder, "mammogram", count=count, made={"by": "benchmark"}, levels=levels)
    for shard, numbers in writer.missing():
        items = []
        for number in numbers:
            images = {array_name("image", level): noise[level][number % 64] for level in levels}
            masks = {array_name("mask", level): breast[level] for level in levels}
            items.append({**images, **masks, **fields})
        writer.write(shard, items)
    writer.finish()


def images_per_second(folder: str, level: tuple[int, int], seconds: float) -> tuple[float, float]:
    """Images a second of wall clock, and a second of processor time over all cores."""
    batch = BATCH[level[0]]
    batches = _batches(folder, level, batch)
    next(batches)
    images, start, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < start + seconds:
        next(batches)
        images += batch
    return images / (time.perf_counter() - start), images / (time.process_time() - processor)


def resident_bytes(folder: str, level: tuple[int, int]) -> int:
    """Memory resident after `LARGE` images were read."""
    batch = BATCH[level[0]]
    batches = _batches(folder, level, batch)
    for _ in range(LARGE // batch):
        next(batches)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def trained_per_second(run: Path) -> dict[int, float]:
    """Images a second of each phase of a run: the median of its ticks."""
    ticks = defaultdict(list)
    for line in (run / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        ticks[record["phase"]].append(record["images_per_second"])
    return {phase: statistics.median(rates) for phase, rates in ticks.items()}


def _batches(folder: str, level: tuple[int, int], batch: int):
    import tensorflow as tf

    from preprocessing.batches import mammogram_batches
    from preprocessing.shards import open_dataset

    tf.config.experimental.enable_op_determinism()  # as in training
    return iter(mammogram_batches(open_dataset(folder), "train", *level, batch, seed=0))


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Measured for each level.")
@click.option("--level", default="64x32", show_default=True, help="Level at which memory is measured.")
@click.option("--run", type=click.Path(path_type=Path, exists=True), help="Of train_mask_embed.py, to compare with.")
def main(seconds: float, level: str, run: Path | None) -> None:
    """Measure the reader."""
    from preprocessing.shards import LEVELS

    import_tensorflow_quietly()
    height, width = (int(size) for size in level.split("x"))
    trained = trained_per_second(run) if run else {}
    fresh = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    with fresh as pool, tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("all", "small", "large")]
        write_noise(places[0], 256, LEVELS)
        for size in LEVELS:
            wall, processor = pool.apply(images_per_second, (str(places[0]), size, seconds))
            rate = trained.get(size[0].bit_length() - 3)
            compared = f"; training took {rate:,.4g}: {wall / rate:.0f} times" if rate else ""
            click.echo(
                f"{size[0]:>3}x{size[1]:<3} batch {BATCH[size[0]]:>2}: {wall:>9,.0f} images/s, "
                f"{processor:>9,.0f} a second of processor time{compared}"
            )
        sizes = []
        for place, count in zip(places[1:], (SMALL, LARGE)):
            write_noise(place, count, [(height, width)])
            sizes.append(pool.apply(resident_bytes, (str(place), (height, width))))
            click.echo(f"{level}, dataset of {count:,}: {sizes[-1] / 2**20:,.0f} MiB resident")
        click.echo(f"resident memory, {LARGE:,} over {SMALL:,} images: {sizes[1] / sizes[0]:.3f}")


if __name__ == "__main__":
    main()
