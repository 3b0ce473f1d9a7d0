"""Whose image, whose mask, which row: told by paths, said aloud, and never another patient's."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.images.dicom_identity import is_placeholder
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.given_masks import given_masks
from preprocessing.mammograms.image_table import rows_of
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.phantoms.mammogram import mammogram_phantom
from preprocessing.shards import DataError


def draw(path: Path, number: int, mask: Path | None = None) -> None:
    image, breast, _ = mammogram_phantom(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.round(image * 65535).astype(np.uint16))
    if mask is not None:
        mask.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(mask), breast.astype(np.uint8) * 255)


def convert(inputs, output, options=None, **settings):
    return convert_mammograms(inputs, output, options, workers=1, **settings)


def patients(done) -> int:
    return len(set(done.dataset.field("subject").tolist()))


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["P1_L_CC.png", "P1_R_CC.png", "P2_L_CC.png", "P2_R_CC.png"], "name"),
        (["P1/L_CC.png", "P1/R_CC.png", "P2/L_CC.png", "P2/R_CC.png"], "folder"),
        (["P1/a/L.png", "P1/b/L.png", "P2/a/L.png", "P2/b/L.png"], "folder"),
    ],
)
def test_files_count_as_patients_and_it_is_said_or_the_layout_tells(tmp_path, names, source):
    for number, name in enumerate(names):
        draw(tmp_path / "in" / name, number)
    done = convert([tmp_path / "in"], tmp_path / "out")
    assert patients(done) == 4 and done.dataset.meta["patients_told_by"] == {"file": 4}
    assert any("--patient-from folder or name" in line for line in done.remarks)
    told = convert([tmp_path / "in"], tmp_path / "told", MammogramOptions(patient_from=source))
    assert patients(told) == 2 and told.dataset.meta["patients_told_by"] == {source: 4}
    assert not any(line.startswith("warning") for line in told.remarks)


def test_two_inputs_with_one_name_are_two_patients(tmp_path):
    for number, folder in enumerate("ab"):
        draw(tmp_path / folder / "x.png", number)
    assert patients(convert([tmp_path / "a", tmp_path / "b"], tmp_path / "out")) == 2


def test_copies_of_a_file_are_named(tmp_path):
    for name, number in (("A/1", 1), ("A/2", 2), ("B/1", 1)):
        draw(tmp_path / f"in/{name}.png", number)
    for _ in range(2):
        done = convert([tmp_path / "in"], tmp_path / "out")
        assert done.notes == [("image 2", "the same file as image 0; leave one out")]


def test_one_patient_alone_leaves_no_validation_and_it_is_said(tmp_path):
    for number in range(2):
        draw(tmp_path / "in" / "P1" / f"{number}.png", number)
    done = convert([tmp_path / "in"], tmp_path / "out", MammogramOptions(patient_from="folder"))
    assert any("validation split is empty" in line for line in done.remarks)


def test_files_named_by_uids_without_an_ending_are_not_one_patient(tmp_path):
    for number in (1, 2, 3):
        draw(tmp_path / f"in/{number}.png", number)
        (tmp_path / f"in/{number}.png").rename(tmp_path / f"in/1.2.84.{number}")
    done = convert([tmp_path / "in"], tmp_path / "out")
    assert len(set(done.dataset.field("subject"))) == 3


@pytest.mark.parametrize("word", ["removed", "ANONYMOUS", "Anon.", "^^^", "000000", "XXXX", "de-identified", "N/A"])
def test_a_placeholder_is_known(word):
    assert is_placeholder(word)


@pytest.mark.parametrize("word", ["0", "7", "anon17", "P_00001", "10006", "112", "MUSTERMANN^ERIKA"])
def test_an_identity_is_no_placeholder(word):
    assert not is_placeholder(word)


# ----------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["p0/L.png", "p1/L.png"], ["p1/L.png"], [None, "p1/L.png"]),
        (["p0/L.png", "p1/L.png"], ["L.png"], [None, None]),
        (["L.png"], ["p0/L.png", "p1/L.png"], [None]),
        (["p0/L.png"], ["L.tif"], ["L.tif"]),
        (["L.png"], ["deep/L.png"], ["deep/L.png"]),
        (["L.png"], ["L.png", "L.tif"], ["L.png"]),
        (["L.dcm"], ["L.png", "L.tif"], [None]),
        (["L.png"], ["L.txt"], [None]),
        (["L.png", "p0/L.png"], ["L.png"], ["L.png", None]),
        (["1.2.84.1", "1.2.84.2"], ["1.2.84.2.png"], [None, "1.2.84.2.png"]),
    ],
)
def test_a_mask_is_of_one_image_by_its_path(tmp_path, images, masks, expected):
    for mask in masks:
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mask).touch()
    given = given_masks(tmp_path, images)
    found = [None if isinstance(given[image], str) else given[image] for image in images]
    assert found == [None if e is None else tmp_path / e for e in expected]


def test_masks_below_the_input_are_no_images(tmp_path):
    draw(tmp_path / "in" / "a.png", 0, tmp_path / "in" / "masks" / "a.png")
    done = convert([tmp_path / "in"], tmp_path / "out", masks=tmp_path / "in" / "masks")
    assert done.given == done.dataset.count == 1
    with pytest.raises(DataError, match="put masks into a folder of their own"):
        convert([tmp_path / "in" / "masks"], tmp_path / "other", masks=tmp_path / "in")


# ------------------------------------------------------------------------------------------ rows


def rows(tmp_path, text, names):
    (tmp_path / "t.csv").write_text("image,subject\n" + text)
    found = rows_of(tmp_path / "t.csv", names)
    return {name: row[0] for name, row in found.by_name.items()}, found.unused


@pytest.mark.parametrize("written", ["P1/L.png", "/data/old/P1/L.png", r"C:\old\P1\L.png", "./P1/L.png"])
def test_a_row_names_its_image_by_a_path(tmp_path, written):
    found, unused = rows(tmp_path, f"{written},A\n", ["P1/L.png", "P2/L.png"])
    assert found == {"P1/L.png": "A"} and unused == 0


def test_a_name_alone_serves_where_it_is_the_only_one(tmp_path):
    assert rows(tmp_path, "L.png,A\n", ["P1/L.png"])[0] == {"P1/L.png": "A"}
    with pytest.raises(DataError, match="row 1 fits 2 images of one name; write each image's path"):
        rows(tmp_path, "L.png,A\n", ["P1/L.png", "P2/L.png"])


def test_a_row_of_another_folder_is_of_no_image(tmp_path):
    assert rows(tmp_path, "P1/L.png,A\n", ["P2/L.png"]) == ({}, 1)


@pytest.mark.parametrize("written", ["p1/l.PNG", "L.PNG", "P1/Bru\u0308ste.png", "br\u00fcste.png"])
def test_case_and_spelling_tell_no_images_apart_but_where_two_differ_in_nothing_else(tmp_path, written):
    last = "L.png" if "PNG" in written else "Br\u00fcste.png"
    assert rows(tmp_path, f"{written},A\n", [f"P1/{last}", "P2/x.png"]) == ({f"P1/{last}": "A"}, 0)
    assert rows(tmp_path, "l.png,A\nL.png,B\n", ["l.png", "L.png"])[0] == {"l.png": "A", "L.png": "B"}


@pytest.mark.parametrize("subject", ["", "nan", "N/A", "None"])
def test_a_row_without_a_subject_is_named(tmp_path, subject):
    with pytest.raises(DataError, match="row 1 lacks its image or its subject"):
        rows(tmp_path, f"L.png,{subject}\n", ["L.png"])


@pytest.mark.parametrize("text", ["P1/L.png,A\nP1/L.png,B\n", "L.png,A\nP1/L.png,B\n"])
def test_two_rows_of_one_image_must_agree(tmp_path, text):
    with pytest.raises(DataError, match="two rows for one image differ"):
        rows(tmp_path, text, ["P1/L.png"])


# ------------------------------------------------------------------------- corrections and odd files


def test_a_corrected_row_mask_or_file_is_seen(tmp_path):
    for number in range(3):
        draw(tmp_path / "in" / f"{number}.png", number, tmp_path / "masks" / f"{number}.png")
    table = tmp_path / "t.csv"
    table.write_text("image,subject\n0.png,A\n1.png,A\n2.png,B\n")
    settings = {"masks": tmp_path / "masks", "table": table}
    first = convert([tmp_path / "in"], tmp_path / "out", **settings).dataset.field("subject").tolist()
    table.write_text("image,subject\n0.png,A\n1.png,B\n2.png,B\n")
    second = convert([tmp_path / "in"], tmp_path / "out", **settings)
    assert second.dataset.field("subject").tolist() == [first[0], first[2], first[2]]
    assert "1 changed film: only this is converted" in second.remarks[0]
    before = second.dataset.masks((512, 256), [2])
    mask = cv2.imread(str(tmp_path / "masks" / "2.png"), cv2.IMREAD_UNCHANGED)
    mask[:150] = 0
    cv2.imwrite(str(tmp_path / "masks" / "2.png"), mask)
    after = convert([tmp_path / "in"], tmp_path / "out", **settings).dataset.masks((512, 256), [2])
    assert not np.array_equal(before, after)


def test_odd_files_cost_one_line_each(tmp_path):
    folder = tmp_path / "in"
    draw(folder / "good.png", 0)
    draw(tmp_path / "elsewhere" / "linked.png", 1)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    (folder / "gone.dcm").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    with open(os.fsencode(folder) + b"/f\xfcr.png", "wb") as file:
        file.write(b"not an image")
    done = convert([folder], tmp_path / "out")
    assert done.dataset.count == 2
    reasons = sorted(reason for _, reason in done.rejected)
    assert len(reasons) == 3
    assert any("pipe" in reason for reason in reasons)
    assert any("a link to a file that is not there" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["film.dcm", "IM000001", "P2/L_CC.png", "P3"])
@pytest.mark.parametrize("target", ["../.git/annex/objects/xx/MD5E-s81--0", "itself"])
def test_a_link_to_what_is_not_there_costs_one_line(tmp_path, name, target):
    draw(tmp_path / "in" / "good.png", 0)
    link = tmp_path / "in" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(link if target == "itself" else target)
    done = convert([tmp_path / "in"], tmp_path / "out")
    assert done.dataset.count == 1
    assert [(place.name, reason) for place, reason in done.rejected] == [
        (link.name, "cannot be opened: a link to a file that is not there")
    ]


@pytest.mark.parametrize("name", ["closed", "deep/closed"])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, name):
    draw(tmp_path / "in" / "good.png", 0)
    draw(tmp_path / "in" / name / "a.png", 1)
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    done = convert([tmp_path / "in"], tmp_path / "out")
    assert [(place.name, "cannot be listed" in reason) for place, reason in done.rejected] == [("closed", True)]
