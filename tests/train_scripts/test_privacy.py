"""Who a patient is never leaves the input: planted in every element, column, cell and file name, it is looked for."""

import csv
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from commands import command
from pydicom import uid
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset

from preprocessing.images import acceptance, dicom_identity, grey_levels
from preprocessing.phantoms.mammogram import mammogram_phantom

NAME, NUMBER, BORN = "Dulcinea", "7041776", "19470916"
SECRETS = [NAME, NUMBER, BORN, date(1947, 9, 16).isoformat()]
prepare_mammograms, prepare_masses = command("prepare_mammograms"), command("prepare_masses")

TEXT = f"{NAME} {NUMBER} {BORN}"
BY_TYPE = {
    "PN": f"{NAME}^{NUMBER}",
    "DA": BORN,
    "DT": BORN,
    "IS": BORN,
    "DS": BORN,
    "UI": f"1.2.{NUMBER}.{BORN}",
    "LO": TEXT,
    "SH": f"{NAME}{NUMBER}",
    "ST": TEXT,
    "LT": TEXT,
    "UT": TEXT,
    "UC": TEXT,
    "CS": f"{NAME.upper()} {NUMBER}"[:16],
}


def film(number: int = 0) -> np.ndarray:
    return np.uint16(np.round(mammogram_phantom(number, 256, 128)[0] * 4095))


def mammogram(path: Path, **elements: object) -> None:
    """A DICOM mammogram; elements replace those of the header, None removes one."""
    header = Dataset()
    pixels = film()
    header.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    header.SOPInstanceUID, header.StudyInstanceUID = uid.generate_uid(), uid.generate_uid()
    header.Modality, header.PatientID, header.ImageLaterality, header.ViewPosition = "MG", NUMBER, "L", "CC"
    header.PatientName, header.PatientBirthDate = f"{NAME}^{NAME}", BORN
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header.PixelData = pixels.tobytes()
    header["PixelData"].VR = "OW"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def told(output: Path, printed: str) -> list[str]:
    """Where a secret can be found: what was printed, and every file of the output but the key's private list."""
    private = {output.with_name(f"{output.name}.{noun}s.csv") for noun in ("film", "lesion")}
    files = [path for path in output.parent.rglob("*") if path.is_file() and path not in private]
    places = {"terminal": printed, **{str(path): path.read_bytes().decode("latin-1") for path in files}}
    found = [place for place, text in places.items() if any(s.casefold() in text.casefold() for s in SECRETS)]
    return found + [str(path) for path in files if any(s.casefold() in path.name.casefold() for s in SECRETS)]


def readable_elements() -> list[str]:
    """Every element of text or numbers that the reader asks for, and those that name a patient or a person."""
    read = {*dicom_identity.ELEMENTS, *grey_levels.ELEMENTS, *acceptance.ELEMENTS}
    read |= {"PhotometricInterpretation", "NumberOfFrames"}
    named = {keyword_for_tag(tag) for tag, entry in DicomDictionary.items() if entry[0] == "PN"}
    patient = {keyword_for_tag(tag) for tag in DicomDictionary if tag >> 16 == 0x0010}
    described = {"ImageType", "StudyDescription", "SeriesDescription", "ProtocolName", "InstitutionName", "Modality"}
    kept = read | patient | described | {"BodyPartExamined", "ImageComments", "AccessionNumber"} | named
    sequences = {keyword for keyword in read if pydicom.datadict.dictionary_VR(keyword) == "SQ"}
    return sorted(k for k in kept if k in sequences or (k and pydicom.datadict.dictionary_VR(k) in BY_TYPE))


def planted(keyword: str) -> object:
    """The secret as a value of an element; a sequence has it in all that is read of items."""
    kind = pydicom.datadict.dictionary_VR(keyword)
    if kind != "SQ":
        return BY_TYPE[kind]
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning, item.LUTExplanation = [TEXT] * 4
    item.ViewModifierCodeSequence = [Dataset()]
    item.ViewModifierCodeSequence[0].CodeValue = item.ViewModifierCodeSequence[0].CodeMeaning = TEXT
    return [item]


def test_no_element_of_a_header_is_stored_or_repeated(tmp_path):
    elements = readable_elements()
    assert len(elements) > 100 and {*acceptance.ELEMENTS} <= {*elements}
    for number, keyword in enumerate(elements):
        with pydicom.config.disable_value_validation():
            mammogram(tmp_path / "in" / f"{number:03d}.dcm", **{keyword: planted(keyword)})
    output = tmp_path / "out" / "data"
    done = prepare_mammograms("--input", tmp_path / "in", "--output", output, "--workers", 1)
    assert done.exit_code in (0, 3), done.output
    assert told(output, done.output) == []


@pytest.mark.parametrize("content", [b"", b"not an image", bytes(128) + b"DICM" + bytes(20)])
def test_a_file_s_name_is_only_in_the_private_list(tmp_path, content):
    folder = tmp_path / "in" / f"{NAME}_{BORN}"
    mammogram(folder / f"{NUMBER}.dcm")
    (folder / f"{NAME}.dcm").write_bytes(content)
    output = tmp_path / "out" / "data"
    done = prepare_mammograms("--input", tmp_path / "in", "--output", output, "--workers", 1)
    assert done.exit_code == 3
    assert told(output, done.output) == []
    assert NAME in output.with_name("data.films.csv").read_text()


@pytest.mark.parametrize("column", ["subject", "laterality", "view", "density", "remarks"])
def test_no_cell_of_a_table_of_images_is_stored_or_repeated(tmp_path, column):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), film() * 16)
    row = {"image": "a.png", "subject": "1", "laterality": "L", "view": "CC", "density": "b", column: TEXT}
    table = tmp_path / "table.csv"
    table.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    output = tmp_path / "out" / "data"
    done = prepare_mammograms("--input", tmp_path / "in", "--output", output, "--table", table, "--workers", 1)
    assert done.exit_code == 0, done.output
    assert told(output, done.output) == []
    named = column in ("laterality", "view", "density")
    assert (f"row 1: unknown word in {column}" in done.stderr) == named


@pytest.mark.parametrize("column", ["image", "subject"])
def test_rows_that_contradict_each_other_are_named_by_number(tmp_path, column):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), film() * 16)
    second = {"image": "a.png", "subject": TEXT} if column == "subject" else {"image": f"{NAME}.png", "subject": ""}
    table = tmp_path / "table.csv"
    table.write_text("image,subject\na.png,1\n" + ",".join(second.values()) + "\n")
    output = tmp_path / "out" / "data"
    done = prepare_mammograms("--input", tmp_path / "in", "--output", output, "--table", table, "--workers", 1)
    assert done.exit_code == 1 and "2" in done.stderr
    assert told(output, done.output) == []


@pytest.mark.parametrize("column", ["image", "x", "y", "width", "height", "shape", "margin", "subject", "remarks"])
@pytest.mark.parametrize("secret", [TEXT, BORN])
def test_no_cell_of_a_table_of_boxes_is_stored_or_repeated(tmp_path, column, secret):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/a.png"), film() * 16)
    good = {"image": "a.png", "x": "20", "y": "80", "width": "40", "height": "40", "shape": "OVAL"}
    good |= {"margin": "SPICULATED", "subject": "1", "remarks": ""}
    table = tmp_path / "rois.csv"
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, good)
        writer.writeheader()
        writer.writerows([good, good | {column: secret}])
    output = tmp_path / "out" / "data"
    done = prepare_masses("--rois", table, "--images", tmp_path / "in", "--output", output, "--workers", 1)
    assert done.exit_code in (0, 3), done.output
    assert told(output, done.output) == []


def write_case(folder: Path, **lines: str) -> None:
    """A DDSM case whose films are missing; lines of its files by what they say."""
    said = {"filename": "A-3024-1", "DIGITIZER": "HOWTEK", "shape": "OVAL", "margins": "SPICULATED", **lines}
    stem = folder / said.pop("stem", "A-3024-1")
    folder.mkdir(parents=True)
    ics = f"filename {said['filename']}\nDATE_OF_STUDY {BORN}\nPATIENT_AGE {NAME}\nDIGITIZER {said['DIGITIZER']}\n"
    sides = f"LEFT_CC LINES {said.get('lines', '20')} PIXELS_PER_LINE 20 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY\n"
    stem.with_suffix(".ics").write_text(ics + sides)
    overlay = f"LESION_TYPE MASS SHAPE {said['shape']} MARGINS {said['margins']}\nASSESSMENT 4\nBOUNDARY\n5 5 2 2 4 #\n"
    stem.with_suffix(".LEFT_CC.OVERLAY").write_text(f"TOTAL_ABNORMALITIES 1\nABNORMALITY 1\n{overlay}")


@pytest.mark.parametrize("line", ["filename", "DIGITIZER", "shape", "margins", "lines", "stem"])
def test_no_word_of_a_case_is_stored_or_repeated(tmp_path, line):
    write_case(tmp_path / "in" / NAME, **{line: f"{NAME}_{NUMBER}"})
    output = tmp_path / "out" / "data"
    arguments = ("--ddsm", tmp_path / "in", "--output", output, "--workers", 1)
    for digitizer in ((), ("--digitizer", "DBA")):
        done = prepare_masses(*arguments, *digitizer)
        assert done.exit_code == 1 and "Error: " in done.stderr
        assert told(output, done.output) == []


def test_no_cell_of_cbis_ddsm_s_table_is_stored_or_repeated(tmp_path):
    columns = ["patient_id", "mass shape", "mass margins", "image file path", "cropped image file path"]
    columns += ["ROI mask file path", "pathology"]
    rows = [[TEXT if n == column else "x" for n in range(len(columns))] for column in range(len(columns))]
    table = tmp_path / "mass.csv"
    table.write_text("\n".join(",".join(row) for row in [columns, *rows]))
    (tmp_path / "in").mkdir()
    output = tmp_path / "out" / "data"
    done = prepare_masses("--cbis-csv", table, "--images", tmp_path / "in", "--output", output, "--workers", 1)
    assert done.exit_code == 1 and "Error: no mass could be used, of 7 given" in done.stderr
    assert told(output, done.output) == []


def test_traces_of_a_private_list_are_for_its_owner_only(tmp_path):
    mammogram(tmp_path / "in" / f"{NAME}.dcm")
    output = tmp_path / "out" / "data"
    assert prepare_mammograms("--input", tmp_path / "in", "--output", output, "--workers", 1).exit_code == 0
    for path in (output.with_name("data.films.csv"), output.with_name("data.key")):
        assert path.stat().st_mode & 0o077 == 0
