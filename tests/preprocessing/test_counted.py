import pytest

from preprocessing.counted import counted, there_are


@pytest.mark.parametrize(
    "number, noun, words",
    [(0, "image", "0 images"), (1, "mass", "1 mass"), (2, "mass", "2 masses"), (3, "box", "3 boxes")],
)
def test_a_noun_follows_its_number(number, noun, words):
    assert counted(number, noun) == words


def test_a_verb_follows_its_number():
    assert [there_are(number) for number in (0, 1, 2)] == ["there are 0", "there is 1", "there are 2"]
