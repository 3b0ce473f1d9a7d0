"""Do masses keep their shape and margin when they are inserted?

    python benchmarks/inserted_classes.py --mammograms films --methods octaves,poisson,multiply,paste

A linear reader (ridge regression of the features of `mass_recipe.describe`) learns shape and margin from the genuine
masses of four fifths of the patients, five times. It reads the genuine masses of the last fifth, and the same masses
inserted into mammograms of other patients of that fifth: AUC of spiculated against circumscribed, and of irregular
against round or oval. `host` is what it reads from the same windows before the masses were inserted: their size only,
which shows in how much a window was enlarged.
"""

from pathlib import Path

import click
import numpy as np

CONTEXT = 1.5  # window over the lesion's longest side
RIDGE = 50.0
TASKS = {
    "spiculated / circumscribed": ("margin", ("spiculated",), ("circumscribed",)),
    "irregular / round, oval": ("shape", ("irregular",), ("round", "oval")),
}


def cut(image: np.ndarray, annotation) -> np.ndarray:
    """The lesion in a window of 64×64, as masses are prepared."""
    from preprocessing.masses.lesion import Box
    from preprocessing.masses.window import cut_window, normalise_contrast

    x, y, width, height = (round(value) for value in annotation.box)
    x, y = min(max(x, 0), image.shape[1] - 2), min(max(y, 0), image.shape[0] - 2)
    box = Box(x, y, min(width, image.shape[1] - x), min(height, image.shape[0] - y))
    return normalise_contrast(cut_window(np.ascontiguousarray(image), box, CONTEXT))[0]


def fitted(described: np.ndarray, wanted: np.ndarray):
    """Ridge regression: a function of descriptions."""
    mean, spread = described.mean(axis=0), described.std(axis=0) + 1e-9
    scaled = lambda values: np.c_[np.clip((values - mean) / spread, -4, 4), np.ones(len(values))]
    x = scaled(described)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ wanted)
    return lambda values: scaled(values) @ weights


def read(mammograms: Path, methods: list[str], seed: int) -> dict[tuple[str, str], object]:
    """AUC with its interval over patients, by task and by what was read."""
    from mass_recipe import describe
    from seam import FOLDS, folds_of, genuine, inserted

    from evaluation.roc import estimated_area
    from lesions import insert
    from lesions.masses import mass_source
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    source = mass_source(dataset)
    folds = folds_of(dataset.field("subject"), seed)
    real, patches = genuine(dataset, source, folds, cut)
    insert.METHODS["host"] = lambda pair: pair.window
    described, used = {"genuine": describe(real.images)}, {"genuine": np.arange(len(patches))}
    fakes, moved = inserted(dataset, source.annotations, patches, real.folds, folds, seed, ("host", *methods), cut)
    for method, fake in fakes.items():
        described[method], used[method] = describe(fake.images), moved
    found = {}
    for task, (head, positive, negative) in TASKS.items():
        labels = np.array([getattr(patch, head) for patch in patches])
        scores = {kind: np.full(len(patches), np.nan) for kind in described}
        for fold in range(FOLDS):
            known = (real.folds != fold) & np.isin(labels, (*positive, *negative))
            reader = fitted(described["genuine"][known], np.isin(labels[known], positive).astype(float))
            for kind, places in used.items():
                scores[kind][places] = np.where(
                    real.folds[places] == fold, reader(described[kind]), scores[kind][places]
                )
        kept = np.intersect1d(np.flatnonzero(np.isin(labels, (*positive, *negative))), moved)
        for kind, values in scores.items():
            found[task, kind] = estimated_area(values[kept], np.isin(labels[kept], positive), real.subjects[kept], seed)
    return found


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--methods", default="poisson", help="How masses are blended in.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms: Path, methods: str, seed: int) -> None:
    for (task, kind), estimate in read(mammograms, methods.split(","), seed).items():
        click.echo(f"{task}, {kind}: AUC {estimate}, {estimate.count} masses")


if __name__ == "__main__":
    main()
