"""Synthetic mammograms as DICOM: round trip, identity, orientation, required elements."""

import numpy as np
import pydicom
import pytest
from pydicom import uid

from preprocessing.images.dicom_writer import encoded_dicom, synthetic_dicom
from preprocessing.images.read import read_image
from preprocessing.images.views import VIEWS
from preprocessing.mammograms.breast_mask import breast_mask
from preprocessing.mammograms.standardise import orient
from preprocessing.phantoms.mammogram import mammogram_phantom

GENERATOR = "0123456789abcdef" * 4
NAMES = {"number": 7, "series": "seed 0", "generator": GENERATOR}


def picture(height=32, width=16):
    """Chest wall on the left, black outside; 0 and 1 both occur."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).uniform(0.2, 0.9, (height, width))
    image = np.where((x / width) ** 2 + (2 * y / height - 1) ** 2 < 0.8, noise, 0).astype(np.float32)
    image[height // 2, 0] = 1
    return image


def written(folder, image=None, **changes):
    path = folder / "000007.dcm"
    path.write_bytes(encoded_dicom(picture() if image is None else image, **(NAMES | changes)))
    return path


def elements(dataset):
    """Every element, those inside sequences too."""
    return list(dataset.iterall())


# --- pixels -------------------------------------------------------------------------------------


def test_reading_gives_the_image_back(tmp_path):
    film = read_image(written(tmp_path, laterality="L", view="CC"))
    np.testing.assert_allclose(film.pixels, picture(), atol=0.51 / 65535)


def test_images_of_all_levels_can_be_written(tmp_path):
    for level in range(1, 8):
        image = picture(4 * 2**level, 2 * 2**level)
        np.testing.assert_allclose(read_image(written(tmp_path, image)).pixels, image, atol=0.51 / 65535)


def test_window_spans_all_stored_values():
    dataset = synthetic_dicom(picture(), **NAMES)
    ends = pydicom.pixels.apply_windowing(np.array([0, 1, 65535]), dataset)
    np.testing.assert_allclose(ends, [0, 1, 65535])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_values_outside_0_to_1_are_refused(bad):
    image = picture()
    image[3, 3] = bad
    with pytest.raises(ValueError, match="image"):
        synthetic_dicom(image, **NAMES)


@pytest.mark.parametrize("image", [np.zeros((8, 4, 1), np.float32), np.zeros((8, 4), np.uint8)])
def test_images_of_another_kind_are_refused(image):
    with pytest.raises(ValueError, match="image"):
        synthetic_dicom(image, **NAMES)


# --- identity -----------------------------------------------------------------------------------


def test_a_second_run_writes_the_same_bytes(tmp_path):
    first = written(tmp_path, view="MLO").read_bytes()
    assert written(tmp_path, view="MLO").read_bytes() == first


def test_the_file_does_not_depend_on_the_version_of_pydicom(tmp_path):
    assert b"PYDICOM" not in written(tmp_path).read_bytes().upper()


@pytest.mark.parametrize("change", [{"number": 8}, {"series": "seed 1"}, {"generator": "f" * 64}])
def test_another_image_shares_no_identity(change):
    one, other = synthetic_dicom(picture(), **NAMES), synthetic_dicom(picture(), **(NAMES | change))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"):
        assert one[keyword].value != other[keyword].value, keyword


def test_uids_are_uuids_and_all_differ():
    dataset = synthetic_dicom(picture(), **NAMES)
    uids = [dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID]
    assert len(set(uids)) == 3
    assert all(one.startswith("2.25.") and one.is_valid and len(one) <= 64 for one in uids)


def test_the_series_name_is_not_written(tmp_path):
    assert b"/home/somebody" not in written(tmp_path, series="/home/somebody").read_bytes()


def test_no_element_holds_a_date_or_time():
    dated = [e for e in elements(synthetic_dicom(picture(), **NAMES)) if e.VR in ("DA", "TM", "DT", "AS")]
    assert {e.keyword for e in dated} == {"PatientBirthDate", "StudyDate", "StudyTime"}
    assert all(e.is_empty for e in dated)


def test_no_private_element():
    assert not any(e.tag.is_private for e in elements(synthetic_dicom(picture(), **NAMES)))


def test_marked_as_synthetic_wherever_the_standard_allows():
    dataset = synthetic_dicom(picture(), **NAMES)
    assert dataset.SyntheticData == "YES"
    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.ImageType[:2] == ["DERIVED", "PRIMARY"]
    assert dataset.PatientName == "SYNTHETIC^000007"
    assert dataset.PatientID.startswith("SYNTHETIC-")
    for keyword in ("StudyDescription", "SeriesDescription", "ImageComments"):
        assert "SYNTHETIC" in dataset[keyword].value, keyword
    assert "neural network" in dataset.DerivationDescription


def test_the_generator_is_named():
    dataset = synthetic_dicom(picture(), **NAMES)
    assert dataset.SoftwareVersions == GENERATOR and GENERATOR in dataset.DerivationDescription


# --- side and view ------------------------------------------------------------------------------


def test_a_right_breast_is_mirrored(tmp_path):
    film = read_image(written(tmp_path, laterality="R"))
    np.testing.assert_allclose(film.pixels, picture()[:, ::-1], atol=0.51 / 65535)


def test_preparing_a_right_breast_turns_it_back(tmp_path):
    image, _, view = mammogram_phantom(3, height=256, width=128)
    film = read_image(written(tmp_path, image, laterality="R", view=view))
    pixels, _, flipped = orient(film.pixels, breast_mask(film.pixels))
    assert flipped
    np.testing.assert_allclose(pixels, image, atol=0.51 / 65535)


@pytest.mark.parametrize(
    "laterality, view, orientation",
    [
        ("L", "CC", ["A", "R"]),  # lateral up: down is medial, the right of a left breast
        ("R", "CC", ["P", "L"]),
        ("L", "MLO", ["A", "FR"]),
        ("R", "MLO", ["P", "FL"]),
        ("L", "ML", ["A", "F"]),
        ("R", "LM", ["P", "F"]),
        ("R", "SIO", ["P", "FR"]),
        ("", "CC", ["A", "R"]),
        ("L", "", ["A", ""]),
        ("R", "", ["P", ""]),
    ],
)
def test_patient_orientation(tmp_path, laterality, view, orientation):
    path = written(tmp_path, laterality=laterality, view=view)
    assert pydicom.dcmread(path).PatientOrientation == orientation


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_rows_point_from_the_chest_wall_to_the_nipple(laterality):
    dataset = synthetic_dicom(picture(), laterality=laterality, view="CC", **NAMES)
    stored = dataset.pixel_array
    chest_wall_left = np.count_nonzero(stored[:, 0]) > np.count_nonzero(stored[:, -1])
    assert dataset.PatientOrientation[0] == ("A" if chest_wall_left else "P")


def test_an_unknown_side_is_a_left_breast_and_a_comment_says_so():
    dataset = synthetic_dicom(picture(), **NAMES)
    assert dataset.ImageLaterality == "L" and "side is not known" in dataset.ImageComments
    assert "side is not known" not in synthetic_dicom(picture(), laterality="L", **NAMES).ImageComments


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("only_code", [False, True])
def test_every_view_that_is_read_can_be_written(tmp_path, view, only_code):
    dataset = synthetic_dicom(picture(), laterality="R", view=view, **NAMES)
    if only_code:
        del dataset.ViewPosition
    dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    film = read_image(tmp_path / "film.dcm")
    assert (film.laterality, film.view) == ("R", view)


def test_an_unknown_view_stays_unknown(tmp_path):
    assert read_image(written(tmp_path)).view is None


@pytest.mark.parametrize("wrong", [{"view": "AP"}, {"laterality": "B"}])
def test_unknown_words_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        synthetic_dicom(picture(), **NAMES, **wrong)


# --- required elements --------------------------------------------------------------------------

# PS3.3 A.27.3, mandatory modules and VOI LUT; 1C and 2C where their condition holds.
TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality PresentationIntentType DeidentificationMethod
    ImageType SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit
    PixelRepresentation PixelData PatientOrientation BurnedInAnnotation PixelIntensityRelationship
    PixelIntensityRelationshipSign RescaleIntercept RescaleSlope RescaleType LossyImageCompression WindowCenter
    WindowWidth PresentationLUTShape ImagerPixelSpacing AnatomicRegionSequence PositionerType ImageLaterality
    OrganExposed ViewCodeSequence
""".split()
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyID
    SeriesNumber Manufacturer InstanceNumber DetectorType AcquisitionContextSequence
""".split()


@pytest.mark.parametrize("known", [{"laterality": "R", "view": "MLO"}, {}])
def test_required_elements_are_there(tmp_path, known):
    dataset = pydicom.dcmread(written(tmp_path, **known))
    assert [keyword for keyword in TYPE_1 + TYPE_2 if keyword not in dataset] == []
    assert [keyword for keyword in TYPE_1 if dataset[keyword].is_empty] == []
    assert "ViewModifierCodeSequence" in dataset.ViewCodeSequence[0]


def test_image_type_has_an_empty_third_value(tmp_path):
    assert pydicom.dcmread(written(tmp_path)).ImageType == ["DERIVED", "PRIMARY", ""]


def test_no_pixel_spacing_is_claimed():
    dataset = synthetic_dicom(picture(), **NAMES)
    assert "PixelSpacing" not in dataset
    assert "nominal" in dataset.DetectorDescription and "nominal" in dataset.ImageComments


def test_for_presentation_and_uncompressed(tmp_path):
    dataset = pydicom.dcmread(written(tmp_path))
    assert dataset.SOPClassUID == uid.DigitalMammographyXRayImageStorageForPresentation
    assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert dataset.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
