from dataclasses import replace

import numpy as np
import pytest
import tiny_lesions

from lesions.insert import touching
from lesions.inserter import Inserter, Settings, open_inserter
from lesions.masses import mass_source
from lesions.outline import mask_of
from lesions.placement import read_placement
from preprocessing.mammograms.item import mammogram_item
from preprocessing.shards import LEVELS, SPLITS, DataError, DatasetWriter


def opened(mammograms, masses, **settings):
    return open_inserter(mammograms.folder, masses and masses.folder, settings=Settings(**settings))


def test_an_image_depends_on_its_number_and_the_seed_alone(mammograms, masses):
    inserter = opened(mammograms, masses)
    inserter.image(3)
    one, again = inserter.image(1), opened(mammograms, masses).image(1)
    assert (one.image == again.image).all() and one.annotations == again.annotations
    assert opened(mammograms, masses, seed=1).image(1).annotations != one.annotations


def test_mammograms_are_taken_in_turns(mammograms, masses):
    inserter = opened(mammograms, masses)
    assert [inserter.image(number).item for number in (0, 5, 6)] == [0, 5, 0]


def test_lesions_that_were_there_stay_and_are_not_covered(mammograms, masses):
    one = opened(mammograms, masses, lesions=3).image(0)
    there, *more = one.annotations
    assert not there.synthetic and one.masses[0] == "" and len(more) == 3
    boxes = [found.box for found in one.annotations]
    assert not any(touching(boxes[a], boxes[b]) for a in range(4) for b in range(a))
    x, y, width, height = (round(value) for value in there.box)
    inside = slice(y, y + height), slice(x, x + width)
    outlines = sum(mask_of(found.outline, one.image.shape) for found in more)
    assert not outlines[inside].any()


def test_the_wanted_shape_margin_and_size(mammograms, masses):
    one = opened(mammograms, masses, shape="round", margin="circumscribed", size=40.0).image(1)
    found = one.annotations[-1]
    assert (found.shape, found.margin) == ("round", "circumscribed")
    assert found.longest_side == pytest.approx(40, rel=0.05)


def test_a_place_in_the_breast(mammograms, masses):
    inserter = opened(mammograms, masses, place=(0.5, 0.5), size=20.0)
    one = inserter.image(1)
    x, y = one.annotations[-1].centre
    assert abs(x - 95) < 3 and abs(y - 256) < 3  # half of 190 columns, the middle of 439 rows about row 256


def test_small_mammograms_are_refused_as_lesions_would_be_too_large(tmp_path):
    mask = np.ones((128, 64), bool)
    writer = DatasetWriter(tmp_path / "small", count=1, made={"by": "tests"}, levels=LEVELS[:5])
    writer.write(0, [mammogram_item(0.5 * mask, mask, subject="one")])
    folder = writer.finish(validation_fraction=0.0).folder
    with pytest.raises(DataError, match="small: its images are 128x64, too small for lesions; give images of 512x256"):
        open_inserter(folder, "phantoms")


def test_phantoms_are_inserted_by_their_name(mammograms):
    one = open_inserter(mammograms.folder, "phantoms").image(1)
    assert one.masses[-1].startswith("phantom ")


def test_without_masses_those_of_the_included_generator_are_inserted(mammograms):
    one = opened(mammograms, None).image(1)
    assert one.masses[-1] == "generated mass 1"


def test_before_and_after_differ_where_the_lesion_is(mammograms, masses):
    one = opened(mammograms, masses).image(1)
    changed = one.image != one.before
    outline = mask_of(one.annotations[-1].outline, one.image.shape)
    assert changed[outline].mean() > 0.95 and not (changed & ~one.mask).any()
    assert 0 <= one.image.min() and one.image.max() <= 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "glue"}, "--method glue"),
        ({"split": "test"}, "--split test"),
        ({"size": 900.0}, "--size 900"),
        ({"place": (0.5, 2.0)}, "--place"),
        ({"lesions": 0}, "--lesions-per-image 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(DataError, match=words):
        Settings(**settings)


def test_an_empty_split_is_told(mammograms, masses):
    with pytest.raises(DataError, match="split validation"):
        opened(mammograms, mammograms, split="validation")


def test_the_fingerprint_knows_what_matters(mammograms, masses):
    prints = {
        opened(mammograms, masses).fingerprint,
        opened(mammograms, masses, seed=1).fingerprint,
        opened(mammograms, mammograms).fingerprint,
        opened(mammograms, None).fingerprint,
        open_inserter(mammograms.folder, "phantoms").fingerprint,
    }
    assert len(prints) == 5 and opened(mammograms, masses).fingerprint in prints
    assert np.all([len(one) == 64 for one in prints])


def test_a_mass_comes_from_a_mammogram_of_the_same_view(mammograms):
    masses = mass_source(mammograms)
    assert set(masses.labels["view"]) == {"CC"}  # these have lesions in CC views alone
    labels = masses.labels | {"view": np.array(["CC", "MLO", "MLO"])}
    inserter = Inserter(mammograms, replace(masses, labels=labels), read_placement(), Settings())
    assert {view: usable.tolist() for (_, view), usable in inserter.usable.items()} == {
        "CC": [0], "MLO": [1, 2], "": [0, 1, 2]
    }  # fmt: skip


# --- splits ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Mammograms with lesions: patients 0 to 2 are for validation."""
    return tiny_lesions.write_mammograms(tmp_path_factory.mktemp("halves") / "mammograms", split=0.5)


def test_with_all_splits_a_mass_goes_into_mammograms_of_its_own(halves):
    inserter = opened(halves, halves, split="all")
    assert {split: inserter.usable[split, ""].tolist() for split in SPLITS} == {"validation": [0, 1], "train": [2]}
    assert all(inserter.usable["train", view].tolist() == [2] for view in ("CC", "MLO"))


def test_masses_without_a_split_go_into_any_mammogram(halves):
    usable = open_inserter(halves.folder, "phantoms", settings=Settings(split="all")).usable
    assert len(usable["train", ""]) == len(usable["validation", ""]) > 0


def test_a_split_of_mammograms_without_masses_is_told(halves, masses):
    with pytest.raises(DataError, match=f"--masses {masses.folder}: none of .* mammograms of the split validation"):
        opened(halves, masses, split="all")


def test_masses_of_held_out_patients_are_left_out_though_their_own_split_is_train(halves, mammograms):
    inserter = opened(halves, mammograms)  # the same patients, without a validation split
    assert inserter.usable["train", ""].tolist() == [2]
