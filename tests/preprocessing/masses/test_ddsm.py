"""DDSM: .ics, outlines against a mask of the archive's own tools, lossless JPEG films, whole cases."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.images.image import UnusableImage
from preprocessing.masses.convert import convert_masses
from preprocessing.masses.ddsm import (
    clip_outline,
    fill_outline,
    follow_chain,
    optical_density,
    read_ddsm,
    read_ics,
    read_ljpeg,
    read_overlay,
)
from preprocessing.masses.lesion import Box
from preprocessing.masses.options import MassOptions
from preprocessing.masses.window import cut_window
from preprocessing.shards import DataError

# ------------------------------------------------------------------------------ the archive's files


@pytest.fixture(scope="module")
def oracle(shared_data):
    return read_overlay(shared_data / "ddsm-format" / "B_3013_1.RIGHT_MLO.OVERLAY")


def test_real_outline_closes_after_its_steps(oracle):
    boundary = oracle[1].boundary
    assert len(boundary) - 1 == 1632
    assert (boundary[0] == boundary[-1]).all()


def test_real_outline_spans_what_the_archive_says(oracle):
    x, y = (oracle[1].boundary + 1).T  # the archive counts from 1
    assert (x.min(), x.max(), y.min(), y.max()) == (1200, 1824, 1536, 2048)


def test_real_outline_fills_the_mask_beside_it(oracle, shared_data):
    path = shared_data / "ddsm-format" / "B_3013_1.RIGHT_MLO_MALIGNANT0.mask.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0
    filled = fill_outline(oracle[1].boundary, mask.shape)
    assert filled.sum() == 99657
    np.testing.assert_array_equal(filled, mask)


def test_real_overlay_gives_labels_and_tells_of_the_empty_outline(oracle):
    assert [(a.number, a.kind, a.margin) for a in oracle] == [(1, "MASS", "SPICULATED"), (2, "MASS", "SPICULATED")]
    assert oracle[0].boundary is None and oracle[0].problem == "overlay without an outline"
    assert oracle[1].shape == "IRREGULAR-ARCHITECTURAL_DISTORTION"


def test_real_case_with_selected(shared_data):
    case = read_ics(shared_data / "ddsm-format" / "B-3024-1.ics")
    assert (case.name, case.patient, case.site, case.digitizer) == ("B-3024-1", "B_3024", "B", "LUMISYS")
    assert case.films["RIGHT_MLO"] == (4664, 3120)
    assert case.overlays == ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")


def test_real_case_with_sequence_and_a_second_word(shared_data):
    case = read_ics(shared_data / "ddsm-format" / "B-3027-1.ics")
    assert (case.digitizer, case.films["LEFT_CC"]) == ("LUMISYS", (4720, 3128))
    assert case.overlays == ("LEFT_CC", "LEFT_MLO")


# ----------------------------------------------------------------------------------------- outlines


def test_eight_codes_go_round_clockwise_from_north():
    boundary = follow_chain(["10", "20", "0", "1", "2", "3", "4", "5", "6", "7"])
    steps = np.diff(boundary, axis=0).tolist()
    assert boundary[0].tolist() == [9, 19]
    assert steps == [[0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1]]


@pytest.mark.parametrize("words", ["5 5", "5", "5 5 8", "5 5 -1", "5 x 1", "9" * 30 + " 5 1"])
def test_broken_chain_is_refused(words):
    with pytest.raises(UnusableImage, match="broken outline"):
        follow_chain(words.split())


def test_outline_that_leaves_the_film_is_clipped():
    boundary = np.array([(-5, 3), (4, 3), (4, 9), (-5, 9), (-5, 3)])
    assert clip_outline(boundary, (20, 20)) == (Box(0, 3, 5, 7), 2)
    assert fill_outline(boundary, (20, 20)).sum() == 5 * 7


def test_outline_off_the_film_is_refused():
    with pytest.raises(UnusableImage, match="off the film"):
        clip_outline(np.array([(30, 30), (40, 30), (40, 40), (30, 30)]), (20, 20))


def test_two_lesion_types_leave_the_words_of_the_mass(tmp_path):
    (tmp_path / "o").write_text(
        "TOTAL_ABNORMALITIES 1\nABNORMALITY 1\nLESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED\n"
        "LESION_TYPE MASS SHAPE OVAL MARGINS ILL_DEFINED\nTOTAL_OUTLINES 2\n"
        "BOUNDARY\n3 3 2 4 6 0 #\nCORE\n9 9 2 4 6 0 #\n"
    )
    (found,) = read_overlay(tmp_path / "o")
    assert (found.kind, found.shape, found.margin) == ("CALCIFICATION-MASS", "OVAL", "ILL_DEFINED")
    assert found.boundary.tolist() == [[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]


# ------------------------------------------------------------------------------------------- films


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 4)
    image = (image - image.min()) / (image.max() - image.min())
    return np.uint16(200 + 3600 * image)


def write_ljpeg(path: Path, pixels: np.ndarray) -> None:
    from imagecodecs import ljpeg_encode

    path.write_bytes(ljpeg_encode(pixels, bitspersample=12))


def exchange_sizes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.find(b"\xff\xc3") + 5
    content[at : at + 4] = content[at + 2 : at + 4] + content[at : at + 2]
    path.write_bytes(content)


def test_film_is_decoded(tmp_path):
    write_ljpeg(tmp_path / "f", smooth(70, 50))
    np.testing.assert_array_equal(read_ljpeg(tmp_path / "f", 70, 50), smooth(70, 50))


def test_sizes_exchanged_in_the_header_only(tmp_path):
    write_ljpeg(tmp_path / "f", smooth(70, 50))
    exchange_sizes(tmp_path / "f")
    np.testing.assert_array_equal(read_ljpeg(tmp_path / "f", 70, 50), smooth(70, 50))


def test_sizes_exchanged_by_the_encoder(tmp_path):
    write_ljpeg(tmp_path / "f", smooth(70, 50).reshape(50, 70))
    np.testing.assert_array_equal(read_ljpeg(tmp_path / "f", 70, 50), smooth(70, 50))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"text", "not lossless JPEG"), (b"\xff\xd8\xff\xc3\0\x0b\x0c\0\x46\0\x32\x01\x01\x11\0", "cannot be decoded")],
)
def test_broken_film_is_refused(tmp_path, content, said):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UnusableImage, match=said):
        read_ljpeg(tmp_path / "f", 70, 50)


def test_film_of_another_size_is_refused(tmp_path):
    write_ljpeg(tmp_path / "f", smooth(70, 50))
    with pytest.raises(UnusableImage, match="not of the size in its .ics file"):
        read_ljpeg(tmp_path / "f", 71, 50)


@pytest.mark.parametrize(
    ("digitizer", "site", "grey", "density"),
    [
        ("DBA", "A", 10000, 0.75),
        ("HOWTEK", "A", 1000, 2.84332),
        ("HOWTEK", "D", 1000, 2.97548),
        ("LUMISYS", "B", 1000, 3.06935),
    ],
)
def test_optical_density_by_hand(digitizer, site, grey, density):
    assert optical_density(np.array([grey], np.uint16), digitizer, site)[0] == pytest.approx(density, abs=1e-4)


def test_unknown_calibration_is_refused():
    with pytest.raises(UnusableImage, match="no optical density is known: none of the digitizers"):
        optical_density(np.zeros(1, np.uint16), "HOWTEK", "B")


# ------------------------------------------------------------------------------------- a whole case

SIZES = {"LEFT_CC": (160, 100), "LEFT_MLO": (170, 110), "RIGHT_CC": (150, 120), "RIGHT_MLO": (180, 130)}


def square_chain(x: int, y: int, side: int) -> str:
    """A square's outline, clockwise, top left pixel (x, y) from 0, `side` pixels long."""
    steps = [code for code in (2, 4, 6, 0) for _ in range(side - 1)]
    return " ".join(map(str, [x + 1, y + 1, *steps])) + " #\n"


def abnormality(number: int, chain: str, shape="OVAL", margin="ILL_DEFINED", kind="MASS") -> str:
    words = f"SHAPE {shape} MARGINS {margin}" if kind == "MASS" else "TYPE PUNCTATE DISTRIBUTION CLUSTERED"
    return (
        f"ABNORMALITY {number}\nLESION_TYPE {kind} {words}\nASSESSMENT 4\nSUBTLETY 3\n"
        f"PATHOLOGY BENIGN\nTOTAL_OUTLINES 1\nBOUNDARY\n{chain}"
    )


def write_case(folder: Path, name: str, digitizer: str, overlays: dict[str, str]) -> None:
    """A case as the archive has it: "-" in the name of the .ics, "_" in the others."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{view} LINES {h} PIXELS_PER_LINE {w} BITS_PER_PIXEL 12 RESOLUTION 50 "
        f"{'' if view in overlays else 'NON_'}OVERLAY"
        for view, (h, w) in SIZES.items()
    ]
    head = ["ics_version 1.0", f"filename {name}", "PATIENT_AGE ", "FILM", f"DIGITIZER {digitizer}", "SEQUENCE"]
    (folder / f"{name}.ics").write_text("\n".join([*head, *lines]) + "\n")
    stem = name.replace("-", "_")
    for number, (view, size) in enumerate(SIZES.items()):
        write_ljpeg(folder / f"{stem}.{view}.LJPEG", smooth(*size, seed=number))
    for view, text in overlays.items():
        (folder / f"{stem}.{view}.OVERLAY").write_text(text)


@pytest.fixture
def cases(tmp_path) -> Path:
    """A Howtek case with three masses, sizes exchanged in one film, and a Lumisys case with one."""
    root = tmp_path / "ddsm"
    right = abnormality(1, square_chain(70, 90, 20), "ROUND", "SPICULATED") + abnormality(
        2, square_chain(10, 10, 9), kind="CALCIFICATION"
    )
    overlays = {
        "LEFT_CC": "TOTAL_ABNORMALITIES 1\n" + abnormality(1, square_chain(30, 40, 21)),
        "RIGHT_MLO": "TOTAL_ABNORMALITIES 2\n" + right,
    }
    write_case(root / "case1002", "A-1002-1", "HOWTEK", overlays)
    exchange_sizes(root / "case1002" / "A_1002_1.RIGHT_MLO.LJPEG")
    write_case(root / "case3024", "B-3024-1", "LUMISYS LASER", {"LEFT_CC": overlays["LEFT_CC"]})
    return root


def crop(view: str, box: Box, digitizer: str = "HOWTEK", site: str = "A") -> np.ndarray:
    grey = smooth(*SIZES[view], seed=list(SIZES).index(view)).astype(np.float32)
    density = 3.789 - 0.00094568 * grey if digitizer == "HOWTEK" else (grey - 4096.99) / -1009.01
    return cut_window(np.clip(1 - density / 4, 0, 1).astype(np.float32), box)


def test_whole_cases_give_the_right_crops_and_labels(cases, tmp_path):
    done = convert_masses(read_ddsm(cases), tmp_path / "out", MassOptions(contrast="original"), workers=1)
    assert done.rejected == [] and done.dataset.count == 3
    stored, lesions = done.dataset.read((64, 64), [0, 1, 2])
    left, right = Box(30, 40, 21, 21), Box(70, 90, 20, 20)
    expected = [crop("LEFT_CC", left), crop("RIGHT_MLO", right), crop("LEFT_CC", left, "LUMISYS")]
    np.testing.assert_allclose(stored / 65535, expected, atol=2e-5)
    # A square of 21 in a window of 32, six pixels from its top and its left: two stored pixels for one.
    for lesion in lesions[[0, 2]]:
        assert lesion[12:54, 12:54].all() and lesion.sum() == 42 * 42
    assert done.dataset.field("shape").tolist() == [1, 0, 1]
    assert done.dataset.field("margin").tolist() == [3, 4, 3]
    subjects = done.dataset.field("subject")
    assert subjects[0] == subjects[1] != subjects[2]
    # Films of 160 × 100 and 180 × 130 fill frames that are twice as high as the films are wide.
    assert done.dataset.field("size").tolist() == pytest.approx([21 * 256 / 100, 20 * 256 / 130, 21 * 256 / 100])


@pytest.mark.parametrize(("digitizer", "count"), [("HOWTEK", 2), ("howtek", 2), ("LUMISYS", 1), (None, 3)])
def test_digitizer_is_selected_by_its_first_word(cases, digitizer, count):
    assert len(read_ddsm(cases, digitizer)) == count


def test_digitizer_that_no_case_has_is_told(cases):
    with pytest.raises(DataError, match="^--digitizer DBA: no case in .* there: HOWTEK, LUMISYS"):
        read_ddsm(cases, "DBA")


def test_folder_without_cases_is_told(tmp_path):
    with pytest.raises(DataError, match="^--ddsm .*no .ics files here"):
        read_ddsm(tmp_path)


def replace_overlay(cases: Path, text: str) -> None:
    (cases / "case3024" / "B_3024_1.LEFT_CC.OVERLAY").write_text("TOTAL_ABNORMALITIES 1\n" + text)


def test_outline_that_leaves_the_film_is_used_with_a_note(cases, tmp_path):
    replace_overlay(cases, abnormality(1, square_chain(90, 40, 21)))
    done = convert_masses(read_ddsm(cases), tmp_path / "out", MassOptions(contrast="original"), workers=1)
    assert done.dataset.count == 3
    ((number, note),) = done.notes
    assert number == 2
    assert note == "outline leaves the film for 41 of 80 steps; clipped"
    stored, lesions = done.dataset.read((64, 64), [2])
    np.testing.assert_allclose(stored[0] / 65535, crop("LEFT_CC", Box(90, 40, 10, 21), "LUMISYS"), atol=2e-5)
    # The window of 32 ends where the film ends, at 100: the outline's 10 columns on the film are its last 20.
    assert lesions[0][12:54, 44:].all() and lesions[0].sum() == 42 * 20


def spoil_overlay(cases: Path) -> None:
    replace_overlay(cases, abnormality(1, "3 3 2 9 #\n"))


def empty_overlay(cases: Path) -> None:
    replace_overlay(cases, "")


def leave_outline_out(cases: Path) -> None:
    replace_overlay(cases, abnormality(1, ""))


def put_off_the_film(cases: Path) -> None:
    replace_overlay(cases, abnormality(1, square_chain(500, 500, 9)))


def unknown_word(cases: Path) -> None:
    replace_overlay(cases, abnormality(1, square_chain(30, 40, 9), shape="SQUARE"))


def remove_film(cases: Path) -> None:
    (cases / "case3024" / "B_3024_1.LEFT_CC.LJPEG").unlink()


def spoil_film(cases: Path) -> None:
    path = cases / "case3024" / "B_3024_1.LEFT_CC.LJPEG"
    path.write_bytes(path.read_bytes()[:120])


def remove_overlay(cases: Path) -> None:
    (cases / "case3024" / "B_3024_1.LEFT_CC.OVERLAY").unlink()


def spoil_ics(cases: Path) -> None:
    (cases / "case3024" / "B-3024-1.ics").write_text("filename B-3024-1\n")


def spoil_size(cases: Path) -> None:
    (ics,) = (cases / "case3024").glob("*.ics")
    ics.write_text(re.sub(r"LEFT_CC LINES \d+", "LEFT_CC LINES -5", ics.read_text()))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_size, ".ics file with a film of impossible size"),
        (spoil_overlay, "overlay with a broken outline"),
        (empty_overlay, "overlay without an abnormality"),
        (leave_outline_out, "overlay without an outline"),
        (put_off_the_film, "overlay off the film"),
        (unknown_word, "unknown shape word: none of round"),
        (remove_film, "film missing"),
        (spoil_film, "LJPEG film cannot be decoded"),
        (remove_overlay, "overlay missing"),
        (spoil_ics, ".ics file without DIGITIZER"),
    ],
)
def test_what_is_bad_is_rejected_in_one_line_and_the_rest_goes_through(cases, tmp_path, spoil, said):
    spoil(cases)
    done = convert_masses(read_ddsm(cases), tmp_path / "out", workers=1)
    ((_, reason),) = done.rejected
    assert reason.startswith(said) and "\n" not in reason
    assert done.dataset.count == 2
