import cv2
import numpy as np
import pytest
import tiny_lesions

from lesions.blend import METHODS, Pair, below_white, multiply, octaves, paste, poisson, ring, soft_region
from lesions.smooth import bands, spread

SIZE = 64


def disc(radius: float = 12) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.hypot(y, x) < radius


def pair(window: np.ndarray | None = None, mass: np.ndarray | None = None, **changes) -> Pair:
    whole = np.ones((SIZE, SIZE), bool)
    bright = tiny_lesions.tissue(2, (SIZE, SIZE)) + 0.2 * cv2.GaussianBlur(np.float32(disc()), (0, 0), 1.5)
    values = {
        "window": tiny_lesions.tissue(1, (SIZE, SIZE)) if window is None else window,
        "breast": whole,
        "mass": bright if mass is None else mass,
        "valid": whole,
        "outline": disc(),
        "side": 24.0,
    }
    return Pair(**{name: np.float32(v) if name in ("window", "mass") else v for name, v in (values | changes).items()})


@pytest.mark.parametrize("method", ["octaves", "poisson", "multiply"])
def test_far_from_the_mass_nothing_changes(method):
    one = pair()
    far = one.distance > 0.7 * one.side
    assert (METHODS[method](one)[far] == one.window[far]).all()


@pytest.mark.parametrize("method", ["octaves", "poisson", "multiply"])
def test_a_mass_keeps_its_contrast(method):
    one = pair()
    around = ring(one)
    contrast = [image[one.outline].mean() - image[around].mean() for image in (one.mass, METHODS[method](one))]
    assert contrast[1] == pytest.approx(contrast[0], rel=0.3)


@pytest.mark.parametrize("method", ["octaves", "poisson", "multiply"])
def test_what_is_no_breast_is_left_alone(method):
    breast = np.ones((SIZE, SIZE), bool)
    breast[:, 50:] = False
    one = pair(breast=breast, window=np.where(breast, tiny_lesions.tissue(1, (SIZE, SIZE)), 0))
    assert (METHODS[method](one)[~breast] == 0).all()


def test_poisson_forgets_a_constant():
    window = tiny_lesions.tissue(1, (SIZE, SIZE))
    assert np.allclose(poisson(pair(window=window, mass=window + 0.3)), window, atol=1e-5)


def test_poisson_has_the_gradients_of_the_mass_inside():
    one = pair()
    laplacians = [cv2.Laplacian(np.float64(image), cv2.CV_64F) for image in (poisson(one), one.mass)]
    assert np.allclose(laplacians[0][one.outline], laplacians[1][one.outline], atol=1e-5)


def test_a_flat_patch_multiplies_by_one():
    one = pair(mass=np.full((SIZE, SIZE), 0.6))
    assert np.allclose(multiply(one), one.window, atol=1e-4)


def test_octaves_take_their_brightness_from_the_surroundings():
    dark = 0.5 * tiny_lesions.tissue(1, (SIZE, SIZE))
    one = pair(window=dark)
    ratio = octaves(one)[one.outline].mean() / dark[ring(one)].mean()
    assert ratio == pytest.approx(one.mass[one.outline].mean() / one.mass[ring(one)].mean(), rel=0.1)


def test_octaves_leave_no_weak_seam():
    """Averaging two textures would halve their power half-way; here it stays."""
    one = pair(mass=tiny_lesions.tissue(2, (SIZE, SIZE)))
    weight = soft_region(one, 0.08, 0.3)
    seam = (weight > 0.2) & (weight < 0.8)
    power = [
        np.mean([spread(bands(f(one) if f else one.window)[0], seam) ** 2 for one in (one,)]) for f in (None, octaves)
    ]
    assert power[1] == pytest.approx(power[0], rel=0.25)


def test_a_patch_without_grain_gets_that_of_the_window():
    smooth = cv2.GaussianBlur(pair().mass, (0, 0), 3)
    one = pair(mass=smooth)
    inside = one.outline
    strengths = [spread(bands(image)[0], inside) for image in (one.window, octaves(one))]
    assert strengths[1] == pytest.approx(strengths[0], rel=0.25)
    assert spread(bands(smooth)[0], inside) < 0.25 * strengths[0]


def test_a_paste_is_the_patch():
    one = pair()
    assert (paste(one) == one.mass).all()


def test_weights_fall_from_one_in_the_mass_to_zero():
    one = pair()
    weight, distance = soft_region(one, 0.1, 0.4), one.distance
    assert (weight[distance <= 2.4] == 1).all() and (weight[distance >= 9.6] == 0).all()
    assert np.diff(weight[SIZE // 2, SIZE // 2 :]).max() <= 1e-6


@pytest.mark.parametrize("method", ["octaves", "poisson", "multiply"])
def test_a_mass_does_not_turn_white_in_bright_tissue(method):
    dark = np.where(disc(), 0.6, 0.2) + 0.01 * tiny_lesions.tissue(2, (SIZE, SIZE))
    one = pair(window=0.5 + 0.5 * tiny_lesions.tissue(1, (SIZE, SIZE)), mass=dark)
    result = METHODS[method](one)
    assert np.mean(result[one.outline] > 0.99) < 0.02
    assert result[one.outline].mean() > one.window[ring(one)].mean() + 0.1


def test_what_is_not_white_keeps_its_contrast():
    mass = pair().mass
    assert (below_white(mass, 0.4, disc()) == mass).all()
