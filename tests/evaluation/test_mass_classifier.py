"""The classifier of masses learns what can be learned, the same way each time."""

import numpy as np
import pytest
from drawn import masses

from evaluation.image_set import EvaluationError
from evaluation.mass_classifier import (
    HEADS,
    SHIFT,
    Masses,
    augmented,
    class_weights,
    hold_back,
    standardised,
    train_classifier,
)
from preprocessing.masses.item import mass_item
from preprocessing.shards import DatasetWriter, open_dataset

TRAINING = masses(96, 0)


@pytest.fixture(scope="module")
def trained():
    return train_classifier(TRAINING, steps=80)


def test_it_learns_shape_and_margin(trained):
    unseen = masses(80, 1)
    for head, probabilities in trained.predict(unseen.images).items():
        assert (probabilities.argmax(axis=1) == unseen.labels[head]).mean() > 0.9, head
        assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_the_same_seed_gives_the_same_classifier(trained):
    images = masses(4, 1).images
    first, again = (one.predict(images) for one in (trained, train_classifier(TRAINING, steps=80)))
    assert all((first[head] == again[head]).all() for head in HEADS)


def test_another_seed_holds_other_patients_back():
    assert hold_back(TRAINING, 3)[1].tolist() != hold_back(TRAINING, 4)[1].tolist()


def test_exposure_is_no_clue(trained):
    images = masses(8, 2).images
    darker = trained.predict(images * 0.5 + 0.1)
    for head, probabilities in trained.predict(images).items():
        assert darker[head] == pytest.approx(probabilities, abs=1e-3)
    assert standardised(images).mean(axis=(1, 2, 3)) == pytest.approx(0, abs=1e-5)


def test_patients_are_held_back_whole():
    fit, back = hold_back(TRAINING, seed=0)
    assert not set(TRAINING.subjects[fit]) & set(TRAINING.subjects[back])
    assert len(fit) + len(back) == 96 and len(back) == 14  # 7 of 48 patients


def test_rare_classes_weigh_more_and_unknown_ones_nothing():
    weights = class_weights(np.array([0, 0, 0, 2, -1]), classes=3)
    assert weights == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 0])


def test_augmentation_flips_and_shifts():
    """A single bright pixel lands where flips and shifts of up to 4 can bring it, and in many places."""
    image = np.zeros((400, 17, 17, 1), np.float32)
    image[:, 8, 8] = 1
    y, x = np.nonzero(augmented(image, np.random.default_rng(0))[..., 0])[1:]
    assert set(y) == set(x) == set(range(8 - SHIFT, 8 + SHIFT + 1))
    side = np.zeros((200, 17, 17, 1), np.float32)
    side[:, :, 0] = 1
    found = augmented(side, np.random.default_rng(0))[..., 0].sum(axis=1).argmax(axis=1)
    assert {0, 16} <= set(found)


def test_a_dataset_of_masses(tmp_path):
    writer = DatasetWriter(
        tmp_path / "data",
        "mass",
        count=2,
        made={"by": "tests"},
        levels=[(64, 64)],
        classes={"shape": ["round"], "margin": ["soft"]},
    )
    white = np.ones((64, 64), np.float32)
    items = [mass_item(white, subject=f"{label + 1:016d}", shape=label, margin=0) for label in (0, -1)]
    writer.write(0, items)
    found = Masses.of_dataset(writer.finish())
    assert found.images.shape == (2, 64, 64) and found.images.max() == 1
    assert found.labels["shape"].tolist() == [0, -1] and found.classes["margin"] == ["soft"]


def test_some_masses_of_a_dataset_keep_image_and_label_together(tiny_masses_dataset):
    numbers = np.array([3, 1, 30, 17])
    every, some = (Masses.of_dataset(tiny_masses_dataset, items=items) for items in (None, numbers))
    assert len(every) == tiny_masses_dataset.count
    np.testing.assert_array_equal(some.images, every.images[numbers])
    np.testing.assert_array_equal(some.labels["shape"], every.labels["shape"][numbers])


# --- what it refuses ----------------------------------------------------------------------------


def test_mammograms_are_refused(tiny_dataset):
    with pytest.raises(EvaluationError, match="holds mammogram data"):
        Masses.of_dataset(open_dataset(tiny_dataset.folder))


def test_too_few_masses_patients_or_classes_are_told():
    with pytest.raises(EvaluationError, match="at least 20 masses to train on, there are 6"):
        train_classifier(TRAINING.subset(np.arange(6)))
    one = Masses(TRAINING.images, TRAINING.labels, TRAINING.classes, np.zeros(96, str))
    with pytest.raises(EvaluationError, match="at least 2 patients, there is 1"):
        train_classifier(one)
    with pytest.raises(EvaluationError, match="at least 2 classes of shape, there is 1"):
        train_classifier(TRAINING.subset(np.flatnonzero(TRAINING.labels["shape"] == 0)))
