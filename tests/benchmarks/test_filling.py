"""What the network that fills holes is given, and where it may change a mammogram."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from lesions.annotations import Annotation
from lesions.masses import mass_source
from lesions.outline import mask_of, polygon_of
from lesions.smooth import distance_to
from tests.tiny_lesions import LESION, breast_mask, lesion_disc, tissue, write_mammograms

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def filling(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("filling")


class Brighter:
    """In place of a network: the hole's smooth filling, brighter by 0.2."""

    def __call__(self, inputs):
        self.made = inputs[0][..., 1:2] + 0.2 * inputs[0][..., 2:3]
        return self

    def numpy(self):
        return self.made


@pytest.mark.parametrize("box", [(100.0, 240.0, 24.0, 20.0), (60.0, 200.0, 70.0, 60.0), (0.0, 250.0, 20.0, 20.0)])
def test_a_mammogram_changes_in_the_hole_alone(filling, box):
    image = np.where(breast_mask(), tissue(0, (512, 256)), 0).astype(np.float32)
    outline = lesion_disc(box)
    lesion = Annotation(0, box, "round", "spiculated", polygon_of(outline))
    changed = np.abs(filling.filled(Brighter(), image, lesion, np.random.default_rng(0)) - image) > 1e-6
    distance = distance_to(outline) / max(box[2:])
    assert changed[(distance < filling.REACH - 0.05) & breast_mask()].mean() > 0.99
    assert not changed[distance > filling.REACH + 0.05].any()


def test_the_outline_that_is_found_lies_on_the_lesion(filling, tmp_path):
    source = filling.of_items(mass_source(write_mammograms(tmp_path / "films")), np.arange(6))
    for number in source.numbers:
        found, true = mask_of(source.annotations[number].outline, (512, 256)), lesion_disc(LESION)
        assert (found & true).sum() > 0.7 * (found | true).sum()


def test_views_in_one_row_come_apart_again(filling):
    views = [np.arange(6.0).reshape(2, 3), np.arange(4.0) + 10]
    table = np.stack([filling.row(*views), filling.row(*views) + 1])
    for view, again in zip(views, filling.parted(table, (2, 3), (4,))):
        np.testing.assert_array_equal(again, [view, view + 1])


def test_tissue_without_a_mass_is_both_filled_and_genuine_and_has_no_outline(filling):
    filler = importlib.import_module("filler")
    side = filler.SIDE + 2 * filler.MARGIN
    some = filler.Examples(np.ones((5, side, side, 4), np.float32), np.ones((5, 10), np.float32))
    layers, labels, real, real_labels = filler.batch(some, some, np.random.default_rng(0))
    for group in (slice(0, filler.GROUP), slice(2 * filler.GROUP, None)):
        np.testing.assert_array_equal(layers[group], real[group])
    for windows, words in ((layers, labels), (real, real_labels)):
        assert [part[..., 3].max() for part in np.split(windows, 3)] == [1, 1, 0]
        assert [part[:, :-1].max() for part in np.split(words, 3)] == [1, 1, 0]
