import json

import numpy as np
import pytest
import tiny_lesions

from lesions.annotations import read_annotations
from lesions.breast import Breast
from lesions.placement import Placement, fit_placement, read_placement, write_placement
from preprocessing.shards import DataError

BREAST = Breast(tiny_lesions.breast_mask())


def placement(**changes) -> Placement:
    columns = {
        "view": np.array(["CC", "CC", "MLO", "MLO"]),
        "depth": np.array([0.2, 0.2, 0.8, 0.8]),
        "height": np.array([0.5, 0.5, 0.3, 0.3]),
        "size": np.array([20, 20, 60, 60]) / 512,
        "aspect": np.zeros(4),
        "shape": np.array(["oval", "round", "irregular", ""]),
        "margin": np.array(["circumscribed", "obscured", "spiculated", "ill-defined"]),
        "counts": {1: 3, 2: 1},
    }
    return Placement(**(columns | changes))


def draws(count: int = 200, **given) -> list:
    rng = np.random.default_rng(0)
    return [placement().draw(BREAST, rng, **given) for _ in range(count)]


def test_the_view_decides_which_lesions_are_drawn_from():
    assert max(place.longest_side for place in draws(view="CC")) < 35
    assert min(place.longest_side for place in draws(view="MLO")) > 40


def test_an_unknown_view_draws_from_all():
    small = np.mean([place.longest_side < 35 for place in draws(view="")])
    assert 0.35 < small < 0.65


def test_a_given_size_is_kept_and_draws_places_of_such_sizes():
    places = draws(size=60.0)
    assert {place.longest_side for place in places} == {60.0}
    assert np.median([BREAST.place(place.x, place.y)[0] for place in places]) > 0.6


def test_a_given_shape_restricts_the_rows():
    assert {place.margin for place in draws(shape="irregular")} == {"spiculated"}


def test_a_given_centre_is_kept():
    assert {(place.x, place.y) for place in draws(10, centre=(50.0, 200.0))} == {(50.0, 200.0)}


def test_places_lie_about_those_of_real_lesions():
    depths = [BREAST.place(place.x, place.y)[0] for place in draws(view="CC")]
    assert np.mean(depths) == pytest.approx(0.2, abs=0.02) and 0.01 < np.std(depths) < 0.08


def test_numbers_of_lesions_are_as_frequent_as_in_reality():
    rng = np.random.default_rng(0)
    ones = np.mean([placement().lesion_count(rng) == 1 for _ in range(2000)])
    assert ones == pytest.approx(0.75, abs=0.04)


def test_a_word_that_is_none_is_refused():
    with pytest.raises(ValueError, match="shape 'squre'"):
        placement().draw(BREAST, np.random.default_rng(0), shape="squre")


def test_a_fit_has_the_lesions_of_the_dataset(mammograms):
    fitted = fit_placement(mammograms, read_annotations(mammograms))
    assert len(fitted) == 3 and fitted.counts == {1: 3}
    x, y, width, height = tiny_lesions.LESION
    depth, row = BREAST.place(x + width / 2, y + height / 2)
    assert np.allclose(fitted.depth, depth) and np.allclose(fitted.height, row)
    assert np.allclose(fitted.size, width / 512) and np.allclose(fitted.aspect, np.log2(width / height))
    assert set(fitted.shape) == {"oval"} and set(fitted.view) == {"CC"}


def test_a_model_survives_its_file(tmp_path):
    write_placement(placement(source="here"), tmp_path / "model.json")
    again = read_placement(tmp_path / "model.json")
    assert sorted(again.shape) == sorted(placement().shape) and again.counts == {1: 3, 2: 1}
    assert again.source == "here" and np.allclose(np.sort(again.size), np.sort(placement().size), atol=1e-4)


def test_the_file_is_in_no_order_of_patients(tmp_path):
    write_placement(placement(), tmp_path / "one.json")
    turned = {name: value[::-1] for name, value in vars(placement()).items() if isinstance(value, np.ndarray)}
    write_placement(placement(**turned), tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_the_model_of_the_package_names_its_source():
    shipped = read_placement()
    assert len(shipped) > 1000 and "CC BY 3.0" in shipped.source and set(shipped.view) == {"CC", "MLO"}


def test_another_file_is_refused(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(DataError, match="is not a placement model"):
        read_placement(tmp_path / "model.json")
