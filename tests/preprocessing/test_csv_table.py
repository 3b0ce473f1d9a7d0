from pathlib import Path

import pytest

from preprocessing.csv_table import is_below, read_table


def test_a_table_as_spreadsheets_write_it(tmp_path):
    text = '\ufeffImage, SUBJECT ,Note\r\n1.png,A,"two\r\nlines"\r\n,,\r\n2.png,B,\r\n,,\r\n,,\r\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    rows = read_table(tmp_path / "t.csv", "--table", ("image", "subject"))
    assert [row["subject"] for row in rows] == ["A", "", "B"]
    assert rows[0] == {"image": "1.png", "subject": "A", "note": "two\r\nlines"}


FOLDER = Path("/data/films")


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub/../a.png", "/data/films/a.png", "..a.png"])
def test_a_path_below_the_folder(name):
    assert is_below(FOLDER / name, FOLDER)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "sub/../../a.png", "/data/films2/a.png"])
def test_a_path_elsewhere(name):
    assert not is_below(FOLDER / name, FOLDER)
