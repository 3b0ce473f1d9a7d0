"""A classifier of generated against real images: AUC 0.5 if it cannot tell them apart, 1 if it always can.

A small convolutional network (ours) is trained on four fifths of the patients and scores the images of the last fifth,
five times, so that every image is scored by a network that has seen none of its patient (after Lopez-Paz and Oquab,
*Revisiting Classifier Two-Sample Tests*, ICLR 2017). One set of real images against another shows what it finds
where there is nothing to find.

A generated image is of the patient whose mask it fills. Who that is, is known of a dataset of `generate-mammograms`
whose masks are those of the real dataset. Other generated images count as of none of the real patients: where they fill
masks of these all the same, a network may have seen the real image of a mask.
"""

import re

import cv2
import numpy as np

from evaluation.image_set import EvaluationError, Samples, same_size
from evaluation.intervals import Estimate, halves
from evaluation.metrics.metric import LOW, Metric, Row, Sets
from evaluation.roc import estimated_area
from generation.sources import MaskSource
from preprocessing.counted import there_are
from preprocessing.tensorflow_settings import import_tensorflow_quietly

FOLDS = 5
STEPS = 300
BATCH = 32
LEARNING_RATE = 2e-3
LEAST_SUBJECTS = 20
WINDOW = (128, 64)  # height and width that are seen at once
WINDOWS = 3  # per larger image
BLUR = 1.0  # pixels, below which structure is fine
FINE = 0.02  # about its strength in scanned films
SHIFT = 1 / 32  # of the height, of the augmentation


def real_or_generated(
    real: Samples, fake: Samples, *, seed: int = 0, folds: int = FOLDS, steps: int = STEPS
) -> Estimate:
    """Estimate the AUC of a classifier of generated against real images that does not know their patients.

    Args:
        real, fake: images of one size; `subjects` of both number the same patients (of a generated image: the patient
            whose mask it fills).
        seed: of folds, weights, order, augmentation and bootstrap. It becomes Keras' global seed too.
        folds: parts of the patients.
        steps: of training, in batches of 32, half of them real.

    Returns:
        The AUC over all images, with a 95 % interval from a bootstrap of patients.

    Raises:
        EvaluationError: different sizes, fewer than 20 patients, or either set of fewer patients than folds.
    """
    same_size(real, fake)
    subjects = np.concatenate([real.subjects, fake.subjects])
    patients = np.random.default_rng(seed).permutation(np.unique(subjects))
    if len(patients) < LEAST_SUBJECTS:
        raise EvaluationError(
            f"{fake.name}: telling real from generated needs {LEAST_SUBJECTS} patients, {there_are(len(patients))}"
        )
    for samples in (real, fake):
        there = len(np.unique(samples.subjects))
        if there < folds:
            raise EvaluationError(
                f"{samples.name}: telling real from generated needs images of {folds} patients (or masks) in either "
                f"set, {there_are(there)}"
            )
    # real only, of both, generated only: every fold leaves images of either set to train on
    sides = np.isin(patients, fake.subjects).astype(int) - np.isin(patients, real.subjects)
    patients = patients[np.argsort(sides, kind="stable")]
    inputs = np.concatenate([_inputs(samples, seed) for samples in (real, fake)])  # (n, windows, height, width, 3)
    generated = np.arange(len(inputs)) >= len(real)
    scores = np.empty(len(inputs))
    for fold in range(folds):
        judged = np.isin(subjects, patients[fold::folds])
        network = _trained(inputs[~judged], generated[~judged], steps, seed + fold)
        of_windows = network.predict(np.concatenate(inputs[judged]), batch_size=64, verbose=0)
        scores[judged] = of_windows.reshape(judged.sum(), -1).mean(axis=1)
    return estimated_area(scores, generated, subjects, seed)


def _inputs(samples: Samples, seed: int) -> np.ndarray:
    """Lay out image, mask and fine structure, float32 (n, windows, height, width, 3), 0 outside the mask.

    Images larger than `WINDOW` are seen through windows of that size about random pixels of their masks.
    """
    rng = np.random.default_rng(seed)
    sizes = [min(limit, size) for limit, size in zip(WINDOW, samples.size, strict=True)]
    windows = 1 if sizes == list(samples.size) else WINDOWS
    found = np.empty((len(samples), windows, *sizes, 3), np.float32)
    for indices, images, masks in samples.chunks():
        for index, image, mask in zip(indices, images * masks, masks, strict=True):
            fine = (image - cv2.GaussianBlur(image, (0, 0), BLUR)) * mask
            channels = np.stack([image, mask, fine / FINE], axis=-1)
            inside = np.argwhere(mask) if mask.any() else np.zeros((1, 2), int)
            for number, centre in enumerate(rng.choice(inside, windows)):
                corner = [min(max(c - k // 2, 0), s - k) for c, k, s in zip(centre, sizes, samples.size, strict=True)]
                rows, columns = (slice(first, first + kept) for first, kept in zip(corner, sizes, strict=True))
                found[index, number] = channels[rows, columns]
    return found


def _trained(inputs: np.ndarray, generated: np.ndarray, steps: int, seed: int):
    import_tensorflow_quietly()
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = _network(inputs.shape[2:])
    groups = [np.flatnonzero(generated == label) for label in (False, True)]
    labels = np.repeat([0.0, 1.0], BATCH // 2)
    for step in range(steps):
        network.optimizer.learning_rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        some = np.concatenate([rng.choice(group, BATCH // 2) for group in groups])
        images = inputs[some, rng.integers(inputs.shape[1], size=len(some))]
        network.train_on_batch(_augmented(images, rng), labels)
    return network


def _augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn each image upside down or not, and move it up or down a little; the chest wall stays at the left."""
    limit = max(1, round(SHIFT * images.shape[1]))
    moves, turns = rng.integers(-limit, limit + 1, len(images)), rng.choice([1, -1], len(images))
    return np.stack([np.roll(image, move, axis=0)[::turn] for image, move, turn in zip(images, moves, turns)])


def _network(shape: tuple[int, ...]):
    from keras import Model, layers, losses, optimizers

    image = x = layers.Input(shape)
    first = 2 if shape[0] >= WINDOW[0] else 1
    for filters, strides in ((16, first), (32, 2), (48, 2), (64, 2)):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    model = Model(image, layers.Dense(1, "sigmoid")(layers.Dropout(0.3)(x)))
    model.compile(optimizers.Adam(LEARNING_RATE), losses.BinaryCrossentropy(), jit_compile=False)
    return model


# ------------------------------------------------------------------------------------- the metric


def _compare(metric: Metric, sets: Sets) -> list[Row]:
    """Compare with what the classifier finds between two halves of the real images, where there is nothing to find."""

    def floor() -> Estimate:
        first, second = (sets.real.subset(part) for part in halves(sets.real.subjects, sets.rng))
        return real_or_generated(first, second, seed=sets.seed)

    generated = real_or_generated(*_of_patients(sets), seed=sets.seed)
    return [metric.row(generated, sets.common(metric.name, floor))]


def _of_patients(sets: Sets) -> tuple[Samples, Samples]:
    """Return both sets with subjects that number the same patients, as far as those of generated images are known."""
    patients = _patients_of_masks(sets.real, sets.fake)
    if patients is None:
        return sets.real, sets.fake.with_subjects(sets.subjects[len(sets.real) :])
    of_real = sets.real.require_dataset().field("subject")[sets.real.items]
    numbers = np.unique(np.concatenate([of_real, patients]), return_inverse=True)[1]
    return sets.real.with_subjects(numbers[: len(of_real)]), sets.fake.with_subjects(numbers[len(of_real) :])


def _patients_of_masks(real: Samples, fake: Samples) -> np.ndarray | None:
    """Return the subject of the real dataset whose mask each generated image fills, str (n,); None if not known."""
    if real.dataset is None or fake.dataset is None:
        return None
    made, masks = fake.dataset.meta["made"], fake.dataset.meta["work"]["fingerprint"]
    if made.get("by") != "generate_mammograms" or masks != real.dataset.fingerprint:
        return None
    source = MaskSource(*real.dataset.levels[0], real.dataset.folder, with_images=False)
    patients = real.dataset.field("subject")[source.indices]
    if made.get("study_of_four"):
        studies = source.studies()
        patients = patients[[studies[number][0] for number in range(len(studies))]]
    numbers = [re.fullmatch(r"(?:mask|study)(\d+)", name) for name in fake.dataset.field("subject")[fake.items]]
    if not all(numbers):
        return None
    return patients[[int(number[1]) % len(patients) for number in numbers if number]]


REALISM = Metric("realism_auc_cnn", "AUC of a classifier of generated against real", LOW, _compare, by_default=False)
