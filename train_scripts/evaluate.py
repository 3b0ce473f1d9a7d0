"""Measure generated images next to real ones: table, report.json, report.html, for one method or several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from evaluation.command_line import level_option
from preprocessing.command_line import FOLDER_THERE, PATH, Command


@click.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--real",
    type=FOLDER_THERE,
    required=True,
    help="Dataset of real images, the one that the generator was trained on.",
)
@click.option(
    "--fake",
    "fakes",
    metavar="[NAME=]DIR",
    multiple=True,
    required=True,
    help="Dataset of generated images. Repeatable, to compare methods. Datasets with the same NAME are runs of one "
    "method, which is called best only if all of its runs are.",
)
@click.option("--output", type=PATH, required=True, help="Folder of the report.")
@click.option(
    "--metrics",
    metavar="A,B,C",
    show_default="all that apply, except realism_auc_cnn",
    help="Metrics to measure, separated by commas: "
    "swd_7x7, msssim_pairs, variation_per_mask, detail_correlation_pairs, detail_correlation_per_mask, "
    "mask_iou_film, leakage, beta_64px, fine_energy_64px, "
    "histogram_w1_64bins, fid_radiomic_z, kid_radiomic_z, precision_k3_radiomic_z, recall_k3_radiomic_z, "
    "density_k3_radiomic_z, coverage_k3_radiomic_z (named by the extractor), memorisation_texture, realism_auc_cnn; "
    "for masses labels_read_cnn, labels_learned_cnn.",
)
@click.option(
    "--extractor",
    metavar="FILE|NAME",
    show_default="radiomic features, no network",
    help="Features for FID, KID, precision and recall: a .keras model of your own, or a network of Keras Applications "
    "such as MobileNetV2 (its weights are downloaded).",
)
@level_option
@click.option(
    "--split",
    type=click.Choice(["all", "train", "validation"]),
    default="all",
    help="Split of the real images to compare with; the memorisation audit always uses both.",
)
@click.option("--count", type=click.IntRange(2), show_default="all", help="Use at most this many images of each set.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed of halves, pairs, patches and bootstrap.")
def main(
    real: Path,
    fakes: tuple[str, ...],
    output: Path,
    metrics: str | None,
    extractor: str | None,
    level: tuple[int, int] | None,
    split: str,
    count: int | None,
    seed: int,
) -> None:
    """Compare generated images with real ones, in a report.

    Every metric has a 95 % interval and stands next to its value for real images (for distances, of one half of the
    real images against the other). Where there are too few images for any of them, there is no report, and the exit
    status is 1.

    \b
    Example: two methods at 256×128
      synthmammo evaluate --real data/mine --fake ours=data/ours --fake pix2pix=data/pix2pix \\
          --level 256x128 --output report
    """
    from evaluation import report
    from evaluation.evaluate import check_measured, evaluate
    from evaluation.metrics.features import keras_extractor, radiomic
    from preprocessing.shards import open_dataset

    runs = _runs(fakes)
    dataset = open_dataset(real)
    measured = _some(dataset, level, None if split == "all" else split, count, f"--real {real}", seed)
    name = Path(extractor).stem if extractor else "radiomic"
    extract = keras_extractor(extractor) if extractor else radiomic
    wanted = _wanted(metrics, extract, name)
    reports: dict[str, report.Report] = {}
    shared: dict[str, Any] = {}
    for run, (method, folder) in runs.items():
        generated = open_dataset(folder, kind=dataset.kind)
        for line in _remarks(dataset, generated):
            click.echo(line, err=True)
        fake = _some(generated, level, None, count, f"--fake {folder}", seed)
        evaluation = evaluate(measured, fake, wanted, extractor=extract, extractor_name=name, shared=shared, seed=seed)
        reports[run] = report.Report(evaluation, method)
    check_measured({run: one.evaluation for run, one in reports.items()})
    report.write(reports, output, {"seed": seed, "split": split, "command": "evaluate"})
    click.echo(report.table(reports))
    click.echo(f"\n{output}: report.html, report.json, table.txt")


def _wanted(metrics: str | None, extract, name: str) -> list[str] | None:
    """Names of the metrics that were asked for; one line for each former name among them."""
    from evaluation.metrics.catalogue import catalogue, present_names

    if not metrics:
        return None
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise click.UsageError(f"--metrics {metrics}: names no metric; give some, or leave the option out")
    wanted, replaced = present_names(names, catalogue(extract, name))
    for former, present in replaced.items():
        click.echo(f"--metrics {former}: is now called {', '.join(present)}", err=True)
    return wanted


def _remarks(real, fake) -> Iterator[str]:
    """Say what hints at exchanged datasets."""
    if real.fingerprint == fake.fingerprint:
        yield f"warning: --fake {fake.folder}: holds the same images as --real {real.folder}"
    elif str(real.meta["made"].get("by")).startswith("generate_"):
        yield f"warning: --real {real.folder}: holds generated images; are --real and --fake exchanged?"
    elif str(fake.meta["made"].get("by")).startswith("prepare_") and not fake.meta["synthetic"]:
        yield f"warning: --fake {fake.folder}: holds real images, not generated ones"


def _runs(fakes: tuple[str, ...]) -> dict[str, tuple[str, Path]]:
    """Name of a run → (method, folder); a folder without a name has its own, several of one name are numbered."""
    methods: dict[str, list[Path]] = {}
    for fake in fakes:
        name, equals, folder = fake.partition("=")
        path = Path(folder if equals else fake)
        name = name if equals else path.name
        if not name or name == "real" or (name in methods and not equals):
            raise click.UsageError(f"--fake {fake}: the name {name!r} is taken; give another as NAME={path}")
        if path in methods.setdefault(name, []):
            raise click.UsageError(f"--fake {fake}: is given twice; a method's runs are different folders")
        methods[name].append(path)
    runs = {}
    for name, paths in methods.items():
        for number, path in enumerate(paths, 1):
            run = name if len(paths) == 1 else f"{name} {number}"
            if run in runs:
                raise click.UsageError(f"--fake {path}: the name {run!r} is taken; give another as NAME={path}")
            runs[run] = (name if len(paths) > 1 else "", path)
    return runs


def _some(dataset, level, split: str | None, count: int | None, name: str, seed: int):
    """The images of a dataset, or a random part of them."""
    import numpy as np

    from evaluation.image_set import Samples

    samples = Samples.of_dataset(dataset, level, split, name)
    if count is None or count >= len(samples):
        return samples
    return samples.subset(np.sort(np.random.default_rng(seed).permutation(len(samples))[:count]))


if __name__ == "__main__":
    main()
