"""What new masses are mixed from."""

from dataclasses import replace

import numpy as np
import pytest

from feature2mass.seeds import MIRRORS, Category, MassGeneratorError, Recipe, categories, mirrored, recipe, seed_image
from feature2mass.settings import ALL_OF_MIXING, Mixing


def category(shape: int, margin: int, seeds: np.ndarray) -> Category:
    """Masses that look like noise."""
    looks = np.random.default_rng(0).random((len(seeds), 16, 16), np.float32)
    return Category(shape, margin, seeds, looks, mean=looks.mean())


MANY = category(0, 0, np.arange(100, 130))  # thirty masses
FEW = category(1, 0, np.arange(6))
ONE = category(0, 1, np.array([7]))


def test_twenty_different_seeds_of_the_category():
    one = recipe(0, [MANY])
    assert len(one.seeds) == len(np.unique(one.seeds)) == 20 and set(one.seeds) <= set(MANY.seeds)


def looks_of(one) -> np.ndarray:
    """The seeds as the recipe mirrors them, (n, 16, 16)."""
    images = one.category.thumbnails[np.searchsorted(one.category.seeds, one.seeds)]
    return mirrored(images)[one.mirrors, np.arange(len(images))]


@pytest.mark.parametrize("wanted", [MANY, FEW, ONE])
def test_the_more_a_seed_resembles_the_first_the_larger_its_weight(wanted):
    for number in range(5):
        one = recipe(number, [wanted])
        looks = looks_of(one)
        assert (np.diff(np.square(looks - looks[0]).mean(axis=(1, 2))) >= 0).all()
        assert (np.diff(one.weights) <= 0).all()


def test_seeds_are_mirrored_so_as_to_resemble_the_first():
    one = recipe(0, [MANY])
    leader, others = looks_of(one)[0], looks_of(one)[1:]
    for look in others:
        errors = np.square(mirrored(look) - leader).mean(axis=(1, 2))
        assert errors.argmin() == 0


def test_the_first_is_mirrored_by_lot():
    assert {int(recipe(number, [MANY]).mirrors[0]) for number in range(40)} == {0, 1, 2, 3}


def test_weights_are_multiples_of_a_twentieth_that_sum_to_1():
    for number in range(50):
        weights = recipe(number, [MANY]).weights
        np.testing.assert_allclose(weights * 20, np.round(weights * 20), atol=1e-9)
        assert weights.sum() == pytest.approx(1)


def test_fewer_than_twenty_masses_lend_their_mirror_images_up_to_twenty():
    one = recipe(0, [FEW])
    keys = set(zip(one.seeds.tolist(), one.mirrors.tolist()))
    assert len(one.seeds) == len(keys) == 20
    assert {(seed, 0) for seed in range(6)} <= keys  # all as they are, and 14 of 18 mirror images


def test_a_single_mass_is_mixed_with_its_three_mirror_images():
    one = recipe(0, [ONE])
    assert one.seeds.tolist() == [7] * 4 and sorted(one.mirrors) == [0, 1, 2, 3]


def test_recipes_are_a_function_of_seed_and_number():
    a, b, c, d = (recipe(number, [MANY], seed) for number, seed in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert np.array_equal(a.seeds, b.seeds) and np.array_equal(a.weights, b.weights)
    assert not np.array_equal(a.seeds, c.seeds) and not np.array_equal(a.seeds, d.seeds)


def test_categories_take_turns():
    assert [recipe(number, [MANY, FEW, ONE]).category for number in range(4)] == [MANY, FEW, ONE, MANY]


def test_the_top_three_are_those_of_largest_weight():
    one = recipe(5, [MANY])
    assert sorted(one.weights)[-3:] == sorted(one.weights[one.top()])
    assert (np.diff(one.weights[one.top()]) <= 0).all()


def test_seeds_are_of_the_category_and_the_training_split(tiny_masses_dataset):
    training = set(tiny_masses_dataset.indices("train"))
    found = categories(tiny_masses_dataset)
    assert {(c.shape, c.margin) for c in found} == {(0, 0), (0, 1), (1, 0), (2, 1)}
    for category in found:
        assert set(category.seeds) <= training
        for field in ("shape", "margin"):
            assert set(tiny_masses_dataset.field(field)[category.seeds]) == {getattr(category, field)}


@pytest.mark.parametrize(
    "wanted, found",
    [
        ({"shape": "round"}, {(0, 0), (0, 1)}),
        ({"margin": "spiculated"}, {(0, 1), (2, 1)}),
        ({"shape": "irregular", "margin": "spiculated"}, {(2, 1)}),
    ],
)
def test_a_wanted_class_narrows_the_categories(tiny_masses_dataset, wanted, found):
    assert {(c.shape, c.margin) for c in categories(tiny_masses_dataset, **wanted)} == found


@pytest.mark.parametrize("mirror, name", enumerate(MIRRORS))
def test_mirrored_seeds(tiny_masses_dataset, mirror, name):
    plain, mirrored = seed_image(tiny_masses_dataset, 3), seed_image(tiny_masses_dataset, 3, mirror)
    wanted = {"no": plain, "left-right": plain[:, ::-1], "top-bottom": plain[::-1], "both": plain[::-1, ::-1]}
    np.testing.assert_array_equal(mirrored, wanted[name])


@pytest.mark.parametrize(
    "wanted", [{"shape": "oval", "margin": "spiculated"}, {"shape": "irregular", "margin": "circumscribed"}]
)
def test_a_category_without_seeds_is_one_clear_line(tiny_masses_dataset, wanted):
    with pytest.raises(
        MassGeneratorError, match=f"--shape {wanted['shape']}, --margin {wanted['margin']}: .* no labelled"
    ):
        categories(tiny_masses_dataset, **wanted)


def test_a_class_that_does_not_exist_names_those_that_do(tiny_masses_dataset):
    with pytest.raises(MassGeneratorError, match="--shape square: must be one of round, oval, irregular"):
        categories(tiny_masses_dataset, shape="square")


# --- as the paper mixes ---------------------------------------------------------------------------


def test_without_mirrored_seeds_a_small_category_lends_its_masses_alone():
    one = recipe(0, [FEW], mixing=Mixing())
    assert sorted(one.seeds) == sorted(FEW.seeds) and not one.mirrors.any()
    assert one.weights.sum() == pytest.approx(1)


def test_without_a_cap_a_seed_may_have_any_weight():
    largest = {
        mixing: max(recipe(n, [FEW], mixing=mixing).weights.max() for n in range(200))
        for mixing in (Mixing(largest_weight=0.6), Mixing())
    }
    assert largest[Mixing(largest_weight=0.6)] <= 0.6 + 1e-9 < largest[Mixing()]


# --- of like size ---------------------------------------------------------------------------------

SIZES = np.geomspace(10, 80, 30)  # 7 % apart
SIZED = replace(MANY, sizes=SIZES)


def sizes_of(one) -> np.ndarray:
    return one.category.sizes[np.searchsorted(one.category.seeds, one.seeds)]


@pytest.mark.parametrize("mixing", [ALL_OF_MIXING, Mixing()])
def test_masses_of_a_mixture_are_of_like_size(mixing):
    for number in range(60):
        sizes = sizes_of(recipe(number, [SIZED], mixing=mixing))
        assert len(np.unique(sizes)) >= 5 and sizes.max() / sizes.min() < 1.25**2 + 1e-9


def test_the_first_may_be_of_any_size():
    first = [sizes_of(recipe(number, [SIZED]))[0] for number in range(200)]
    assert min(first) == SIZES[0] and max(first) == SIZES[-1]


@pytest.mark.parametrize(
    ("sizes", "first", "alike"),
    [
        ([10, 11, 12, 20, 12.5, 13, 9], 0, [0, 1, 2, 4, 6]),  # within a factor of 1.25
        ([10, 20, 30, 40, 50, 60, 70], 6, [2, 3, 4, 5, 6]),  # fewer than five: those nearest in size
        ([10, np.nan, 30, np.nan], 0, [0, 2]),
        ([10, np.nan, 30, np.nan], 1, [0, 1, 2, 3]),  # of unknown size: all
    ],
)
def test_which_masses_are_of_like_size(sizes, first, alike):
    one = Category(0, 0, np.arange(len(sizes)), np.zeros(len(sizes)), np.zeros(1), np.array(sizes))
    assert one.of_like_size(first).tolist() == alike


def test_the_size_of_a_mixture_is_the_weighted_geometric_mean():
    one = Recipe(0, SIZED, np.array([100, 129]), np.array([0, 0]), np.array([0.75, 0.25]))
    assert one.size == pytest.approx(10**0.75 * 80**0.25)
    assert np.isnan(recipe(0, [MANY]).size)


def test_seeds_of_unknown_size_say_nothing_about_that_of_a_mixture():
    of_one = replace(MANY, sizes=np.where(np.arange(30) == 3, 20.0, np.nan))
    assert Recipe(0, of_one, np.array([103, 104]), np.array([0, 0]), np.array([0.5, 0.5])).size == pytest.approx(20)
    assert np.isnan(Recipe(0, of_one, np.array([104]), np.array([0]), np.array([1.0])).size)
