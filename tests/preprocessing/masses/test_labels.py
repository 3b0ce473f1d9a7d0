"""Labels: the words of the radiologist."""

import pytest

from preprocessing.images.image import UnusableImage
from preprocessing.masses.labels import CLASSES, read_label


@pytest.mark.parametrize(
    ("text", "field", "name"),
    [
        ("IRREGULAR", "shape", "irregular"),
        ("ILL_DEFINED", "margin", "ill-defined"),
        ("ill-defined", "margin", "ill-defined"),
        ("Ill defined", "margin", "ill-defined"),
        (" Round\n", "shape", "round"),
    ],
)
def test_one_word_is_a_class(text, field, name):
    assert CLASSES[field][read_label(text, field)] == name


@pytest.mark.parametrize("text", ["", " ", "N/A", "nan"])
def test_blank_label_is_none(text):
    assert read_label(text, "shape") is None


@pytest.mark.parametrize("text", ["OBSCURED-ILL_DEFINED", "ILL_DEFINED-OBSCURED"])
def test_single_refuses_several_words_in_either_order(text):
    with pytest.raises(UnusableImage, match="several margin words"):
        read_label(text, "margin")


@pytest.mark.parametrize(
    ("text", "field", "name"),
    [
        ("ILL-DEFINED-SPICULATED", "margin", "ill-defined"),
        ("OBSCURED-CIRCUMSCRIBED", "margin", "obscured"),
        ("ARCHITECTURAL_DISTORTION-IRREGULAR", "shape", "irregular"),
    ],
)
def test_first_takes_the_first_word_that_is_a_class(text, field, name):
    assert CLASSES[field][read_label(text, field, "first")] == name


@pytest.mark.parametrize("policy", ["single", "first"])
def test_shape_that_is_none_of_a_mass_is_refused(policy):
    with pytest.raises(UnusableImage, match="shape of no class: lymph node"):
        read_label("LYMPH_NODE", "shape", policy)


@pytest.mark.parametrize("policy", ["single", "first"])
def test_known_words_are_named_and_an_unknown_one_is_not_repeated(policy):
    with pytest.raises(UnusableImage, match="unknown shape word: none of round, oval, lobulated, irregular$"):
        read_label("OVAL-TRIANGULAR", "shape", policy)
