"""Real or generated: nothing is found where there is nothing, and what is there is found."""

from types import SimpleNamespace

import numpy as np
import pytest

from evaluation.image_set import EvaluationError, Samples
from evaluation.metrics.realism import _inputs, real_or_generated

SIZE = 16


def textured(count: int, blur: int, seed: int) -> Samples:
    """Noise that is smoothed along rows over `blur` pixels, of equal strength; a mask that leaves the right edge."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, SIZE, SIZE + blur - 1))
    smooth = np.stack([noise[:, :, shift : shift + SIZE] for shift in range(blur)]).mean(axis=0)
    images = np.clip(0.5 + 0.15 * smooth / smooth.std(), 0, 1)
    masks = np.ones(images.shape, bool)
    masks[:, :, -3:] = False
    return Samples(images, masks, "images", np.arange(count) // 2)


def test_images_of_one_kind_cannot_be_told_apart():
    found = real_or_generated(textured(80, 2, 0), textured(80, 2, 1), steps=30, folds=2)
    assert found.low < 0.5 < found.high and abs(found.value - 0.5) < 0.15


def test_smoother_images_are_told_apart():
    found = real_or_generated(textured(80, 2, 0), textured(80, 4, 1), steps=60, folds=2)
    assert found.value > 0.85 and found.low > 0.75


def test_what_lies_outside_the_mask_is_no_clue():
    bright = textured(60, 2, 1)
    bright._images[:, :, -3:] = 1.0
    assert abs(real_or_generated(textured(60, 2, 0), bright, steps=30, folds=2).value - 0.5) < 0.2


def test_large_images_are_seen_through_windows():
    rng = np.random.default_rng(0)
    masks = np.zeros((20, 256, 128), bool)
    masks[:, 100:150, :60] = True
    sets = [Samples(rng.random(masks.shape, np.float32), masks, "images", np.arange(20)) for _ in range(2)]
    inputs = _inputs(sets[0], seed=0)
    assert inputs.shape == (20, 3, 128, 64, 3)
    assert inputs[..., 1].any(axis=(2, 3)).all()
    assert 0 <= real_or_generated(*sets, steps=2, folds=2).value <= 1


def test_too_few_patients_are_refused():
    with pytest.raises(EvaluationError, match="needs 20 patients, there are 5"):
        real_or_generated(textured(10, 2, 0), textured(10, 2, 1))


@pytest.mark.parametrize("few", [0, 1])
def test_a_set_of_fewer_patients_than_folds_is_refused(few):
    sets = [textured(60, 2, 0), textured(60, 2, 1)]
    sets[few] = sets[few].with_subjects(100 + np.arange(60) % 4)
    with pytest.raises(EvaluationError, match="needs images of 5 patients .or masks. in either set, there are 4"):
        real_or_generated(*sets)


def test_every_fold_leaves_images_of_either_set(monkeypatch):
    """However patients are drawn: two in twenty are real."""
    monkeypatch.setattr("evaluation.metrics.realism._trained", lambda inputs, generated, *rest: trained(generated))
    few, many = textured(4, 2, 0), textured(36, 2, 1).with_subjects(10 + np.arange(36) // 2)

    def trained(generated: np.ndarray):
        assert 0 < generated.sum() < len(generated)
        return SimpleNamespace(predict=lambda windows, **how: np.zeros((len(windows), 1)))

    for seed in range(20):
        real_or_generated(few, many, seed=seed, folds=2)
