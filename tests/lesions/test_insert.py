from dataclasses import replace

import numpy as np
import pytest
import tiny_lesions

from lesions.breast import Breast
from lesions.insert import Host, choose_place, insert_at, scaled, touching
from lesions.masses import mass_source
from lesions.outline import mask_of
from lesions.placement import Place, read_placement

MASK = tiny_lesions.breast_mask()


def host(**changes) -> Host:
    return replace(Host(np.float32(tiny_lesions.tissue(7, MASK.shape) * MASK), Breast(MASK), "CC"), **changes)


def bright_above() -> Host:
    return host(image=np.float32(host().image * np.where(np.arange(512)[:, None] < 256, 1.0, 0.33)))


@pytest.fixture(scope="module")
def patch(mammograms):
    return mass_source(mammograms).patch(0)


def inserted(patch, seed: int = 0, on: Host | None = None, method: str = "poisson", **options):
    place = choose_place(on or host(), patch, read_placement(), np.random.default_rng(seed), **options)
    return place and insert_at(on or host(), patch, place, method)


@pytest.mark.parametrize("seed", range(8))
def test_a_mass_lies_inside_the_breast(patch, seed):
    outline = mask_of(inserted(patch, seed).annotation.outline, MASK.shape)
    assert outline.any() and not (outline & ~MASK).any()


def test_only_the_surroundings_of_the_mass_change(patch):
    result = inserted(patch)
    x, y, width, height = result.annotation.box
    changed = np.argwhere(result.image != host().image)
    reach = 0.7 * max(width, height)
    assert changed[:, 0].min() >= y - reach and changed[:, 0].max() <= y + height + reach
    assert changed[:, 1].min() >= x - reach and changed[:, 1].max() <= x + width + reach


def test_the_mass_is_brighter_than_what_was_there(patch):
    result = inserted(patch)
    outline = mask_of(result.annotation.outline, MASK.shape)
    assert result.image[outline].mean() > host().image[outline].mean() + 0.1


def test_one_seed_one_result(patch):
    one, other, third = (inserted(patch, seed) for seed in (3, 3, 4))
    assert one.annotation == other.annotation and (one.image == other.image).all()
    assert one.annotation != third.annotation


def test_a_native_mass_keeps_its_size_and_a_given_one_is_taken(patch):
    assert inserted(patch).annotation.longest_side == pytest.approx(30)
    assert inserted(patch, size=45.0).annotation.longest_side == pytest.approx(45, rel=0.03)


def test_a_given_centre_is_taken(patch):
    x, y = inserted(patch, centre=(80.0, 250.0)).annotation.centre
    assert abs(x - 80) <= 0.5 and abs(y - 250) <= 0.5


def test_outside_the_breast_there_is_no_room(patch):
    assert inserted(patch, centre=(250.0, 20.0)) is None
    assert insert_at(host(), patch, Place(300, 600, 30, 24)) is None


def test_lesions_are_not_covered(patch):
    other = (60.0, 230.0, 40.0, 40.0)
    assert inserted(patch, on=host(lesions=(other,)), centre=(80.0, 250.0)) is None
    for seed in range(5):
        assert not touching(inserted(patch, seed, on=host(lesions=(other,))).annotation.box, other)


def test_the_place_resembles_where_the_mass_comes_from(patch):
    """One half of the breast is as bright as the mass's own surroundings, the other three times darker."""
    places = [choose_place(bright_above(), patch, read_placement(), np.random.default_rng(seed)) for seed in range(20)]
    assert np.mean([place.y < 256 for place in places]) > 0.8


def test_masses_of_no_known_place_do_not_crowd_where_the_breast_resembles_their_surroundings(patch):
    moved = replace(patch, place=None)
    places = [choose_place(bright_above(), moved, read_placement(), np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([place.y > 256 for place in places]) > 0.2


def test_labels_come_along(patch):
    annotation = inserted(patch).annotation
    assert (annotation.shape, annotation.margin, annotation.synthetic) == ("oval", "circumscribed", True)


def test_scaling_scales_everything(patch):
    double = scaled(patch, 2.0)
    assert double.image.shape == tuple(2 * length for length in patch.image.shape)
    assert np.allclose(double.box, np.multiply(2, patch.box))
    assert double.outline.sum() == pytest.approx(4 * patch.outline.sum(), rel=0.05)


def test_boxes_that_touch():
    assert touching((0, 0, 4, 4), (3, 3, 4, 4))
    assert not touching((0, 0, 4, 4), (4, 0, 4, 4))
    assert touching((0, 0, 4, 4), (5, 0, 4, 4), apart=2)
    assert not touching((0, 0, 4, 4), (0, 9, 4, 4), apart=2)


def test_a_drawn_mass_gets_a_contrast_of_real_ones():
    from lesions.masses import PhantomMasses

    result = inserted(PhantomMasses().patch(0), centre=(80.0, 250.0), size=30.0)
    outline = mask_of(result.annotation.outline, MASK.shape)
    assert 0.05 < result.image[outline].mean() - host().image[outline].mean() < 0.3


def test_skin_cuts_off_what_hangs_over_it(patch):
    x, y = 190.0 - patch.longest_side / 2 + 3, 255.0
    annotation = inserted(patch, centre=(x, y)).annotation
    outline = mask_of(annotation.outline, MASK.shape)
    assert 0.85 * patch.outline.sum() < outline.sum() < patch.outline.sum() and not (outline & ~MASK).any()


def test_a_mass_that_the_chest_wall_cuts_lies_at_a_chest_wall(patch):
    cut = replace(patch, at_wall=True)
    assert [inserted(cut, seed).annotation.box[0] for seed in range(3)] == [0, 0, 0]
    assert inserted(cut, centre=(80.0, 250.0)) is None
