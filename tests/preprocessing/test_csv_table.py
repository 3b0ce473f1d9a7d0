from pathlib import Path

import pytest

from preprocessing.csv_table import is_below

FOLDER = Path("/data/films")


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub/../a.png", "/data/films/a.png", "..a.png"])
def test_a_path_below_the_folder(name):
    assert is_below(FOLDER / name, FOLDER)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "sub/../../a.png", "/data/films2/a.png"])
def test_a_path_elsewhere(name):
    assert not is_below(FOLDER / name, FOLDER)
