"""DICOM objects of mammograms with lesions: what they state is true, and other programs take them."""

import re
from dataclasses import replace
from datetime import datetime

import pytest

from lesions import dicom
from lesions.inserter import open_inserter
from preprocessing.images.dicom_writer import NO_SIDE


@pytest.fixture
def inserter(mammograms, masses):
    return open_inserter(mammograms.folder, masses.folder)


def test_the_masses_are_counted_and_their_origin_is_named(inserter):
    one = inserter.image(0)
    count = sum(map(bool, one.masses))
    said = dicom.image_dataset(one, inserter).DerivationDescription
    assert re.match(rf"{count} mass(es)? of other real, de-identified patients, inserted by software into a ", said)
    assert "a mammogram of a real, de-identified patient" in said


def test_where_no_mass_found_room_none_is_stated(inserter):
    one = replace(inserter.image(0), masses=("",))
    image = dicom.image_dataset(one, inserter)
    assert image.DerivationDescription.startswith("No mass inserted into") and "SYNTHETIC" not in image.ImageComments


@pytest.mark.parametrize(
    ("synthetic", "by", "words"),
    [
        (False, "prepare_mammograms", "a mammogram of a real, de-identified patient"),
        (True, "make_phantoms", "a computed phantom"),
        (True, "generate_mammograms", "a generative neural network drew"),
        (True, "insert_lesions", "software had made or altered"),
        (True, "prepare_mammograms", "software had made or altered"),
    ],
)
def test_the_origin_of_the_mammogram_is_named(inserter, synthetic, by, words):
    inserter.mammograms.meta = {**inserter.mammograms.meta, "synthetic": synthetic, "made": {"by": by}}
    image = dicom.image_dataset(inserter.image(0), inserter)
    assert words in image.DerivationDescription
    known = by in ("make_phantoms", "generate_mammograms")  # of a real breast implants and cut parts are not
    assert ("BreastImplantPresent" in image) == ("PartialView" in image) == known


def test_images_of_one_subject_are_of_one_patient(inserter):
    headers = [dicom.image_dataset(inserter.image(number), inserter) for number in range(7)]  # 0 and 6: one mammogram
    assert len({one.PatientID for one in headers}) == len({one.StudyInstanceUID for one in headers}) == 6
    first, last = headers[0], headers[6]
    assert first.PatientID == last.PatientID and first.PatientName == last.PatientName
    assert (first.SeriesNumber, last.SeriesNumber) == (1, 2) and first.SeriesInstanceUID != last.SeriesInstanceUID
    assert "patient00" not in str(first)


def test_an_unknown_side_is_said(inserter):
    one = inserter.image(0)
    image = dicom.image_dataset(replace(one, fields={**one.fields, "laterality": ""}), inserter)
    assert image.ImageLaterality == "L" and NO_SIDE in image.ImageComments


def test_a_segmentation_names_no_equipment_algorithm_or_hour_that_was_not(inserter):
    pytest.importorskip("highdicom")
    one = inserter.image(0)
    segmentation = dicom.segmentation_dataset(dicom.image_dataset(one, inserter), one, datetime(2001, 5, 4, 3, 2, 1))
    assert segmentation.ContentDate + segmentation.ContentTime == "20010504030201"
    for element in segmentation.iterall():
        assert element.VR not in ("DA", "TM", "DT") or element.keyword[:7] in (
            "Content",
            "StudyDa",
            "StudyTi",
            "Patient",
        )
        assert element.keyword != "AlgorithmFamilyCodeSequence"
        assert element.value not in ("Acquisition Equipment", "Artificial Intelligence")
