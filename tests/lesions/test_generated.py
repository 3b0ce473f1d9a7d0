"""Masses of the included generator, drawn when they are needed."""

import hashlib

import numpy as np
import pytest

from feature2mass.generate import BATCH
from feature2mass.mixing import PRETRAINED, open_mixer
from lesions.generated import GeneratedMasses
from lesions.inserter import open_inserter
from preprocessing.shards import DataError


@pytest.fixture(scope="module")
def source():
    return GeneratedMasses()


def test_a_mass_is_a_function_of_its_number_and_the_seed(source):
    mass = source.patch(70)
    assert (GeneratedMasses().patch(70).image == mass.image).all()  # another batch was drawn before
    assert not (source.patch(71).image == mass.image).all()
    assert not (GeneratedMasses(seed=1).patch(70).image == mass.image).all()


def test_labels_are_known_before_a_mass_is_drawn(source):
    for number in (0, 5, 63):
        mass = source.patch(number)
        assert (mass.shape, mass.margin) == (source.labels["shape"][number], source.labels["margin"][number])
        assert mass.synthetic and mass.outline.any() and mass.calibrated


def test_shapes_and_margins_are_as_frequent_as_among_the_masses_that_are_mixed(source):
    library = open_mixer(None)[0].library
    seeds = {(library.shapes[one.shape], library.margins[one.margin]): len(one.seeds) for one in library.categories()}
    masses = sum(seeds.values())
    pairs = list(zip(source.labels["shape"][:masses], source.labels["margin"][:masses]))
    assert {pair: pairs.count(pair) for pair in seeds} == seeds


def test_masses_of_one_shape_and_margin():
    source = GeneratedMasses("irregular", "spiculated")
    assert set(source.labels["shape"]) == {"irregular"} and set(source.labels["margin"]) == {"spiculated"}
    assert len(source.matching("irregular", "spiculated")) == source.COUNT
    with pytest.raises(DataError, match="--shape square: must be one of round"):
        GeneratedMasses("square")
    with pytest.raises(DataError, match="the generator has no labelled mass of it"):
        GeneratedMasses("irregular", "circumscribed")


def test_a_mass_has_the_size_of_those_it_was_mixed_from(source):
    sizes = np.array([source.patch(number).size for number in range(BATCH)], float)
    assert 8 < sizes.min() < 20 and 40 < sizes.max() < 120


def test_images_have_masses_of_their_own_and_a_batch_serves_as_many_images(source):
    rng, usable = np.random.default_rng(0), source.matching()
    tried = [source.choice(usable, image, 0, rng) for image in range(2 * BATCH)]
    assert [first for first, *_ in tried] == list(range(2 * BATCH))
    assert all(set(masses // BATCH) == {image // BATCH} for image, masses in enumerate(tried))
    assert 7 not in source.choice(usable, 7, 1, rng)  # a second lesion of an image is another mass


def test_the_manifest_can_say_which_generator_they_are_of(source):
    digest = hashlib.sha256(PRETRAINED.read_bytes()).hexdigest()
    assert source.fingerprint == source.meta["generator"] == digest


def test_images_are_the_same_in_any_order(mammograms):
    one, other = (open_inserter(mammograms.folder) for _ in range(2))
    forwards, backwards = [one.image(n) for n in (1, 70)], [other.image(n) for n in (70, 1)][::-1]
    for a, b in zip(forwards, backwards):
        assert (a.image == b.image).all() and a.annotations == b.annotations
