"""A small classifier of masses by shape and margin, which judges labels of generated masses and what they add.

It is small on purpose: two thousand masses train in about a minute on one core, so that a study can train dozens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evaluation.image_set import EvaluationError
from preprocessing.counted import there_are
from preprocessing.shards import Dataset
from preprocessing.tensorflow_settings import import_tensorflow_quietly

if TYPE_CHECKING:
    import keras

HEADS = ("shape", "margin")
BATCH = 32
STEPS = 1500
CHECK_EVERY = 50  # steps
PATIENCE = 8  # checks without a lower loss on the patients that are held back
HELD_BACK = 0.15  # of the patients, to stop early
SHIFT = 4  # pixels, of the augmentation
LEARNING_RATE = 2e-3
LEAST_MASSES = 20


@dataclass(frozen=True)
class Masses:
    """Labelled masses in memory.

    Attributes:
        images: float32 (n, height, width) in [0, 1].
        labels: "shape" and "margin" → int (n,); −1 is unknown and neither trains nor counts.
        classes: "shape" and "margin" → their names.
        subjects: str (n,), whose masses they are; patients, not masses, are held back.
    """

    images: np.ndarray
    labels: dict[str, np.ndarray]
    classes: dict[str, list[str]]
    subjects: np.ndarray = field(default_factory=lambda: np.empty(0, str))

    @classmethod
    def of_dataset(cls, dataset: Dataset, split: str | None = None, *, items: np.ndarray | None = None) -> "Masses":
        """Read the masses of a dataset.

        Args:
            split: whose masses; None for all.
            items: indices of the masses in the dataset. Defaults to those of the split.

        Raises:
            EvaluationError: a dataset of another kind.
        """
        if dataset.kind != "mass":
            raise EvaluationError(f"{dataset.folder}: holds {dataset.kind} data, but masses are needed here")
        indices = dataset.indices(split) if items is None else items
        return cls(
            dataset.images(dataset.levels[-1], indices),
            {head: dataset.field(head)[indices].astype(int) for head in HEADS},
            {head: dataset.classes(head) for head in HEADS},
            dataset.field("subject")[indices],
        )

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: np.ndarray) -> "Masses":
        """Take some of the masses."""
        labels = {head: values[indices] for head, values in self.labels.items()}
        return Masses(self.images[indices], labels, self.classes, self.subjects[indices])


def hold_back(masses: Masses, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split masses by patient: indices to train on, and those held back to know when to stop; neither is empty."""
    subjects = np.unique(masses.subjects)
    if len(subjects) < 2:
        raise EvaluationError(f"a classifier needs masses of at least 2 patients, {there_are(len(subjects))}")
    order = np.random.default_rng(seed).permutation(subjects)
    back = order[: max(1, round(HELD_BACK * len(order)))]
    is_back = np.isin(masses.subjects, back)
    return np.flatnonzero(~is_back), np.flatnonzero(is_back)


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weigh each mass so that all classes that occur weigh alike and the mean is 1; 0 where unknown."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    weights = np.where(counts > 0, counts.sum() / np.maximum(counts, 1) / max((counts > 0).sum(), 1), 0)
    return np.where(labels >= 0, weights[labels], 0).astype(np.float32)


class MassClassifier:
    """Trained by `train_classifier`; predicts class probabilities of both heads."""

    def __init__(self, model: "keras.Model"):
        self.model = model

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predict probabilities (n, classes) of "shape" and "margin" for images (n, height, width) in [0, 1]."""
        outputs = self.model.predict(standardised(images), batch_size=256, verbose=0)
        return dict(zip(HEADS, map(np.asarray, outputs)))


def train_classifier(
    masses: Masses, validation: Masses | None = None, *, augment: bool = True, seed: int = 0, steps: int = STEPS
) -> MassClassifier:
    """Train on masses, until those for validation are predicted no better.

    Args:
        validation: on which nothing is trained. Defaults to the masses of some patients, which are held back.
        augment: random flips and shifts of up to 4 pixels.
        seed: of weights, order, augmentation and who is held back. It also becomes Keras' global seed; on CPUs
            equal calls give equal classifiers, bit by bit.
        steps: at most, in batches of 32.

    Raises:
        EvaluationError: fewer than 20 masses or 2 patients, or a head without two known classes.
    """
    _check(masses)
    import_tensorflow_quietly()
    import keras

    keras.utils.set_random_seed(seed)
    if validation is None:
        masses, validation = (masses.subset(part) for part in hold_back(masses, seed))
    model = _network(masses.images.shape[1:], {head: len(names) for head, names in masses.classes.items()})
    rng = np.random.default_rng(seed)
    judged = (standardised(validation.images), *_targets(validation))
    inputs, targets, weights = standardised(masses.images), *_targets(masses)
    best, best_weights, waited = np.inf, model.get_weights(), 0
    order = np.empty(0, int)
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order = np.concatenate([order, *(rng.permutation(len(inputs)) for _ in range(-(-BATCH // len(inputs))))])
        some, order = order[:BATCH], order[BATCH:]
        model.optimizer.learning_rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps))
        images = augmented(inputs[some], rng) if augment else inputs[some]
        model.train_on_batch(images, [t[some] for t in targets], [w[some] for w in weights])
        if step % CHECK_EVERY == 0 or step == steps:
            loss = _loss(model, *judged)
            if loss < best:
                best, best_weights, waited = loss, model.get_weights(), 0
            elif (waited := waited + 1) >= PATIENCE:
                break
    model.set_weights(best_weights)
    return MassClassifier(model)


def _loss(model: "keras.Model", images: np.ndarray, targets: list[np.ndarray], weights: list[np.ndarray]) -> float:
    loss = model.evaluate(images, targets, sample_weight=weights, batch_size=256, verbose=0)
    return loss[0] if isinstance(loss, Sequence) else loss


def standardised(images: np.ndarray) -> np.ndarray:
    """Give each image mean 0 and deviation 1, so that exposure is no clue: float32 (n, height, width, 1)."""
    images = np.asarray(images, np.float32)
    mean, spread = images.mean(axis=(1, 2), keepdims=True), images.std(axis=(1, 2), keepdims=True)
    return ((images - mean) / np.maximum(spread, 1e-3))[..., None]


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip each image or not, both ways, and shift it by up to 4 pixels; what is uncovered repeats the edge."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), "edge")
    result = np.empty_like(images)
    for out, image in zip(result, padded):
        (y, x), (up, left) = rng.integers(0, 2 * SHIFT + 1, 2), rng.choice([1, -1], 2)
        out[...] = image[y : y + height, x : x + width][::up, ::left]
    return result


def _network(size: tuple[int, int], classes: dict[str, int]) -> "keras.Model":
    from keras import Model, layers, losses, optimizers

    image = x = layers.Input((*size, 1))
    for filters in (16, 24, 32, 64):
        x = layers.Conv2D(filters, 3, strides=2 if filters == 16 else 1, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D()(x) if filters != 16 else x
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dropout(0.3)(x)
    outputs = [layers.Dense(count, "softmax", name=head)(x) for head, count in classes.items()]
    model = Model(image, outputs)
    entropies = [losses.SparseCategoricalCrossentropy() for _ in outputs]
    model.compile(optimizers.Adam(LEARNING_RATE), entropies, jit_compile=False)
    return model


def _targets(masses: Masses) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return (labels, weights), a list of the two heads each."""
    labels = [masses.labels[head] for head in HEADS]
    weights = [class_weights(masses.labels[head], len(masses.classes[head])) for head in HEADS]
    return [np.maximum(values, 0) for values in labels], weights


def _check(masses: Masses) -> None:
    if len(masses) < LEAST_MASSES:
        raise EvaluationError(
            f"a classifier needs at least {LEAST_MASSES} masses to train on, {there_are(len(masses))}"
        )
    for head in HEADS:
        known = np.unique(masses.labels[head][masses.labels[head] >= 0])
        if len(known) < 2:
            raise EvaluationError(f"a classifier needs at least 2 classes of {head}, {there_are(len(known))}")
