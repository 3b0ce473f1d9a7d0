"""Can a classifier tell masses that were inserted from masses in their own surroundings?

    python benchmarks/seam.py --mammograms films --methods paste,octaves,poisson,multiply

The mammograms are a dataset with known lesions (`lesions.boxes`). Every lesion is shown twice in a window of 96×96:
where it is, and inserted into the mammogram of another patient; with `--masses`, masses of that dataset are inserted
instead. A small convolutional network is trained on four fifths of the patients and scores the windows of the last
fifth, five times; donor and recipient of a mass are always of the same fifth. `paste` shows that the classifier finds a
seam; `none` (half of the patients' genuine masses against the others') what it finds where there is nothing. Intervals
count patients.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np

WINDOW = 96
FOLDS = 5
STEPS = 500
BATCH = 64
LEARNING_RATE = 2e-3
SHIFT = 4
BLUR, FINE = 1.0, 0.02  # pixels, below which structure is fine; about its strength
COLUMNS = 10  # of the picture
HOSTS = 6  # recipients that are tried for a mass that finds no room


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of lesions: float32 (n, 96, 96), the patients (n,) and the fold of each."""

    images: np.ndarray
    subjects: np.ndarray
    folds: np.ndarray


def folds_of(subjects: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each mammogram, patients whole."""
    names, numbers = np.unique(subjects, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[numbers] % FOLDS


def window_at(image: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """The window around a place; what lies outside the image is 0."""
    half = WINDOW // 2
    padded = np.pad(image, half)
    x, y = (round(value) for value in centre)
    return padded[y : y + WINDOW, x : x + WINDOW]


def shown(image: np.ndarray, annotation) -> np.ndarray:
    """What the classifier sees of a lesion."""
    return window_at(image, annotation.centre)


def genuine(dataset, source, folds: np.ndarray, show=shown) -> tuple[Windows, list]:
    """Windows of all lesions that can be cut out whole, and these as patches, None for those that cannot."""
    patches = [source.patch(number) for number in range(len(source))]
    whole = [number for number, patch in enumerate(patches) if patch is not None]
    images, items = [], []
    for number in whole:
        one = source.annotations[source.numbers[number]]
        image = dataset.images(dataset.levels[-1], [one.item])[0]
        images.append(show(image, one))
        items.append(one.item)
    subjects = dataset.field("subject")
    return Windows(np.array(images), subjects[items], folds[items]), [patches[number] for number in whole]


def inserted(
    dataset, annotations, patches: list, patch_folds: np.ndarray, folds: np.ndarray, seed: int, methods, show=shown
) -> tuple[dict[str, Windows], np.ndarray]:
    """Windows of masses, each inserted into a mammogram of another patient of the same fold, of the same view.

    Args:
        methods: names of `lesions.blend.METHODS`, or a function like `insert_at` by name.

    Returns:
        Windows by method, all of the same masses at the same places, whose `subjects` are the recipients; which of the
        patches found room.
    """
    from lesions.annotations import by_item
    from lesions.breast import Breast
    from lesions.insert import Host, choose_place, insert_at
    from lesions.placement import read_placement

    if not isinstance(methods, dict):
        methods = {name: partial(insert_at, method=name) for name in methods}
    placement, level = read_placement(), dataset.levels[-1]
    lesions, subjects, views = by_item(annotations, dataset.count), dataset.field("subject"), dataset.field("view")
    images, hosts, used = {method: [] for method in methods}, [], []
    for number, (patch, fold) in enumerate(zip(patches, patch_folds)):
        rng = np.random.default_rng([seed, number])
        of_view = (views == patch.view) | (not patch.view)
        others = rng.permutation(np.flatnonzero((folds == fold) & (subjects != patch.subject) & of_view))
        for item in others[:HOSTS]:
            image, mask = dataset.images(level, [item])[0], dataset.masks(level, [item])[0]
            host = Host(image, Breast(mask), str(views[item]), tuple(one.box for one in lesions[item]))
            place = choose_place(host, patch, placement, rng)
            if place is not None:
                for method, insert in methods.items():
                    result = insert(host, patch, place)
                    images[method].append(show(result.image, result.annotation))
                hosts.append(item)
                used.append(number)
                break
    people, parts, used = subjects[hosts], folds[hosts], np.array(used)
    return {method: Windows(np.array(found), people, parts) for method, found in images.items()}, used


def judged(real: Windows, fake: Windows, seed: int = 0, steps: int = STEPS):
    """AUC of the classifier, with its interval over patients, and the scores of all windows."""
    from evaluation.roc import estimated_area

    inputs = seen(np.concatenate([real.images, fake.images]))
    labels = np.arange(len(inputs)) >= len(real.images)
    folds, subjects = np.concatenate([real.folds, fake.folds]), np.concatenate([real.subjects, fake.subjects])
    scores = np.empty(len(inputs))
    for fold in range(FOLDS):
        test = folds == fold
        network = trained(inputs[~test], labels[~test], seed + fold, steps)
        flipped = (
            network.predict(some, batch_size=256, verbose=0)[:, 0] for some in (inputs[test], inputs[test, ::-1])
        )
        scores[test] = sum(flipped) / 2
    return estimated_area(scores, labels, subjects, seed), scores


def halves(real: Windows) -> tuple[Windows, ...]:
    """Windows of half of the patients, and those of the others."""
    odd = np.unique(real.subjects, return_inverse=True)[1] % 2 == 1
    return tuple(Windows(real.images[part], real.subjects[part], real.folds[part]) for part in (~odd, odd))


def seen(images: np.ndarray) -> np.ndarray:
    """Image and fine structure, float32 (n, 96, 96, 2)."""
    import cv2

    fine = np.array([image - cv2.GaussianBlur(image, (0, 0), BLUR) for image in images])
    return np.stack([images, fine / FINE], axis=-1).astype(np.float32)


def trained(inputs: np.ndarray, labels: np.ndarray, seed: int, steps: int):
    """A classifier of inserted against genuine, half of each batch of either."""
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = built()
    groups = [np.flatnonzero(labels == label) for label in (False, True)]
    targets = np.repeat([0.0, 1.0], BATCH // 2)
    padded = np.pad(inputs, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    for step in range(steps):
        network.optimizer.learning_rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        some = np.concatenate([rng.choice(group, BATCH // 2) for group in groups])
        (down, right), turns = rng.integers(0, 2 * SHIFT + 1, (2, BATCH)), rng.choice([1, -1], BATCH)
        images = [
            padded[index, y : y + WINDOW, x : x + WINDOW][::turn] for index, y, x, turn in zip(some, down, right, turns)
        ]
        network.train_on_batch(np.array(images), targets)
    return network


def built():
    from keras import Model, layers, losses, optimizers

    image = x = layers.Input((WINDOW, WINDOW, 2))
    for filters in (16, 32, 48, 64):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    model = Model(image, layers.Dense(1, "sigmoid")(layers.Dropout(0.3)(x)))
    model.compile(optimizers.Adam(LEARNING_RATE), losses.BinaryCrossentropy(), jit_compile=False)
    return model


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--masses", type=click.Path(exists=True, path_type=Path), help="Other masses to insert.")
@click.option("--methods", default="paste,octaves,poisson,multiply,none", help="What to judge.")
@click.option("--steps", type=click.IntRange(1), default=STEPS, help="Of each classifier's training.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG file of genuine and inserted windows.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms: Path, masses: Path | None, methods: str, steps: int, picture: Path | None, seed: int) -> None:
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    from lesions.masses import mass_source
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    source = mass_source(dataset)
    folds = folds_of(dataset.field("subject"), seed)
    real, patches = genuine(dataset, source, folds)
    patch_folds = real.folds
    if masses is not None:
        patches, patch_folds = other_masses(open_dataset(masses), dataset, folds, len(patches), seed)
    if "none" in methods.split(","):
        click.echo(f"none: AUC {judged(*halves(real), seed, steps)[0]}")
    names = [method for method in methods.split(",") if method != "none"]
    fakes, _ = inserted(dataset, source.annotations, patches, patch_folds, folds, seed, names)
    for method, fake in fakes.items():
        estimate, scores = judged(real, fake, seed, steps)
        click.echo(f"{method}: AUC {estimate}, {len(real.images)} genuine, {len(fake.images)} inserted")
        if picture:
            show(picture.with_stem(f"{picture.stem}-{method}"), real, fake, scores)


def other_masses(dataset, mammograms, folds: np.ndarray, count: int, seed: int) -> tuple[list, np.ndarray]:
    """Masses of a dataset, and the fold that each may be inserted in: its patient's own, or any."""
    from lesions.masses import mass_source

    source = mass_source(dataset)
    rng = np.random.default_rng(seed)
    patches = [source.patch(int(number)) for number in rng.permutation(len(source))[:count]]
    of_subject = dict(zip(mammograms.field("subject").tolist(), folds.tolist()))
    return patches, np.array([of_subject.get(patch.subject, rng.integers(FOLDS)) for patch in patches])


def show(path: Path, real: Windows, fake: Windows, scores: np.ndarray) -> None:
    """Random genuine windows, random inserted ones, and the inserted ones that the classifier is surest of."""
    import cv2

    rng = np.random.default_rng(0)
    sure = np.argsort(scores[len(real.images) :])[::-1][: 2 * COLUMNS]
    rows = [real.images[rng.permutation(len(real.images))[: 2 * COLUMNS]]]
    rows += [fake.images[rng.permutation(len(fake.images))[: 2 * COLUMNS]], fake.images[sure]]
    strips = [np.hstack(list(images[first : first + COLUMNS])) for images in rows for first in (0, COLUMNS)]
    sheet = np.round(np.clip(np.vstack(strips), 0, 1) * 255).astype(np.uint8)
    cv2.imwrite(str(path), cv2.resize(sheet, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC))


if __name__ == "__main__":
    main()
