"""Whose breast a DICOM mammogram shows, which side of it and in which view."""

import re
from pathlib import Path

from pydicom.dataset import Dataset

from preprocessing.images.image import without_ending
from preprocessing.images.views import LATERALITIES, Turn, read_view, turn_of, view_of_code

ELEMENTS = (
    "PatientID StudyInstanceUID ImageLaterality Laterality ViewPosition ViewCodeSequence PatientOrientation "
    "SeriesDescription"
).split()

# CBIS-DDSM gives every film a PatientID and a study of its own: "Mass-Training_P_00001_LEFT_CC".
_CBIS_PATIENT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d+)")
# "..._LEFT_CC", "B_3013_1.RIGHT_MLO", "L-MLO", "LCC"
_SIDE_AND_VIEW = re.compile(r"(?:^|[\W_])(L|R|LEFT|RIGHT)[\W_]?(CC|MLO)(?=$|[\W_])", re.IGNORECASE)

# What anonymisation writes instead of a PatientID, without blanks and marks: it tells nobody from anybody.
_PLACEHOLDERS = frozenset(
    """
    anon anonym anonymous anonymized anonymised anonymousid anonymouspatient blank deid deidentified empty hidden na nan
    noid noname none notavailable null patient patientid private redacted removed undefined unknown unspecified
    """.split()
)


def identity_of(dataset: Dataset, path: Path) -> tuple[str, str]:
    """Return whose image it is, and what tells it: CBIS-DDSM's P_00001 or PatientID, else the study, else the file.

    A PatientID that anonymisation puts into every file, as "ANONYMOUS" or "0000", counts as none.
    """
    identity = text_of(dataset, "PatientID")
    cbis = _CBIS_PATIENT.search(identity) or (not identity and _CBIS_PATIENT.search(path.stem))
    if cbis:
        return cbis.group(1), "PatientID"
    study, placeholder = text_of(dataset, "StudyInstanceUID"), bool(identity) and is_placeholder(identity)
    if identity and not placeholder:
        return identity, "PatientID"
    if study:
        return study, "study of a placeholder" if placeholder else "study"
    return without_ending(path).name, "file"


def is_placeholder(identity: str) -> bool:
    """Tell whether a PatientID is a word for none, or a row of zeros, nines, crosses or marks."""
    letters = re.sub(r"[\W_]", "", identity.lower())
    return letters in _PLACEHOLDERS or re.fullmatch(r"|00+|xx+|9{4,}", letters) is not None


def laterality_of(dataset: Dataset, path: Path) -> str | None:
    """Return "L" or "R" of the header, else of a text that names side and view; None where none tells."""
    for keyword in ("ImageLaterality", "Laterality"):
        side = text_of(dataset, keyword).upper()
        if side in (*LATERALITIES, "LEFT", "RIGHT"):
            return side[0]
    return _side_and_view(dataset, path)[0] or None


def view_of(dataset: Dataset, path: Path) -> str | None:
    """Return the view of the header, else of a text that names side and view; None where none tells."""
    view = read_view(text_of(dataset, "ViewPosition"))
    if view:
        return view
    for item in dataset.get("ViewCodeSequence") or ():
        if view := view_of_code(text_of(item, "CodeValue")):
            return view
    # CBIS-DDSM writes the view where the orientation belongs.
    return read_view(text_of(dataset, "PatientOrientation")) or _side_and_view(dataset, path)[1] or None


def turn_of_header(dataset: Dataset, laterality: str | None) -> Turn:
    """Return what makes the image upright, by PatientOrientation; nothing where it does not tell."""
    orientation = dataset.get("PatientOrientation") or ()
    return turn_of([] if isinstance(orientation, str) else [str(value) for value in orientation], laterality)


def _side_and_view(dataset: Dataset, path: Path) -> tuple[str, str]:
    """Find them in the first text that names one of each, as "LCC" or "R MLO"."""
    texts = (text_of(dataset, "ViewPosition"), text_of(dataset, "PatientID"), path.name)
    for text in (*texts, text_of(dataset, "SeriesDescription")):
        found = {(side[0].upper(), view.upper()) for side, view in _SIDE_AND_VIEW.findall(text)}
        if len(found) == 1:
            return found.pop()
    return "", ""


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, without blanks and padding at its ends; "" where it is absent or empty."""
    return str(dataset.get(keyword) or "").strip(" \0")
