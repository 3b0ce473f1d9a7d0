"""Measure generated images beside real ones: table, report.json, report.html; one method or several side by side."""

from pathlib import Path

import click

from evaluation.command_line import level_option

PRIVACY, LABELS = "privacy", "labels"
LABELS_OF = 10_000  # masses; they are held in memory


@click.command(context_settings={"show_default": True})
@click.option(
    "--real",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Dataset of real images, the one that the generator was trained on.",
)
@click.option(
    "--fake",
    "fakes",
    metavar="[NAME=]DIR",
    multiple=True,
    required=True,
    help="Dataset of generated images. Repeatable: methods stand side by side, in this order. Several of one NAME are "
    "runs of one method, which is best only where all of them are.",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the report.")
@click.option(
    "--metrics",
    metavar="A,B,C",
    show_default="all that apply",
    help="swd, msssim, variation, iou, leakage, beta, fine, histogram, fid, kid, precision, recall, density, coverage, "
    "privacy; of masses also labels.",
)
@click.option(
    "--extractor",
    metavar="FILE|NAME",
    show_default="radiomic features, no network",
    help="A .keras model of your own whose output describes an image, or one of Keras Applications, such as "
    "MobileNetV2 (downloads its weights), for FID, KID, precision and recall.",
)
@level_option
@click.option(
    "--split",
    type=click.Choice(["all", "train", "validation"]),
    default="all",
    help="Real images to compare with; privacy always uses both splits.",
)
@click.option("--count", type=click.IntRange(2), show_default="all", help="At most so many images of each set.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of halves, pairs, patches and bootstrap.")
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
    """Measure generated images, with 95 % intervals, beside what two halves of the real images score."""
    from evaluation import report
    from evaluation.evaluate import evaluate
    from evaluation.image_set import EvaluationError
    from evaluation.mass_classifier import Masses
    from evaluation.metrics.features import keras_extractor, radiomic
    from preprocessing.shards import DataError, open_dataset

    runs = _runs(fakes)
    wanted = metrics.split(",") if metrics else None
    privacy, labels = (wanted is None or name in wanted for name in (PRIVACY, LABELS))
    wanted = [name for name in wanted if name not in (PRIVACY, LABELS)] if wanted else wanted
    try:
        dataset = open_dataset(real, kind="mass" if metrics and labels else None)
        measured = _some(dataset, level, None if split == "all" else split, count, f"--real {real}", seed)
        extract = keras_extractor(extractor) if extractor else radiomic
        index = _training(dataset, level) if privacy else None
        judge = _judge(dataset, seed) if labels and dataset.kind == "mass" else None
        reports, described = {}, None
        for name, (method, folder) in runs.items():
            generated = open_dataset(folder, kind=dataset.kind)
            fake = _some(generated, level, None, count, f"--fake {folder}", seed)
            found = evaluate(
                measured,
                fake,
                wanted,
                extractor=extract,
                extractor_name=Path(extractor).name if extractor else "radiomic",
                described_real=described,
                seed=seed,
            )
            described = found.described[0]
            found.rows += judge.rows(Masses.of_dataset(generated, at_most=count or LABELS_OF)) if judge else []
            reports[name] = report.Report(found, *_audit(index, fake), method=method)
        made = {"seed": seed, "split": split, "command": "evaluate"}
        report.write(reports, output, made)
    except (DataError, EvaluationError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(report.table(reports))
    click.echo(f"\n{output}: report.html, report.json, table.txt")


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


def _training(dataset, level):
    """(training images, held-out ones, their comparison), or why there is none."""
    from evaluation.image_set import Samples
    from evaluation.metrics.memorisation import LEAST_HELD_OUT, TrainingIndex

    training, held_out = (Samples.of_dataset(dataset, level, split) for split in ("train", "validation"))
    if not len(training) or len(held_out) < LEAST_HELD_OUT:
        return f"needs a training split and {LEAST_HELD_OUT} held-out images, there are {len(held_out)}"
    index = TrainingIndex(training)
    return index, index.matches(held_out)


def _judge(dataset, seed: int):
    """The judge of labels, taught by the real masses; None, and a word about it, where they are too few."""
    from evaluation.image_set import EvaluationError
    from evaluation.mass_classifier import Masses
    from evaluation.usefulness import LabelJudge

    try:
        return LabelJudge(*(Masses.of_dataset(dataset, split) for split in ("train", "validation")), seed=seed)
    except EvaluationError as error:
        click.echo(f"labels are not judged: {error}", err=True)
        return None


def _audit(index, fake) -> tuple:
    """(audit, training images, why there is none)."""
    from evaluation.metrics.memorisation import audit_with

    if index is None or isinstance(index, str):
        return None, None, index or ""
    return audit_with(*index, fake), index[0].training, ""


if __name__ == "__main__":
    main()
