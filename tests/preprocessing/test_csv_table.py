from pathlib import Path

import pytest

from preprocessing.csv_table import is_below, read_table
from preprocessing.shards import DataError


def test_a_table_as_spreadsheets_write_it(tmp_path):
    text = '\ufeffImage, SUBJECT ,Note\r\n1.png,A,"two\r\nlines"\r\n,,\r\n2.png,B,\r\n,,\r\n,,\r\n'
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    rows = read_table(tmp_path / "t.csv", "--table", ("image", "subject"))
    assert [row["subject"] for row in rows] == ["A", "", "B"]
    assert rows[0] == {"image": "1.png", "subject": "A", "note": "two\r\nlines"}


BOXES = [["image", "x", "subject"], ["a, b.png", "10.5", "A"], ["2.png", "7", "B"]]


def written(folder, text, encoding="utf-8"):
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return folder / "t.csv"


def read(folder, text, encoding="utf-8"):
    return read_table(written(folder, text, encoding), "--rois", ("image", "x", "subject"), ("x",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        'image,x,subject\r\n"a, b.png",10.5,A\r\n2.png,7,B\r\n',
        "image;x;subject\na, b.png;10.5;A\n2.png;7;B\n",
        "image;X;Subject;\r\na, b.png;10,5;A;\r\n2.png;7;B;\r\n;;;\r\n",
        '"image";"x";"subject"\n"a, b.png";"10,5";"A"\n"2.png";"7";"B"\n',
        "image\tx\tsubject\na, b.png\t10.5\tA\n2.png\t7\tB\n",
    ],
)
def test_every_separator_of_spreadsheets(tmp_path, text, encoding):
    rows = read(tmp_path, text, encoding)
    assert [[row[name] for name in BOXES[0]] for row in rows] == BOXES[1:]


def test_a_decimal_comma_is_left_where_columns_have_other_separators_or_no_numbers(tmp_path):
    assert read(tmp_path, 'image,x,subject\n1.png,"10,5",A\n')[0]["x"] == "10,5"
    assert read(tmp_path, "image\tx\tsubject\n1.png\t10,5\tA\n")[0]["x"] == "10,5"
    assert read(tmp_path, "image;x;subject\n1,5;7;2,5\n")[0] == {"image": "1,5", "x": "7", "subject": "2,5"}


@pytest.mark.parametrize(
    "text, said",
    [
        ("image,x,subject,no;image;x;subject\n1;1;1;1\n", "commas or semicolons"),
        ("image,x,subject\n1.png,10,5,A\n", "row 1 has more cells"),
        ("image;x;subject\n1.png;10,5;A\n2.png;1.250;B\n", "decimal comma in row 1 and a point in row 2"),
        ("image|x|subject\n1.png|10|A\n", "with commas, semicolons or tabs between them"),
        ("image;x;patient\n1.png;10;A\n", "has no column subject"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(tmp_path, text, said):
    with pytest.raises(DataError, match=f"--rois .*: .*{said}") as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_the_separator_is_found_by_a_known_column_where_none_is_required(tmp_path):
    table = written(tmp_path, "Patient_ID;mass shape\nP1;OVAL\n")
    assert read_table(table, "--cbis-csv", (), known=("patient_id",)) == [{"patient_id": "P1", "mass shape": "OVAL"}]


def test_utf_16_without_a_mark_is_refused(tmp_path):
    with pytest.raises(DataError, match="save it as CSV in UTF-8"):
        read(tmp_path, "image,x,subject\n1.png,10,A\n", "utf-16-le")


FOLDER = Path("/data/films")


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub/../a.png", "/data/films/a.png", "..a.png"])
def test_a_path_below_the_folder(name):
    assert is_below(FOLDER / name, FOLDER)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.png", "sub/../../a.png", "/data/films2/a.png"])
def test_a_path_elsewhere(name):
    assert not is_below(FOLDER / name, FOLDER)
