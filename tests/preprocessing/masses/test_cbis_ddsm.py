"""CBIS-DDSM: the official tables, both versions of them, and every layout of the files."""

import csv
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from preprocessing.images.image import UnusableImage
from preprocessing.masses.cbis_ddsm import COLUMNS, read_cbis
from preprocessing.masses.convert import convert_masses
from preprocessing.masses.item import summarise
from preprocessing.masses.labels import CLASSES, read_label
from preprocessing.masses.lesion import box_of
from preprocessing.masses.options import MassOptions
from preprocessing.masses.window import cut_window
from preprocessing.shards import DataError

HEIGHT, WIDTH = 120, 90
ROWS, LINES = slice(30, 62), slice(40, 60)  # of the lesion in the mask

# The table of the two official files: margins in the order of `CLASSES`.
OFFICIAL = {
    "round": (70, 12, 32, 27, 21),
    "oval": (138, 47, 115, 65, 26),
    "lobulated": (151, 54, 80, 55, 8),
    "irregular": (0, 15, 19, 164, 227),
}


def official(shared_data) -> list[Path]:
    folder = shared_data / "cbis-ddsm"
    return [folder / f"mass_case_description_{part}_set.csv" for part in ("train", "test")]


def count_labels(lesions, policy: str = "single") -> dict:
    """The summary that labels alone give: films are not needed."""
    found, rejected = {field: [] for field in CLASSES}, []
    for number, lesion in enumerate(lesions):
        try:
            labels = {field: read_label(getattr(lesion, field), field, policy) for field in CLASSES}
        except UnusableImage as reason:
            rejected.append((number, str(reason)))
            continue
        blank = next((field for field in CLASSES if labels[field] is None), None)
        if blank:
            rejected.append((number, f"no {blank}"))
            continue
        for field, label in labels.items():
            found[field].append(label)
    return summarise({field: np.array(values, np.int8) for field, values in found.items()}, rejected)


def test_official_tables_give_the_official_counts(shared_data):
    lesions = read_cbis(official(shared_data))
    summary = count_labels(lesions)
    table = {shape: tuple(summary["shape x margin"][shape][m] for m in CLASSES["margin"]) for shape in CLASSES["shape"]}
    assert len(lesions) == 1696
    assert table == OFFICIAL
    assert sum(map(sum, table.values())) == 1326
    assert sum(summary["rejected"].values()) == 1696 - 1326


def test_official_tables_hold_no_unknown_word(shared_data):
    assert count_labels(read_cbis(official(shared_data)))["rejected"] == {
        "no shape": 4,
        "several margin words": 98,
        "several shape words": 80,
        "shape of no class": 188,
    }


def test_first_policy_keeps_more_of_the_official_tables(shared_data):
    summary = count_labels(read_cbis(official(shared_data)), "first")
    assert summary["rejected"] == {"no shape": 4, "shape of no class": 188}


# ------------------------------------------------------------------------------------------ files


def write_dicom(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    dataset.Modality, dataset.PatientID = "MG", "Mass-Training_P_00001_LEFT_CC"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = pixels.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def pixels() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    film = rng.integers(0, 65535, (HEIGHT, WIDTH), np.uint16)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[ROWS, LINES] = 255
    return {"film": film, "mask": mask, "crop": np.ascontiguousarray(film[26:66, 34:66])}


CASE = "Mass-Training_P_00001_LEFT_CC"
WRITTEN = {
    "film": f"{CASE}/1.2.1/1.2.2/000000.dcm",
    "crop": f"{CASE}_1/1.3.1/1.3.2/000000.dcm",
    "mask": f"{CASE}_1/1.3.1/1.3.2/000001.dcm",
}
LAYOUTS = {
    "as written": WRITTEN,
    "renamed": {
        "film": f"{CASE}/1.2.1/1.2.2/1-1.dcm",
        "crop": f"{CASE}_1/1.3.1/1.3.2/1-1.dcm",
        "mask": f"{CASE}_1/1.3.1/1.3.2/1-2.dcm",
    },
    "series only": {
        "film": "1.2.2/1-1.dcm",
        "crop": "1.3.2/1-1.dcm",
        "mask": "1.3.2/1-2.dcm",
    },
    "new NBIA folders": {
        "film": f"{CASE}/07-20-2016-DDSM-30288/1.000000-full mammogram images-24515/1-1.dcm",
        "crop": f"{CASE}_1/07-20-2016-DDSM-94942/1.000000-ROI mask images-18515/1-1.dcm",
        "mask": f"{CASE}_1/07-20-2016-DDSM-94942/1.000000-ROI mask images-18515/1-2.dcm",
    },
}


def write_table(path: Path, version: int = 0, rows: int = 1, **values: str) -> Path:
    """One CSV file as it is published: the last field ends in a newline inside its quotes."""
    row = {"patient": "P_00001", "shape": "OVAL", "margin": "ILL_DEFINED", **WRITTEN, **values}
    if version == 1:
        row = {name: text.replace("/", "\\") if name in WRITTEN else text for name, text in row.items()}
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["left or right breast", *(columns[version] for columns in COLUMNS.values())])
        for _ in range(rows):
            table.writerow(["LEFT", *(row[name] + "\n" * (name == "mask") for name in COLUMNS)])
    return path


def write_files(folder: Path, pixels, layout=WRITTEN, leave=()) -> Path:
    folder.mkdir(exist_ok=True)
    for name, place in layout.items():
        if name not in leave:
            write_dicom(folder / place, pixels[name])
    return folder


def converted(table: Path, images: Path, tmp_path: Path):
    done = convert_masses(read_cbis([table], images), tmp_path / "out", MassOptions(contrast="original"), workers=1)
    return done, done.dataset.read((64, 64), np.arange(done.dataset.count))[0] / 65535


def expected(pixels, part="film") -> np.ndarray:
    if part == "crop":
        crop = pixels["crop"] / np.float32(65535)
        mirrored = np.pad(crop, ((0, 0), (4, 4)), mode="symmetric")
        return cut_window(mirrored.astype(np.float32), box_of(np.ones((40, 40))), context=1)
    return cut_window(pixels["film"].astype(np.float32) / 65535, box_of(pixels["mask"]))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_version_finds_every_layout(tmp_path, pixels, layout, version):
    images = write_files(tmp_path / "images", pixels, LAYOUTS[layout])
    done, stored = converted(write_table(tmp_path / "t.csv", version), images, tmp_path)
    assert done.rejected == []
    np.testing.assert_allclose(stored[0], expected(pixels), atol=2e-5)
    assert done.dataset.field("shape").tolist() == [1] and done.dataset.field("margin").tolist() == [3]


def test_region_is_what_the_roi_mask_covers(tmp_path, pixels):
    done, _ = converted(write_table(tmp_path / "t.csv"), write_files(tmp_path / "images", pixels), tmp_path)
    (lesion,) = done.dataset.read_array("lesion", (64, 64), [0])
    # Rows 30 to 62 and columns 40 to 60, in a window of 48 from row 22 and column 26 on: 4/3 pixels for one.
    assert lesion[11:53, 19:45].all() and lesion.sum() == 42 * 26


def test_the_size_is_known_where_the_film_is_there(tmp_path, pixels):
    images = write_files(tmp_path / "images", pixels)
    (with_film,) = converted(write_table(tmp_path / "t.csv"), images, tmp_path / "with")[0].dataset.field("size")
    crops = write_files(tmp_path / "crops", pixels, leave=("film",))
    (without,) = converted(write_table(tmp_path / "t.csv"), crops, tmp_path / "without")[0].dataset.field("size")
    assert with_film == pytest.approx(32 * 512 / 180) and np.isnan(without)  # a frame of 180 × 90


def test_crop_and_mask_may_be_exchanged(tmp_path, pixels):
    swapped = {**pixels, "crop": pixels["mask"], "mask": pixels["crop"]}
    images = write_files(tmp_path / "images", swapped)
    _, stored = converted(write_table(tmp_path / "t.csv"), images, tmp_path)
    np.testing.assert_allclose(stored[0], expected(pixels), atol=2e-5)


@pytest.mark.parametrize("swap", [False, True])
def test_crop_serves_where_the_film_is_not_there(tmp_path, pixels, swap):
    files = {**pixels, "crop": pixels["mask"], "mask": pixels["crop"]} if swap else pixels
    images = write_files(tmp_path / "images", files, leave=("film",))
    done, stored = converted(write_table(tmp_path / "t.csv"), images, tmp_path)
    np.testing.assert_allclose(stored[0], expected(pixels, "crop"), atol=2e-5)
    assert not done.dataset.read_array("lesion", (64, 64), [0]).any()


def reason(tmp_path, pixels, **options) -> str:
    images = write_files(tmp_path / "images", pixels, **options)
    done, _ = converted(write_table(tmp_path / "t.csv"), images, tmp_path)
    ((place, text),) = done.rejected
    assert place.endswith("t.csv row 1") and "\n" not in text and "P_00001" not in text
    return text


def test_neither_part_of_the_films_size_is_rejected(tmp_path, pixels):
    assert "neither crop nor ROI mask has the size" in reason(tmp_path, {**pixels, "mask": pixels["mask"][1:]})


def test_missing_files_are_told(tmp_path, pixels):
    assert reason(tmp_path, pixels, leave=("crop", "mask")).startswith("film missing: neither its ROI mask")


def test_files_elsewhere_are_not_opened(tmp_path, pixels):
    elsewhere = write_files(tmp_path / "elsewhere", pixels)
    table = write_table(tmp_path / "t.csv")
    table.write_text(table.read_text().replace(CASE, f"{elsewhere}/{CASE}"))
    (tmp_path / "images").mkdir()
    assert [lesion.unusable for lesion in read_cbis([table], elsewhere)] == [""]
    assert read_cbis([table], tmp_path / "images")[0].unusable.startswith("film missing")


def test_mask_alone_is_no_mass(tmp_path, pixels):
    assert "only its ROI mask" in reason(tmp_path, pixels, leave=("crop", "film"))


def test_empty_mask_is_told(tmp_path, pixels):
    empty = {**pixels, "mask": np.zeros_like(pixels["mask"])}
    assert reason(tmp_path, empty) == "ROI mask cannot be used: every pixel has the same value"


def test_unreadable_dicom_is_told(tmp_path, pixels):
    write_files(tmp_path / "images", pixels)
    (tmp_path / "images" / WRITTEN["film"]).write_bytes(b"not a film")
    done, _ = converted(write_table(tmp_path / "t.csv"), tmp_path / "images", tmp_path)
    assert done.rejected[0][1].startswith("DICOM file cannot be read")


@pytest.mark.parametrize("name", COLUMNS)
def test_missing_column_is_named(tmp_path, name):
    table = write_table(tmp_path / "t.csv")
    header, rest = table.read_text().split("\n", 1)
    columns = ["other" if column.strip() == COLUMNS[name][0] else column.strip() for column in header.split(",")]
    table.write_text(",".join(columns) + "\n" + rest)
    with pytest.raises(DataError, match=f"has no column {COLUMNS[name][0]}; give a mass CSV"):
        read_cbis([table])
