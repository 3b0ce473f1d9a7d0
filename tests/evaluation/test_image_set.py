"""Sets of images: whose they are, and what they refuse."""

import numpy as np
import pytest
import tiny

from evaluation.image_set import EvaluationError, Samples
from preprocessing.shards import DatasetWriter


@pytest.fixture(scope="module")
def of_patients(tmp_path_factory):
    """Six images of patients a, b, b, a, c, b."""
    writer = DatasetWriter(tmp_path_factory.mktemp("data"), count=6, made={}, levels=[(8, 4)])
    fields = {"image/8x4": np.zeros((8, 4), np.uint16), "mask/8x4": np.ones((8, 4), np.uint8)}
    for shard, numbers in writer.missing():
        writer.write(shard, [{**fields, "subject": "abbacb"[n], "laterality": "L", "view": "CC"} for n in numbers])
    return writer.finish()


def test_images_of_a_patient_have_one_number(of_patients):
    assert Samples.of_dataset(of_patients).subjects.tolist() == [0, 1, 1, 0, 2, 1]


def test_a_subset_keeps_whose_its_images_are(of_patients):
    some = Samples.of_dataset(of_patients).subset(np.array([1, 3, 5]))
    assert some.subset(np.array([2, 1])).subjects.tolist() == [1, 0]


def test_images_of_an_array_are_each_their_own():
    assert Samples(np.zeros((3, 4, 4))).subjects.tolist() == [0, 1, 2]


def test_a_split_holds_its_images_alone(tiny_dataset):
    held_out = Samples.of_dataset(tiny_dataset, split="validation")
    wanted = tiny_dataset.read((32, 16), tiny_dataset.indices("validation"))[0] / 65535
    assert len(held_out) == len(wanted) < tiny.IMAGES
    np.testing.assert_allclose(held_out.read(np.arange(len(held_out)))[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "images, masks, words",
    [
        (np.zeros((4, 4)), None, r"must be an array \(n, height, width\)"),
        (np.zeros((2, 4, 4)), np.ones((2, 4, 5)), "masks of shape .* do not fit"),
    ],
)
def test_arrays_of_another_shape_are_refused(images, masks, words):
    with pytest.raises(EvaluationError, match=words):
        Samples(images, masks)


@pytest.mark.parametrize("bad, words", [(np.nan, "image 2 holds NaN"), (1.5, r"must lie in \[0, 1\], found 0 to 1.5")])
def test_pixels_that_cannot_be_are_refused_when_read(bad, words):
    images = np.zeros((3, 4, 4))
    images[2, 1, 1] = bad
    with pytest.raises(EvaluationError, match=words):
        Samples(images).read([0, 2])
