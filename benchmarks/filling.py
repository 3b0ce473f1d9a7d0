"""Is a mass that a small network fills into a hole of a mammogram harder to tell from a genuine one than other masses?

    python benchmarks/filling.py --mammograms films --network network.weights.h5 --picture filled.png

A U-Net gets a window of 64×64 with a hole where the mass is to lie, the mass's outline and its labels, and fills the
hole; a discriminator sees windows, outlines and labels (after the mask embedding of Ren et al. 2019 §1, whose mask may
be any segmentation map; all else is ours). It is trained on the patients of the first three folds of `seam.py`; a file
that `--network` finds is taken as trained. The judge is that of `seam.py`, within the patients of the other two: these
are divided into five folds, and donor and recipient of a mass, or of its outline, are always of the same fold. In a
mass that is larger than 32 pixels the network fills a smaller image of the window, and detail that this lacks stays.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from filler import MARGIN, SIDE, Examples, drawn, filler, learned

LARGEST = 32.0  # longest side of a mass in the window, pixels; a larger one is scaled down
REACH = 0.35  # of the hole beyond the outline, of the mass's longest side
LEARNING_FOLDS = 3  # of the five of `seam.py`; the others are judged
PLACES = 3  # in tissue of other patients, for each mass that is learned
STEPS, JUDGE_STEPS = 5500, 250


# ------------------------------------------------------------------------------------- windows


def prepared(image: np.ndarray, annotation, margin: int = 0) -> np.ndarray:
    """The window around a lesion, float32 (side, side, 4): image, image with its hole filled smoothly, hole, outline.

    Args:
        image: float32 (height, width), 0 where it shows no breast.
        annotation: a lesion with an outline.
        margin: pixels more on all four sides.
    """
    import cv2

    from lesions.outline import mask_of
    from lesions.smooth import distance_to, membrane

    side = SIDE + 2 * margin
    span, left, top = placed(annotation, side)
    outline = mask_of(annotation.outline, image.shape).astype(np.float32)
    layers = []
    for layer in (image, (image > 0).astype(np.float32), outline):
        around = np.pad(layer, span)[top + span : top + 2 * span, left + span : left + 2 * span]
        layers.append(around if span == side else cv2.resize(around, (side, side), interpolation=cv2.INTER_AREA))
    window, breast, outline = layers[0], layers[1] > 0.99, layers[2] >= 0.5
    hole = breast & (distance_to(outline) <= max(2.0, REACH * longest(annotation)))
    base = np.where(hole, membrane(window, breast & ~hole), window)
    return np.stack([window, base, hole, outline], axis=-1).astype(np.float32)


def longest(annotation) -> float:
    """The longest side of a lesion in its window, pixels."""
    return min(annotation.longest_side, LARGEST)


def placed(annotation, side: int) -> tuple[int, int, int]:
    """How many pixels of the mammogram a window spans, and its left and top."""
    span = round(side * annotation.longest_side / longest(annotation))
    x, y = annotation.centre
    return span, round(x - span / 2), round(y - span / 2)


def coded(annotation) -> np.ndarray:
    """Shape and margin, one of 4 and one of 5, or none; how much the window is scaled down. float32 (10,)."""
    from preprocessing.masses.labels import CLASSES

    words = [word == getattr(annotation, name) for name in ("shape", "margin") for word in CLASSES[name]]
    return np.array([*words, np.log2(annotation.longest_side / longest(annotation))], np.float32)


def filled(network, image: np.ndarray, annotation, rng: np.random.Generator) -> np.ndarray:
    """The mammogram with a mass of the annotation's outline and labels."""
    import cv2

    layers = prepared(image, annotation)
    made = network([layers[None], coded(annotation)[None], *drawn(rng, 1)]).numpy()[0, ..., 0]
    span, left, top = placed(annotation, SIDE)
    change = cv2.resize(made - layers[..., 0], (span, span), interpolation=cv2.INTER_LINEAR)
    padded = np.pad(image, span)
    padded[top + span : top + 2 * span, left + span : left + 2 * span] += change
    whole = padded[span:-span, span:-span]
    return np.where(image > 0, np.clip(whole, 0, 1), image).astype(np.float32)


def fill_at(network, rng: np.random.Generator, host, patch, place):
    """As `lesions.insert.insert_at`: of the patch, only the outline, the size and the labels are used."""
    from lesions.insert import insert_at

    untouched = insert_at(host, patch, place, "host")
    return replace(untouched, image=filled(network, untouched.image, untouched.annotation, rng))


# -------------------------------------------------------------------------------------- patients


def of_items(source, items: np.ndarray):
    """The lesions of some mammograms, with the outlines that are found."""
    from lesions.outline import moved, polygon_of

    annotations, kept = list(source.annotations), []
    for place, number in enumerate(source.numbers):
        one = annotations[number]
        patch = source.patch(place) if one.item in items else None
        if patch is not None:
            corner = (round(centre - len(patch.image) / 2) for centre in one.centre)
            annotations[number] = replace(one, outline=moved(polygon_of(patch.outline), *corner))
            kept.append(place)
    labels = {name: values[kept] for name, values in source.labels.items()}
    return replace(source, annotations=tuple(annotations), numbers=source.numbers[kept], labels=labels)


def examples(dataset, source, folds: np.ndarray, seed: int) -> tuple[Examples, Examples]:
    """Genuine masses, and tissue of other patients with the outlines and labels of these masses."""
    from seam import genuine, inserted

    views = lambda image, annotation: row(prepared(image, annotation, MARGIN), coded(annotation))
    real, patches = genuine(dataset, source, folds, views)
    patches, patch_folds = patches * PLACES, np.tile(real.folds, PLACES)
    tissue, _ = inserted(dataset, source.annotations, patches, patch_folds, folds, seed, ["host"], views)
    side = SIDE + 2 * MARGIN
    return tuple(Examples(*parted(one.images, (side, side, 4), (10,))) for one in (real, tissue["host"]))


def row(*views: np.ndarray) -> np.ndarray:
    """Views of a lesion as one row of numbers."""
    return np.concatenate([view.ravel() for view in views])


def parted(table: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """The views again, of many rows."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(-1, *shape) for part, shape in zip(np.split(table, ends, axis=1), shapes)]


# ------------------------------------------------------------------------------------- judging


def compared(dataset, source, network, parts: np.ndarray, seed: int):
    """Views of genuine masses and, by name, of others; the patches of the genuine, and which of them found room.

    Args:
        source: the masses of the judged patients.
        parts: the fold of each mammogram, −1 where it is not judged.
    """
    from seam import FOLDS, genuine, inserted

    from lesions.generated import GeneratedMasses
    from lesions.insert import insert_at

    rng = np.random.default_rng(seed)
    real, patches = genuine(dataset, source, parts, viewed)
    again = lambda image, annotation: viewed(filled(network, image, annotation, rng), annotation)
    methods = {name: partial(insert_at, method=name) for name in ("host", "poisson", "paste")}
    methods["filled"] = partial(fill_at, network, rng)
    fakes, moved = inserted(dataset, source.annotations, patches, real.folds, parts, seed, methods, viewed)
    fakes["refilled"] = genuine(dataset, source, parts, again)[0]
    library, anywhere = GeneratedMasses(seed=seed), rng.integers(FOLDS, size=len(patches))
    generated = [library.patch(number) for number in range(len(patches))]
    methods = {f"{name} of generated masses": methods[name] for name in ("poisson", "filled")}
    fakes |= inserted(dataset, source.annotations, generated, anywhere, parts, seed, methods, viewed)[0]
    return unviewed(real), {name: unviewed(windows) for name, windows in fakes.items()}, patches, moved


def viewed(image: np.ndarray, annotation) -> np.ndarray:
    """What the judge and the reader of classes see of a lesion."""
    from inserted_classes import cut
    from seam import shown

    return row(shown(image, annotation), cut(image, annotation))


def unviewed(windows):
    """Windows as the judge sees them, and as the reader."""
    from seam import WINDOW

    judged, read = parted(windows.images, (WINDOW, WINDOW), (64, 64))
    return replace(windows, images=judged), read


def classes(known, labelled: list, shown: dict[str, np.ndarray], patches: list, subjects: np.ndarray):
    """AUC of the reader of `inserted_classes.py`, by task and by what it read.

    Args:
        known, labelled: the windows of genuine masses that it learns from, and their patches.
        shown: windows of masses with the labels of `patches`, by name.
        subjects: the patients of these.
    """
    from inserted_classes import TASKS, fitted
    from mass_recipe import describe

    from evaluation.roc import estimated_area

    described, learned_from = {name: describe(windows) for name, windows in shown.items()}, describe(known.images)
    for task, (head, positive, negative) in TASKS.items():
        train, test = (np.array([getattr(patch, head) for patch in some]) for some in (labelled, patches))
        used, kept = (np.isin(words, (*positive, *negative)) for words in (train, test))
        reader = fitted(learned_from[used], np.isin(train[used], positive).astype(float))
        for name, values in described.items():
            yield task, name, estimated_area(reader(values[kept]), np.isin(test[kept], positive), subjects[kept], 0)


def sheet(path: Path, dataset, source, network, seed: int) -> None:
    """Genuine masses, the holes in their places, and these filled: twice twelve."""
    import cv2

    rng = np.random.default_rng(seed)
    strips = []
    for some in rng.permutation(source.numbers)[:24].reshape(2, 12):
        columns = []
        for one in (source.annotations[number] for number in some):
            image = dataset.images(dataset.levels[-1], [one.item])[0]
            windows = prepared(image, one), prepared(filled(network, image, one, rng), one)
            columns.append(np.vstack([windows[0][..., 0], windows[0][..., 1], windows[1][..., 0]]))
        strips.append(np.hstack(columns))
    picture = np.round(np.clip(np.vstack(strips), 0, 1) * 255).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC))


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option(
    "--network", "file", type=click.Path(path_type=Path), required=True, help="NAME.weights.h5, made if absent."
)
@click.option("--steps", type=click.IntRange(1), default=STEPS, help="Of the network's training.")
@click.option("--judge-steps", type=click.IntRange(1), default=JUDGE_STEPS, help="Of each classifier's training.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG file of genuine masses, holes, filled holes.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms: Path, file: Path, steps: int, judge_steps: int, picture: Path | None, seed: int) -> None:
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    from inserted_classes import cut
    from seam import folds_of, genuine, halves, judged, show

    from lesions.blend import METHODS
    from lesions.masses import mass_source
    from preprocessing.shards import open_dataset

    if not file.name.endswith(".weights.h5"):
        raise click.BadParameter(f"{file}: must end in .weights.h5", param_hint="--network")
    METHODS["host"] = lambda pair: pair.window
    dataset = open_dataset(mammograms, kind="mammogram")
    subjects = dataset.field("subject")
    learning = folds_of(subjects, seed) < LEARNING_FOLDS
    sources = [of_items(mass_source(dataset), np.flatnonzero(some)) for some in (learning, ~learning)]
    if file.exists():
        network = filler()
        network.load_weights(file)
    else:
        masses, tissue = examples(dataset, sources[0], np.where(learning, 0, -1), seed)
        network = learned(masses, tissue, steps, seed)
        network.save_weights(file)
    parts = np.where(learning, -1, folds_of(subjects, seed + 1))
    if picture:
        sheet(picture, dataset, sources[1], network, seed)
    (real, cuts), fakes, patches, moved = compared(dataset, sources[1], network, parts, seed)
    labelled = genuine(dataset, sources[0], parts, cut)
    read = {"genuine": cuts[moved], "refilled": fakes["refilled"][1][moved]}
    read |= {name: fakes[name][1] for name in ("host", "poisson", "filled")}
    for task, name, estimate in classes(*labelled, read, [patches[n] for n in moved], real.subjects[moved]):
        click.echo(f"{task}, {name}: AUC {estimate}, {estimate.count} masses")
    for name, (fake, _) in fakes.items():
        if name != "host":
            estimate, scores = judged(real, fake, seed, judge_steps)
            click.echo(f"{name}: AUC {estimate}, {len(real.images)} genuine, {len(fake.images)} others")
            if picture:
                show(picture.with_stem(f"{picture.stem}-{name.replace(' ', '-')}"), real, fake, scores)
    click.echo(f"none: AUC {judged(*halves(real), seed, judge_steps)[0]}")


if __name__ == "__main__":
    main()
