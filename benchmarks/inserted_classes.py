"""Do masses keep their shape and margin when they are inserted?

    python benchmarks/inserted_classes.py --mammograms films

A classifier of shape and margin (`evaluation.mass_classifier`) is trained on the genuine masses of four fifths of the
patients, five times. It reads the genuine masses of the last fifth, and the same masses inserted into mammograms of
other patients of that fifth. AUC of spiculated against circumscribed, and of irregular against round or oval.
"""

from pathlib import Path

import click
import numpy as np

CONTEXT = 1.5  # window over the lesion's longest side
TASKS = {"spiculated / circumscribed": ("margin", (4,), (0,)), "irregular / round, oval": ("shape", (3,), (0, 1))}


def cut(image: np.ndarray, annotation) -> np.ndarray:
    """The lesion in a window of 64×64, as masses are prepared."""
    from preprocessing.masses.lesion import Box
    from preprocessing.masses.window import cut_window

    x, y, width, height = (round(value) for value in annotation.box)
    x, y = min(max(x, 0), image.shape[1] - 2), min(max(y, 0), image.shape[0] - 2)
    box = Box(x, y, min(width, image.shape[1] - x), min(height, image.shape[0] - y))
    return cut_window(np.ascontiguousarray(image), box, CONTEXT)


def contrast(probabilities: np.ndarray, positive: tuple[int, ...], negative: tuple[int, ...]) -> np.ndarray:
    """How much more a class is believed than others."""
    sums = [probabilities[:, list(classes)].sum(axis=1) for classes in (positive, negative)]
    return np.log(sums[0] + 1e-6) - np.log(sums[1] + 1e-6)


def read(mammograms: Path, method: str, seed: int, steps: int) -> dict[str, list]:
    """(AUC, its interval over patients) of genuine and inserted masses, by task."""
    from seam import FOLDS, folds_of, genuine, inserted

    from evaluation.mass_classifier import Masses, train_classifier
    from lesions.masses import mass_source
    from preprocessing.masses.labels import CLASSES
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    source = mass_source(dataset)
    folds = folds_of(dataset.field("subject"), seed)
    real, patches = genuine(dataset, source, folds, cut)
    fake, used = inserted(dataset, source.annotations, patches, real.folds, folds, seed, cut, method=method)
    used = np.array(used)
    classes = {head: list(names) for head, names in CLASSES.items()}
    labels = {
        head: np.array([names.index(getattr(p, head)) if getattr(p, head) else -1 for p in patches])
        for head, names in classes.items()
    }
    scores = {(kind, task): np.full(len(patches), np.nan) for kind in ("genuine", "inserted") for task in TASKS}
    for fold in range(FOLDS):
        test, moved = np.flatnonzero(real.folds == fold), np.flatnonzero(fake.folds == fold)
        known = np.flatnonzero(real.folds != fold)
        masses = Masses(real.images, labels, classes, real.subjects).subset(known)
        classifier = train_classifier(masses, seed=seed + fold, steps=steps)
        shown = {"genuine": (real.images[test], test), "inserted": (fake.images[moved], used[moved])}
        for kind, (images, places) in shown.items():
            believed = classifier.predict(images)
            for task, (head, positive, negative) in TASKS.items():
                scores[kind, task][places] = contrast(believed[head], positive, negative)
    return {
        task: [
            area(scores[kind, task], labels[head], positive, negative, real.subjects, used, seed)
            for kind in ("genuine", "inserted")
        ]
        for task, (head, positive, negative) in TASKS.items()
    }


def area(scores, labels, positive, negative, subjects, used, seed: int):
    """AUC over the masses that could be inserted, with its interval over patients."""
    from evaluation.roc import estimated_area

    kept = np.intersect1d(np.flatnonzero(np.isin(labels, (*positive, *negative))), used)
    return estimated_area(scores[kept], np.isin(labels[kept], positive), subjects[kept], seed)


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--method", default="octaves", help="How masses are blended in.")
@click.option("--steps", type=click.IntRange(1), default=1500, help="Of each classifier's training, at most.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms: Path, method: str, steps: int, seed: int) -> None:
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    for task, (genuine, moved) in read(mammograms, method, seed, steps).items():
        click.echo(f"{task}: AUC genuine {genuine}, inserted {moved}, {genuine.count} masses")


if __name__ == "__main__":
    main()
