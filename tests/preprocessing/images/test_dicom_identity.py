"""Patient, side and view of DICOM mammograms."""

from pathlib import Path

import pytest
from dicom_files import SECRET, header
from pydicom.dataset import Dataset

from preprocessing.images.dicom import read_dicom


def identity(folder: Path, name: str = "film.dcm", **elements):
    dataset = header(**elements)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    film = read_dicom(path)
    return film.patient, film.laterality, film.view


def test_patient_laterality_and_view_of_a_plain_header(tmp_path):
    found = identity(tmp_path, ImageLaterality="R", ViewPosition="MLO")
    assert found == (SECRET, "R", "MLO")


def test_cbis_ddsm_films_of_a_patient_share_their_identity(mammograms_dicoms):
    films = [read_dicom(path) for path in mammograms_dicoms[::3]]
    assert [(film.patient, film.laterality, film.view) for film in films] == [
        ("P_00173", "L", "CC"),
        ("P_00173", "R", "MLO"),
        ("P_00820", "R", "CC"),
    ]


def test_a_cbis_ddsm_patient_id_gives_side_and_view(tmp_path):
    found = identity(tmp_path, PatientID="Calc-Training_P_00005_RIGHT_MLO_1")
    assert found == ("P_00005", "R", "MLO")


def test_without_patient_id_the_study_is_the_patient(tmp_path):
    assert identity(tmp_path, PatientID="")[0] == "1.2.3.4711"


def test_without_patient_id_and_study_the_stem_is_the_patient(tmp_path):
    found = identity(tmp_path, "case-7.dcm", PatientID=None, StudyInstanceUID=None)
    assert found == ("case-7", None, None)


@pytest.mark.parametrize(
    ("name", "side", "view"),
    [
        ("B_3013_1.RIGHT_MLO.dcm", "R", "MLO"),
        ("20586908_MG_L_CC_ANON.dcm", "L", "CC"),
        ("17-RCC.dcm", "R", "CC"),
        ("FOR_L.dcm", None, None),
    ],
)
def test_the_file_name_gives_side_and_view_where_the_header_does_not(tmp_path, name, side, view):
    assert identity(tmp_path, name)[1:] == (side, view)


@pytest.mark.parametrize(
    ("elements", "side", "view"),
    [
        ({"ViewPosition": "LCC"}, "L", "CC"),
        ({"SeriesDescription": "R MLO Tomo"}, "R", "MLO"),
        ({"SeriesDescription": "R CC, L CC"}, None, None),
        ({"SeriesDescription": "R MLO", "ViewPosition": "ML", "ImageLaterality": "LEFT"}, "L", "ML"),
    ],
)
def test_other_texts_give_side_and_view_where_their_elements_do_not(tmp_path, elements, side, view):
    assert identity(tmp_path, **elements)[1:] == (side, view)


def test_the_view_code_is_read_where_the_view_position_is_no_view(tmp_path):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "R-10226", "SNM3"
    found = identity(tmp_path, ViewPosition="FLATFIELD", ViewCodeSequence=[code])
    assert found[2] == "MLO"


def test_both_breasts_in_one_image_have_no_laterality(tmp_path):
    assert identity(tmp_path, ImageLaterality="B")[1] is None
