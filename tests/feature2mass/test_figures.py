"""The figures: their layouts, and the files."""

import cv2
import numpy as np
import pytest

from feature2mass.figures import figures, three_features, two_features, within_category
from feature2mass.mixing import Mixer, open_mixer
from feature2mass.seeds import categories
from preprocessing.shards import DataError


@pytest.fixture(scope="module")
def mixer(tiny_mass_run, tiny_masses_dataset) -> Mixer:
    return open_mixer(tiny_mass_run.path, tiny_masses_dataset.folder)[0]


@pytest.fixture(scope="module")
def wanted(tiny_masses_dataset):
    return categories(tiny_masses_dataset)


def pictures(sheet) -> list[np.ndarray]:
    return [np.asarray(axis.images[0].get_array()) for axis in sheet.axes if axis.images]


def test_a_row_of_two_features_is_ten_pictures_the_seeds_at_its_ends(mixer, wanted, tiny_masses_dataset):
    shown = pictures(two_features(mixer, wanted, rows=2))
    assert len(shown) == 20
    stored = tiny_masses_dataset.read_array("image", (64, 64), tiny_masses_dataset.indices("train")) / 65535
    for number, picture in enumerate(shown):
        is_seed = np.abs(stored - picture).max(axis=(1, 2)).min() < 1e-4
        assert is_seed == (number % 10 in (0, 9))


def test_three_features_are_corners_of_a_triangle_of_fifteen(mixer, wanted):
    sheet = three_features(mixer, wanted)
    assert len(pictures(sheet)) == 15
    assert len([axis for axis in sheet.axes if axis.get_xlabel() or axis.get_title()]) == 3


@pytest.mark.parametrize("seed", range(4))
def test_corners_of_one_category_are_three_different_masses(mixer, wanted, seed):
    category = next(one for one in wanted if len(one.seeds) >= 3)
    sheet = three_features(mixer, [category], seed=seed)
    corners = [np.asarray(axis.images[0].get_array()) for axis in sheet.axes if axis.get_xlabel() or axis.get_title()]
    assert len({corner.tobytes() for corner in corners}) == 3


def test_each_new_mass_of_a_category_stands_beside_its_three_heaviest_seeds(mixer, wanted):
    sheet = within_category(mixer, wanted[:1], rows=2)
    assert len(pictures(sheet)) == 8
    titles = [axis.get_title() for axis in sheet.axes]
    for first in (0, 4):
        weights = [float(title) for title in titles[first : first + 3]]
        assert weights == sorted(weights, reverse=True) and sum(weights) <= 1
        assert titles[first + 3] == "round, circumscribed"


def test_three_files_are_written(tmp_path, tiny_mass_run):
    paths = figures(tiny_mass_run.path, tmp_path / "new" / "figure.png")
    assert [path.name for path in paths] == ["figure-two.png", "figure-three.png", "figure-category.png"]
    for path in paths:
        sheet = cv2.imread(str(path))
        assert min(sheet.shape[:2]) > 200 and sheet.std() > 10


def test_a_category_with_a_single_mass_can_be_drawn(tmp_path, tiny_mass_run):
    assert len(figures(tiny_mass_run.path, tmp_path / "f.png", shape="round", margin="spiculated")) == 3


@pytest.mark.parametrize("name", ["figure.unknown", "file/figure.png"])
def test_a_figure_that_cannot_be_written_is_named(tmp_path, tiny_mass_run, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--figure .* cannot be written"):
        figures(tiny_mass_run.path, tmp_path / name)
