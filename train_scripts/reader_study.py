"""Let readers score real and synthetic mammograms blindly, in a page that needs only a browser; analyse the scores."""

from pathlib import Path

import click

from evaluation.command_line import level_option
from preprocessing.command_line import Command
from preprocessing.tensorflow_settings import import_tensorflow_quietly


@click.group()
def main() -> None:
    """Let readers score real and generated images blindly.

    "build" writes the page and the answer key. Send the page to the readers, and give the CSV files that they save to
    "analyse".
    """


@main.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--real",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Dataset of real mammograms; its validation split, or all of it if that is empty.",
)
@click.option(
    "--generator",
    "generators",
    metavar="NAME=FILE",
    multiple=True,
    help="A method by its generator.keras, which fills the masks of the real images in the study. Repeatable.",
)
@click.option(
    "--images",
    "folders",
    metavar="NAME=DIR",
    multiple=True,
    help="A method by a dataset of its images, from which --masks images are drawn. Repeatable.",
)
@level_option
@click.option(
    "--masks", type=click.IntRange(2), default=50, help="Number of real images, and of images of each method."
)
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HTML file to write for the readers."
)
@click.option(
    "--key",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="JSON file to write the answers to, in another folder than the page; keep it from the readers.",
)
@click.option(
    "--title", default="Reader study", help="Title shown to the readers; it must not reveal which images are real."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    help="Random seed of the choice of images; their order is always random.",
)
def build(
    real: Path,
    generators: tuple[str, ...],
    folders: tuple[str, ...],
    level: tuple[int, int] | None,
    masks: int,
    page: Path,
    key: Path,
    title: str,
    seed: int,
) -> None:
    """Write the page for the readers and the answer key.

    The page contains real images: treat it as you would treat the images themselves.

    \b
    Example: 50 real images, 50 of a generator for the same masks
      synthmammo reader-study build --real data/mine --page study/page.html --key keys/study.json \\
          --generator embedding=runs/demo/phase-7/generator.keras
    """
    import numpy as np

    from evaluation.image_set import Samples
    from evaluation.reader_study.build import build as build_study
    from evaluation.reader_study.key import REAL
    from preprocessing.shards import open_dataset

    methods = {name: (flag, path) for flag, name, path in _named(generators, folders)}
    if not methods:
        raise click.UsageError("give at least one --generator or --images")
    dataset = open_dataset(real, kind="mammogram")
    split = "validation" if len(dataset.indices("validation")) >= masks else None
    source = Samples.of_dataset(dataset, level, split, name=f"--real {real}")
    pictures, breast_masks = source.read(_drawn(source, masks, seed))
    images, numbers = {REAL: pictures}, {REAL: range(masks)}
    for name, (flag, path) in methods.items():
        if flag == "--images":
            fakes = Samples.of_dataset(open_dataset(path, kind="mammogram"), level, name=f"--images {path}")
            images[name] = fakes.read(_drawn(fakes, masks, seed))[0]
        else:
            images[name] = _generated(path, np.asarray(pictures), np.asarray(breast_masks), seed)
            numbers[name] = range(masks)
    of_patients = not dataset.meta["synthetic"]
    study = build_study(images, page, key, masks=numbers, title=title, of_patients=of_patients)
    click.echo(f"{page}: study {study}, {masks * len(images)} images, {page.stat().st_size / 2**20:.1f} MiB")
    click.echo(f"{key}: the answers; keep it from the readers")


@main.command(cls=Command, context_settings={"show_default": True})
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Answer key that build wrote.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write table.txt, results.json and plot.png here.")
@click.option("--incomplete", is_flag=True, help="Accept readers who have not scored every image.")
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path))
def analyse(key: Path, output: Path | None, incomplete: bool, scores: tuple[Path, ...]) -> None:
    """Analyse the scores of the readers.

    SCORES are the CSV files that the readers saved, one per reader.
    """
    from evaluation.reader_study import analyse as analysis_of
    from evaluation.reader_study.key import read_key
    from evaluation.reader_study.readings import read_scores

    readings = read_scores(scores, read_key(key), incomplete=incomplete)
    analysis = analysis_of.analyse(readings)
    click.echo(analysis_of.table(analysis))
    if output:
        analysis_of.write_results(analysis, output)
        click.echo(f"\n{output}: table.txt, results.json, plot.png")


def _named(generators: tuple[str, ...], folders: tuple[str, ...]) -> list[tuple[str, str, Path]]:
    """(flag, name, path) of every method. Raises UsageError for what is not NAME=PATH, or a name given twice."""
    found: list[tuple[str, str, Path]] = []
    for flag, values in (("--generator", generators), ("--images", folders)):
        for value in values:
            name, equals, path = value.partition("=")
            if not (equals and name and path):
                raise click.UsageError(f"{flag} {value}: must be NAME=PATH")
            if name == "real" or name in [other for _, other, _ in found]:
                raise click.UsageError(f"{flag} {value}: the name {name!r} is taken; choose another")
            found.append((flag, name, Path(path)))
    return found


def _drawn(samples, count: int, seed: int):
    import numpy as np

    from evaluation.image_set import EvaluationError

    if len(samples) < count:
        raise EvaluationError(f"{samples.name}: holds {len(samples)} images, --masks asks for {count}")
    return np.random.default_rng(seed).permutation(len(samples))[:count]


def _generated(path: Path, pictures, masks, seed: int):
    """One image of each mask, at the generator's size if it is the masks'."""
    import_tensorflow_quietly()
    from evaluation.image_set import EvaluationError
    from generation.generate import generate, load_generator

    model = load_generator(path)
    size = tuple(model.inputs[0].shape[1:3])
    if size != masks.shape[1:]:
        height, width = masks.shape[1:]
        made = f"{size[0]}x{size[1]}"
        raise EvaluationError(
            f"--generator {path}: makes images of {made}, real are {height}x{width}; try --level {made}"
        )
    return generate(model, masks, len(masks), seed=seed, images=pictures)[0]


if __name__ == "__main__":
    main()
