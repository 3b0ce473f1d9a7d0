"""Let readers score real and synthetic mammograms blindly, in a page that needs only a browser; analyse the scores."""

from pathlib import Path
from typing import Any

import click

from evaluation.command_line import level_option
from preprocessing.command_line import FOLDER_THERE, PATH, Command, with_options
from preprocessing.counted import counted
from preprocessing.tensorflow_settings import import_tensorflow_quietly


class InOrderOfUse(click.Group):
    """A group that lists its commands as they are defined, in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


@click.group(cls=InOrderOfUse)
def main() -> None:
    """Let readers score real and generated images blindly.

    "build", or "build-lesions", writes the page and the answer key. Send the page to the readers, and give the CSV
    files that they save to "analyse".
    """


NEW_FILE = click.Path(dir_okay=False, path_type=Path)
of_page = with_options(
    [
        click.option("--page", type=NEW_FILE, required=True, help="HTML file to write for the readers."),
        click.option(
            "--key",
            type=NEW_FILE,
            required=True,
            help="JSON file for the answers, outside the folder of the page; keep it from the readers.",
        ),
        click.option(
            "--title",
            default="Reader study",
            help="Title shown to the readers; it must not reveal which images are real.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=0,
            help="Random seed of the choice of images; their order is always random.",
        ),
    ]
)


@main.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--real",
    type=FOLDER_THERE,
    required=True,
    help="Dataset of real mammograms; its validation split, or all of it if that has fewer images than --masks.",
)
@click.option(
    "--generator",
    "generators",
    metavar="NAME=FILE",
    multiple=True,
    help="A method, given by its generator.keras, which fills the masks of the study's real images. Repeatable.",
)
@click.option(
    "--images",
    "folders",
    metavar="NAME=DIR",
    multiple=True,
    help="A method, given by a dataset of its images, from which --masks images are drawn. Repeatable.",
)
@level_option
@click.option(
    "--masks", type=click.IntRange(2), default=50, help="Number of real images, and of images of each method."
)
@of_page
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
    from preprocessing.shards import open_dataset, shows_patients

    methods = {name: (flag, path) for flag, name, path in _named(generators, folders)}
    if not methods:
        raise click.UsageError("give at least one --generator or --images")
    dataset = open_dataset(real, kind="mammogram")
    split = "validation" if len(dataset.indices("validation")) >= masks else None
    source = Samples.of_dataset(dataset, level, split, name=f"--real {real}")
    pictures, breast_masks = source.read(_drawn(source, masks, seed))
    images, numbers = {REAL: pictures}, {REAL: range(masks)}
    of_patients = shows_patients(dataset.meta)
    for name, (flag, path) in methods.items():
        if flag == "--images":
            given = open_dataset(path, kind="mammogram")
            of_patients |= shows_patients(given.meta)
            fakes = Samples.of_dataset(given, level, name=f"--images {path}")
            images[name] = fakes.read(_drawn(fakes, masks, seed))[0]
        else:
            images[name] = _generated(path, np.asarray(pictures), np.asarray(breast_masks), seed)
            numbers[name] = range(masks)
    study = build_study(images, page, key, masks=numbers, title=title, of_patients=of_patients)
    _say_built(study, masks * len(images), page, key)


@main.command(cls=Command, context_settings={"show_default": True})
@click.option(
    "--genuine",
    type=FOLDER_THERE,
    required=True,
    help="Dataset of mammograms with known lesions (prepare-mammograms --boxes).",
)
@click.option(
    "--inserted",
    type=FOLDER_THERE,
    required=True,
    help="Dataset of mammograms with inserted lesions (insert-lesions --format h5).",
)
@click.option(
    "--normal",
    type=FOLDER_THERE,
    show_default="images of --genuine without lesions",
    help="Dataset of mammograms without lesions.",
)
@click.option("--images", type=click.IntRange(2), default=30, help="Images of each of the three kinds.")
@of_page
def build_lesions(
    genuine: Path, inserted: Path, normal: Path | None, images: int, page: Path, key: Path, title: str, seed: int
) -> None:
    """Write a page on which readers mark and score lesions.

    Some lesions are genuine, some inserted. No patient is shown twice. The page contains real images: keep it and
    pass it on as you would the images themselves.

    \b
    Example: 30 images without lesions, 30 with genuine and 30 with inserted ones
      synthmammo reader-study build-lesions --genuine data/mine --inserted data/with-lesions \\
          --normal data/normal --page study/page.html --key keys/study.json
    """
    from evaluation.reader_study.lesion_study import build_lesion_study
    from preprocessing.shards import open_dataset

    study = build_lesion_study(
        open_dataset(genuine, kind="mammogram"),
        open_dataset(inserted, kind="mammogram"),
        page,
        key,
        normal=open_dataset(normal, kind="mammogram") if normal else None,
        count=images,
        title=title,
        seed=seed,
    )
    _say_built(study, 3 * images, page, key)


@main.command(cls=Command, context_settings={"show_default": True})
@click.option("--key", type=PATH, required=True, help="Answer key of the study.")
@click.option("--output", type=PATH, help="Also write table.txt, results.json and plot.png here.")
@click.option("--incomplete", is_flag=True, help="Accept readers who have not scored every image.")
@click.argument("scores", nargs=-1, required=True, type=PATH)
def analyse(key: Path, output: Path | None, incomplete: bool, scores: tuple[Path, ...]) -> None:
    """Analyse the scores of the readers.

    SCORES are the CSV files that the readers saved, one per reader, from a page of build or build-lesions.

    \b
    Example:
      synthmammo reader-study analyse --key keys/study.json --output results anna.csv ben.csv
    """
    from evaluation.reader_study import analyse as of_scores
    from evaluation.reader_study import froc as of_marks
    from evaluation.reader_study.key import FIND, read_key, task_of
    from evaluation.reader_study.marks import read_marks
    from evaluation.reader_study.readings import read_scores
    from evaluation.reader_study.results import write_files

    answers = read_key(key)
    study: Any = of_marks if task_of(answers) == FIND else of_scores
    read: Any = read_marks if task_of(answers) == FIND else read_scores
    analysis = study.analyse(read(scores, answers, incomplete=incomplete))
    table = study.table(analysis)
    click.echo(table)
    if output:
        write_files(output, table, study.as_json(analysis), study.plot(analysis))
        click.echo(f"\n{output}: table.txt, results.json, plot.png")


def _say_built(study: str, count: int, page: Path, key: Path) -> None:
    click.echo(f"{page}: study {study}, {counted(count, 'image')}, {page.stat().st_size / 2**20:.1f} MiB")
    click.echo(f"{key}: the answers; keep it from the readers")


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
        raise EvaluationError(f"{samples.name}: holds {counted(len(samples), 'image')}, --masks asks for {count}")
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
