"""Training images planted among generated ones are found, whatever was done to them; other real images are not."""

import csv

import cv2
import numpy as np
import pytest
from drawn import power_law_field

from evaluation.image_set import EvaluationError, Samples
from evaluation.metrics.memorisation import (
    Audit,
    Match,
    TrainingIndex,
    aligned,
    audit,
    copy_threshold,
    kind_of_copy,
    textures,
)
from preprocessing.images.read import read_image
from preprocessing.mammograms.breast_mask import breast_mask
from preprocessing.mammograms.standardise import orient, standardise

HEIGHT, WIDTH = 128, 64
Pair = tuple[np.ndarray, np.ndarray]


def breasts(count: int, seed: int) -> Samples:
    """Power-law texture in half ellipses that are all much alike: outlines and thickness are shared, texture is not."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    images, masks = [], []
    for number in range(count):
        radii = rng.uniform((54, 48), (60, 54))
        distance = ((y - 63.5) / radii[0]) ** 2 + (x / radii[1]) ** 2
        field = power_law_field(3, 100_000 * seed + number, HEIGHT, WIDTH)
        masks.append(distance < 1)
        images.append(np.clip(field * np.sqrt(np.maximum(1 - distance, 0)), 0, 1))
    return Samples(np.array(images), np.array(masks), "breasts")


def moved(array: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    return cv2.warpAffine(array.astype(np.float32), np.array(matrix, np.float32), array.shape[::-1])


def turned(array: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    middle = array.shape[1] / 2, array.shape[0] / 2
    return cv2.warpAffine(array.astype(np.float32), cv2.getRotationMatrix2D(middle, degrees, scale), array.shape[::-1])


def noisy(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.clip(image + 0.03 * np.random.default_rng(0).standard_normal(image.shape) * mask, 0, 1)


EDITS = {
    "as it is": lambda image, mask: (image, mask),
    "flipped": lambda image, mask: (image[::-1], mask[::-1]),
    "mirrored": lambda image, mask: (image[:, ::-1], mask[:, ::-1]),
    "shifted by 3": lambda image, mask: tuple(moved(a, [[1, 0, 0], [0, 1, 3]]) for a in (image, mask)),
    "shifted by 3 both ways": lambda image, mask: tuple(moved(a, [[1, 0, 3], [0, 1, -3]]) for a in (image, mask)),
    "noisy": lambda image, mask: (noisy(image, mask), mask),
    "gamma 1.6": lambda image, mask: (image**1.6, mask),
    "half the contrast": lambda image, mask: ((0.5 * image + 0.2) * mask, mask),
    "blurred": lambda image, mask: (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8) * mask, mask),
    "turned by 2°": lambda image, mask: tuple(turned(a, 2) for a in (image, mask)),
}


def planted(training: Samples, others: Samples) -> Samples:
    """Ten training images (every fourth), each edited another way, before the others."""
    originals = zip(*training.read(np.arange(0, 4 * len(EDITS), 4)))
    copies = [edit(image, mask) for edit, (image, mask) in zip(EDITS.values(), originals)]
    images, masks = others.read(np.arange(len(others)))
    return Samples(
        np.concatenate([[image for image, _ in copies], images]),
        np.concatenate([[mask > 0.5 for _, mask in copies], masks]),
    )


def audited(training: Samples, held_out: Samples, generated: Samples) -> Audit:
    index = TrainingIndex(training)
    return audit(index, index.matches(held_out), generated)


@pytest.fixture(scope="module")
def training() -> Samples:
    return breasts(120, 1)


@pytest.fixture(scope="module")
def held_out() -> Samples:
    return breasts(60, 2)


@pytest.fixture(scope="module")
def found(training, held_out):
    return audited(training, held_out, planted(training, breasts(190, 3)))


def test_all_ten_are_flagged_and_at_most_two_others(found):
    missed = [name for number, name in enumerate(EDITS) if number not in found.suspicious]
    assert missed == []
    assert len(found.suspicious) <= 12


def test_each_copy_names_its_original(found):
    assert [match.index for match in found.generated[: len(EDITS)]] == [4 * number for number in range(len(EDITS))]


def test_the_flip_and_the_shift_are_named(found):
    names = list(EDITS)
    assert found.generated[names.index("flipped")].flip == (-1, 1)
    assert found.generated[names.index("mirrored")].flip == (1, -1)
    assert found.generated[names.index("shifted by 3")].shift == (3, 0)
    assert found.generated[names.index("shifted by 3 both ways")].shift == (-3, 3)


def test_held_out_images_raise_no_alarm(training, held_out):
    for seed in (4, 5):
        assert audited(training, held_out, breasts(60, seed)).suspicious == []


def test_a_generator_that_repeats_its_training_set_is_wholly_suspicious(training, held_out):
    found = audited(training, held_out, training.subset(np.arange(30)))
    assert sorted(found.suspicious) == list(range(30))


def test_the_copy_laid_on_its_original_is_exact(found, training):
    images, masks = planted(training, breasts(1, 3)).read(np.arange(10))
    names = list(EDITS)
    for name in ("as it is", "flipped", "mirrored", "shifted by 3"):
        number = names.index(name)
        assert kind_of_copy(images[number], training, found.generated[number])[0] == "exact", name
    kind, similarity = kind_of_copy(images[names.index("noisy")], training, found.generated[names.index("noisy")])
    assert kind == "near" and 0.3 < similarity < 1


def test_aligned_moves_down_and_right(training):
    image = training.read([7])[0][0]
    there = aligned(training, Match(1.0, 7, (-1, 1), (3, -2)))
    assert (there[3:, :-2] == image[::-1][:-3, 2:]).all()
    assert not there[:3].any() and not there[:, -2:].any()


def test_gamma_and_exposure_leave_the_texture(training):
    images, masks = training.read(np.arange(4))
    plain, changed = textures(images, masks), textures(0.3 + 0.5 * images**1.5, masks)
    assert (np.einsum("nij,nij->n", plain, changed) > 0.97).all()


def test_outlines_leave_no_trace():
    """Two flat breasts have the same outline and nothing in common."""
    mask = breasts(1, 1).read([0])[1]
    rng = np.random.default_rng(0)
    flat = [0.5 * mask + 1e-3 * rng.standard_normal(mask.shape) for _ in range(2)]
    first, second = (textures(np.clip(image, 0, 1), mask) for image in flat)
    assert abs((first * second).sum()) < 0.15


def test_the_threshold_lies_above_every_held_out_score_and_rises_with_the_audit_s_size():
    scores = np.tanh(0.4 + 0.05 * np.random.default_rng(0).gumbel(size=100))
    few, many = (copy_threshold(scores, images) for images in (10, 10_000))
    assert scores.max() < few < many < 1


def test_the_threshold_of_gumbel_scores_by_its_law():
    """P(z > t) = 1 − exp(−exp(−(t − μ)/β)) = 0.01/200."""
    scores = np.tanh(0.4 + 0.05 * np.random.default_rng(0).gumbel(size=200_000))
    expected = np.tanh(0.4 - 0.05 * np.log(-np.log(1 - 0.01 / 200)))
    assert copy_threshold(scores[:5000], 200) == pytest.approx(expected, abs=0.03)


def test_the_coarse_stage_does_not_depend_on_the_chunk(training, held_out, monkeypatch):
    judged = held_out.subset(np.arange(10))
    before = TrainingIndex(training).matches(judged)
    monkeypatch.setattr("evaluation.image_set.CHUNK", 3)
    assert [m.index for m in TrainingIndex(training).matches(judged)] == [m.index for m in before]


def test_a_real_set_of_films(shared_data):
    """Ten edited training films among films of other patients: the ten and no other are flagged."""
    folder = shared_data / "cbis-films"
    with open(folder / "films.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["view"] == "MLO"]
    subjects = sorted({row["subject"] for row in rows})[:100]
    parts = {subject: (number >= 50) + (number >= 75) for number, subject in enumerate(subjects)}
    sets: list[list[Pair]] = [[], [], []]
    for row in rows:
        if row["subject"] in parts:
            pixels = read_image(folder / "images" / row["image"]).pixels
            small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            sets[parts[row["subject"]]].append(standardise(*orient(small, breast_mask(small))[:2], HEIGHT, WIDTH))
    training, held_out, others = (Samples(*map(np.array, zip(*pairs))) for pairs in sets)
    found = audited(training, held_out, planted(training, others))
    assert set(range(10)) - set(found.suspicious) == set()
    assert len(found.suspicious) <= 12
    assert audited(training, held_out, others).suspicious == []


# --- what it refuses ----------------------------------------------------------------------------


def test_images_of_another_size_are_refused(training, held_out):
    with pytest.raises(EvaluationError, match="128x64 .* 64x64"):
        audited(training, held_out, Samples(np.zeros((3, 64, 64))))


def test_images_without_texture_cannot_be_audited():
    breasts = np.zeros((30, 8, 4), bool)
    breasts[:, 1:7, :3] = True
    some, others = (Samples(np.random.default_rng(seed).random(breasts.shape, np.float32), breasts) for seed in (0, 1))
    index = TrainingIndex(some)
    with pytest.raises(EvaluationError, match="images of 8x4 are too small to have texture"):
        audit(index, index.matches(others), others)
