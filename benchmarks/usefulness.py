"""What labelled masses of Feature2Mass add to a classifier of few or many real ones.

    python benchmarks/usefulness.py --data data/masses --work runs/usefulness --images 85000

For each size and seed, classifiers of shape and margin are trained on a subset of the real training masses (whole
patients), alone, with classical augmentation, with masses that a Feature2Mass trained on the same subset has made, and
with both; all are tested on the held-out patients. Writes `trials.csv`, `usefulness.png` and a table. A size and seed
that `trials.csv` holds is not run again, and an interrupted training continues, so that the study may be spread out.
"""

import csv
from dataclasses import replace
from pathlib import Path

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.command(help=__doc__.split("\n")[0])
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Dataset of real masses.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder of runs and results.")
@click.option("--images", type=click.IntRange(1), default=20_000, show_default=True, help="Each generator's training.")
@click.option("--sizes", default="100,300,800", show_default=True, help="Real masses to learn from.")
@click.option("--seeds", default="0,1,2", show_default=True, help="Of subset, generator and classifier.")
@click.option("--synthetic-per-real", type=float, default=2.0, show_default=True, help="Synthetic masses made.")
def main(data: Path, work: Path, images: int, sizes: str, seeds: str, synthetic_per_real: float) -> None:
    import_tensorflow_quietly()
    from usefulness_trials import gain, plot, study, table, write_csv

    from evaluation.image_set import EvaluationError
    from evaluation.mass_classifier import Masses
    from preprocessing.shards import DataError, open_dataset
    from training.run import configure_tensorflow

    configure_tensorflow()
    try:
        dataset = open_dataset(data, kind="mass")
        real, held_out = (Masses.of_dataset(dataset, split) for split in ("train", "validation"))
        sizes, seeds = ([int(number) for number in text.split(",")] for text in (sizes, seeds))
        work.mkdir(parents=True, exist_ok=True)
        trials = known_trials(work / "trials.csv")
        for seed in seeds:
            for size in sizes:
                if (size, seed) in {(trial.size, trial.seed) for trial in trials}:
                    continue

                def synthesise(masses, count: int, seed: int, folder: Path = work / f"{size}-{seed}") -> Masses:
                    return made_by_feature2mass(folder, masses, count, seed, images)

                settings = {"sizes": [size], "seeds": [seed], "synthetic_per_real": synthetic_per_real}
                trials += study(real, held_out, synthesise, echo=click.echo, **settings)
                write_csv(trials, work / "trials.csv")
    except (DataError, EvaluationError) as error:
        raise click.ClickException(str(error)) from error
    plot(trials, work / "usefulness.png")
    click.echo(f"{len(held_out)} held-out masses\n" + table(trials))
    largest = max(sizes)
    shape, margin = (gain(trials, "real + synthetic", largest, head)[0] for head in ("shape", "margin"))
    click.echo(f"gain in AUC by synthetic masses at {largest} real ones: shape {shape:+.3f}, margin {margin:+.3f}")


def known_trials(path: Path) -> list:
    from usefulness_trials import Trial

    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Trial(
            arm=row["arm"],
            size=int(row["real_masses"]),
            seed=int(row["seed"]),
            head=row["head"],
            accuracy=float(row["accuracy"]),
            auc=float(row["auc"]),
            chance=float(row["chance"]),
        )
        for row in rows
    ]


def made_by_feature2mass(folder: Path, masses, count: int, seed: int, images: int):
    """Synthetic masses by a generator that has seen nothing but `masses`."""
    import numpy as np

    from evaluation.mass_classifier import Masses
    from feature2mass.generate import generate
    from feature2mass.presets import PRESETS
    from feature2mass.train import train
    from preprocessing.masses.window import normalise_contrast
    from training.run import RunDirectory, run_config

    dataset = subset_dataset(folder / "masses", masses)
    preset = PRESETS["quick"]
    preset = preset.lengthened(images / (preset.epochs * len(masses)))
    preset = replace(preset, ticks=4)
    run = RunDirectory(folder / "run", run_config(preset, dataset, seed))
    train(dataset, run, preset, seed=seed, echo=lambda line: click.echo(f"  {folder.name}: {line}"))
    pictures, recipes = generate(run.path, count, seed=seed)
    labels = {head: np.array([getattr(one.category, head) for one in recipes]) for head in ("shape", "margin")}
    pictures = np.array([normalise_contrast(picture)[0] for picture in pictures])
    return Masses(pictures, labels, masses.classes, np.array([f"synthetic{number}" for number in range(count)]))


def subset_dataset(folder: Path, masses):
    """These masses as a dataset, all of them to train on."""
    from preprocessing.masses.item import mass_item
    from preprocessing.shards import DatasetWriter

    writer = DatasetWriter(
        folder,
        "mass",
        count=len(masses),
        made={"by": "usefulness"},
        levels=[masses.images.shape[1:]],
        classes=masses.classes,
    )
    for shard, numbers in writer.missing():
        items = []
        for number in numbers:
            labels = {head: int(values[number]) for head, values in masses.labels.items()}
            items.append(mass_item(masses.images[number], subject=str(masses.subjects[number]), **labels))
        writer.write(shard, items)
    return writer.finish(validation_fraction=0.0)


if __name__ == "__main__":
    main()
