"""Views and sides: one table, read from words and codes."""

import pytest

from preprocessing.images.views import VIEWS, read_laterality, read_view, view_of_code


@pytest.mark.parametrize(
    ("text", "side"), [("L", "L"), (" left ", "L"), ("RIGHT", "R"), ("B", ""), ("", ""), (None, "")]
)
def test_sides_are_read_from_letters_and_words(text, side):
    assert read_laterality(text) == side


@pytest.mark.parametrize(("text", "view"), [("mlo", "MLO"), (" CC ", "CC"), ("SPOT", ""), (None, "")])
def test_views_are_read_in_any_case_and_nothing_else_is(text, view):
    assert read_view(text) == view


def test_every_code_is_of_one_view():
    codes = [code for view in VIEWS.values() for code in (view.code, view.old_code)]
    assert len(codes) == len(set(codes)) == 2 * len(VIEWS)
    assert view_of_code("399368009") == view_of_code("R-10226") == "MLO"
    assert view_of_code("1") == ""
