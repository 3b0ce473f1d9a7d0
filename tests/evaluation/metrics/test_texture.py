"""The power law of made textures is found again."""

import numpy as np
import pytest
from drawn import power_law_field

from evaluation.image_set import EvaluationError
from evaluation.metrics.texture import needs_room, patches_inside, power_law_exponent, radial_spectrum


@pytest.mark.parametrize("beta", [2.0, 2.8, 3.5])
def test_the_exponent_of_made_fields(beta):
    """Each within 0.15; their mean, as the metric uses them, within 0.1."""
    found = [power_law_exponent(power_law_field(beta, seed), np.ones((512, 256), bool)) for seed in range(8)]
    assert np.mean(found) == pytest.approx(beta, abs=0.1)
    assert found == pytest.approx([beta] * 8, abs=0.15)


@pytest.mark.parametrize("beta", [2.0, 2.8, 3.5])
def test_the_exponent_inside_a_breast(beta):
    """Half an ellipse; outside it is black, which would otherwise be a steep edge."""
    y, x = np.mgrid[:512, :256]
    mask = ((y - 256) / 240) ** 2 + (x / 200) ** 2 < 1
    found = [power_law_exponent(power_law_field(beta, seed) * mask, mask) for seed in range(8)]
    assert np.mean(found) == pytest.approx(beta, abs=0.1)


@pytest.mark.parametrize("beta", [2.0, 2.8, 3.5])
def test_the_exponent_of_a_patch_the_size_of_a_mass(beta):
    found = [power_law_exponent(power_law_field(beta, seed)[:64, :64], np.ones((64, 64), bool)) for seed in range(40)]
    assert np.mean(found) == pytest.approx(beta, abs=0.1)


def test_brightness_and_contrast_do_not_change_the_exponent():
    field, mask = power_law_field(3, 0), np.ones((512, 256), bool)
    assert power_law_exponent(0.2 + 0.3 * field, mask) == pytest.approx(power_law_exponent(field, mask))


def test_a_flat_image_or_a_narrow_mask_has_no_exponent():
    assert np.isnan(power_law_exponent(np.full((128, 128), 0.5), np.ones((128, 128), bool)))
    narrow = np.zeros((512, 256), bool)
    narrow[:, :60] = True
    assert np.isnan(power_law_exponent(power_law_field(3, 0), narrow))


def test_white_noise_has_its_variance_at_every_frequency():
    image = np.random.default_rng(0).standard_normal((512, 512))
    frequency, power = radial_spectrum(image, np.ones((512, 512), bool))
    assert frequency[[0, -1]] == pytest.approx([1 / 64, 0.5])
    assert power[2:] == pytest.approx(1, abs=0.15)


def test_patches_lie_wholly_inside():
    mask = np.zeros((128, 128), bool)
    mask[:, :96] = True
    assert len(patches_inside(np.zeros((128, 128)), mask)) == 3 * 2


def test_images_without_room_for_a_patch():
    needs_room(64, 64)
    with pytest.raises(EvaluationError, match="at least 64x64 pixels, these are 128x32"):
        needs_room(128, 32)
