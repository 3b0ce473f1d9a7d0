"""Time of every metric, and whether memory depends on how many images are evaluated.

    python benchmarks/evaluation_cost.py --data data/phantoms/2000 [--count 10000]

Half of the images stand for real ones, half for generated ones; those of the dataset are taken again and again, four to
a subject. The last line is the ratio that must not grow: memory of an evaluation of all over that of a tenth of them.
"""

import multiprocessing
import resource
from pathlib import Path

import click


def evaluated(data: str, count: int) -> tuple[float, dict[str, float]]:
    """Evaluate `count` images: (peak of resident memory in MiB, seconds of each metric per 1,000 images)."""
    import numpy as np

    from evaluation.evaluate import evaluate
    from evaluation.image_set import Samples
    from evaluation.metrics.catalogue import catalogue, suitable
    from preprocessing.shards import open_dataset

    pool = Samples.of_dataset(open_dataset(data))
    numbers = np.arange(count // 2)
    sets = pool.subset(numbers % len(pool), "real"), pool.subset((numbers * 3 + 1) % len(pool), "generated")
    for samples in sets:
        samples.subjects = numbers // 4
    left_out = (
        "variation_per_mask",
        "detail_correlation_per_mask",
        "memorisation_texture",
    )  # need several images of one mask, other sets
    wanted = [name for name in suitable(catalogue(), *sets) if name not in left_out]
    found = evaluate(*sets, wanted)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return peak, {name: 1000 * seconds / count for name, seconds in found.seconds.items()}


@click.command(help=__doc__.split("\n")[0])
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Dataset of mammograms.")
@click.option("--count", type=click.IntRange(1000), default=10_000, show_default=True, help="Images in all.")
def main(data: Path, count: int) -> None:
    """Measure evaluations of different numbers of images, each in a process of its own."""
    peaks = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        for images in (count // 10, count):
            peak, seconds = fresh.apply(evaluated, (str(data), images))
            peaks.append(peak)
            click.echo(f"{images:,} images: {peak:,.0f} MiB, {sum(seconds.values()):.0f} s per 1,000 images")
            for name, spent in sorted(seconds.items(), key=lambda one: -one[1]):
                click.echo(f"  {name:<26}{spent:>8.2f} s per 1,000 images")
    click.echo(f"memory, {count:,} over {count // 10:,} images: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
