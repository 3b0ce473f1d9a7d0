"""What is a mammogram, by its header."""

import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from preprocessing.images.acceptance import check_header
from preprocessing.images.image import UnusableImage
from preprocessing.images.rules import SPECIAL_KINDS, Rules


def header(**elements) -> Dataset:
    """A digital mammogram's header, FOR PRESENTATION."""
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.PatientID = "SECRET-4711"
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def coded(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    return item


def view(modifier: str) -> list[Dataset]:
    item = coded("399162004")
    item.ViewModifierCodeSequence = [coded(modifier)]
    return [item]


SECONDARY = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "PresentationIntentType": None}
GOOD = {
    "digital": {},
    "scanned film, as in CBIS-DDSM": {**SECONDARY, "SeriesDescription": "full mammogram images", "ImageType": None},
    "secondary capture without modality": {**SECONDARY, "Modality": None},
    "other": {**SECONDARY, "Modality": "OT"},
    "computed radiography": {"SOPClassUID": uid.ComputedRadiographyImageStorage, "Modality": "CR"},
    "a body part in another language": {**SECONDARY, "Modality": "CR", "BodyPartExamined": "MAMA DER"},
    "a wrong body part of a mammography unit": {"BodyPartExamined": "CHEST"},
    "a private SOP class": {"SOPClassUID": "1.2.840.113619.4.30"},
    "nothing but pixels": {"SOPClassUID": None, "Modality": None, "PresentationIntentType": None, "ImageType": None},
    "a series of all views": {"SeriesDescription": "MAMMO DIAGNOSTIC BILATERAL"},
    "a geometric factor of contact": {"EstimatedRadiographicMagnificationFactor": "1.073"},
    "rolled": {"ViewCodeSequence": view("R-102D3")},
    "no implant": {"BreastImplantPresent": "NO"},
    "a paddle": {"PaddleDescription": "24CM"},
}


@pytest.mark.parametrize("elements", GOOD.values(), ids=GOOD)
def test_what_hospitals_have_is_taken_without_doubt(elements):
    assert check_header(header(**elements), Rules()) == []


OTHER = {
    "MR": ({"Modality": "MR"}, "Modality is MR"),
    "CT by its class alone": ({"SOPClassUID": uid.CTImageStorage, "Modality": None}, "CTImageStorage"),
    "ultrasound": ({"Modality": "US", "SOPClassUID": uid.UltrasoundImageStorage}, "Modality is US"),
    "chest, DX": (
        {"Modality": "DX", "SOPClassUID": uid.DigitalXRayImageStorageForPresentation, "BodyPartExamined": "CHEST"},
        "BodyPartExamined is CHEST",
    ),
    "hand, CR": ({**SECONDARY, "Modality": "CR", "BodyPartExamined": "Hand"}, "BodyPartExamined is HAND"),
    "ROI mask": ({**SECONDARY, "SeriesDescription": "ROI mask images"}, "an ROI mask"),
    "crop": ({**SECONDARY, "SeriesDescription": "cropped images"}, "a cropped lesion"),
    "a lesion by its number": ({**SECONDARY, "PatientID": "Calc-Test_P_00038_RIGHT_CC_2"}, "ROI mask or crop"),
    "flat field": ({**SECONDARY, "SeriesDescription": "Flat Field Tomo"}, "a flat field"),
    "flat field by its view": ({"ViewPosition": "FLATFIELD"}, "a flat field"),
    "phantom": ({"SeriesDescription": "ACR PHANTOM"}, "a flat field, phantom"),
    "specimen": ({"SeriesDescription": "L SPECIMEN"}, "a specimen"),
    "specimen by its code": ({"ViewCodeSequence": [coded("127457009")]}, "a specimen"),
    "tomosynthesis": ({"SOPClassUID": uid.BreastTomosynthesisImageStorage}, "tomosynthesis"),
    "a slice as MG": ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "NONE"]}, "tomosynthesis"),
    "a slice as a secondary capture": (
        {**SECONDARY, "SeriesDescription": "L CC Tomosynthesis Reconstruction"},
        "a slice or projection of tomosynthesis",
    ),
    "subtraction": ({"ImageType": ["DERIVED", "PRIMARY", "SUBTRACTION"]}, "SUBTRACTION"),
    "both breasts": ({"ImageLaterality": "B"}, "both breasts"),
    "seen from below and turned": ({"PatientOrientation": ["R", "A"]}, "turned and mirrored"),
}


@pytest.mark.parametrize(("elements", "said"), OTHER.values(), ids=OTHER)
def test_what_is_no_mammogram_is_refused_whatever_is_accepted(elements, said):
    with pytest.raises(UnusableImage, match=said) as error:
        check_header(header(**elements), Rules("any", tuple(SPECIAL_KINDS)))
    assert "SECRET" not in str(error.value)


SPECIAL = {
    "magnification": {"ViewCodeSequence": view("399163009")},
    "magnification, by its old code": {"ViewCodeSequence": view("R-102D6")},
    "magnification, by its factor": {"EstimatedRadiographicMagnificationFactor": "1.8"},
    "magnification, spot": {"ViewCodeSequence": view("R-102D7")},
    "magnification, by its paddle": {"PaddleDescription": "10CM SPOT"},
    "magnification, by its description": {"SeriesDescription": "R CC Spot Mag"},
    "implant": {"BreastImplantPresent": "YES"},
    "implant, displaced": {"ViewCodeSequence": view("399209000")},
    "implant, by its description": {"SeriesDescription": "L MLO ID"},
    "partial": {"ViewCodeSequence": view("R-102D2")},
    "partial, axillary tail": {"ViewCodeSequence": view("399011000")},
    "synthetic": {"SyntheticData": "YES"},
    "synthetic, by its maker": {"Manufacturer": "synthetic-mammography"},
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_kind_is_taken_by_its_option_alone(name):
    kind = name.split(",")[0]
    with pytest.raises(UnusableImage, match=f"--accept {kind} takes it"):
        check_header(header(**SPECIAL[name]), Rules(accept=tuple(set(SPECIAL_KINDS) - {kind})))
    doubts = check_header(header(**SPECIAL[name]), Rules(accept=(kind,)))
    assert doubts == ([] if kind == "synthetic" else [SPECIAL_KINDS[kind]])


RAW = {"PresentationIntentType": "FOR PROCESSING"}
RAW_BY_CLASS = {
    "SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing,
    "PresentationIntentType": None,
}


@pytest.mark.parametrize("elements", [RAW, RAW_BY_CLASS], ids=["stated", "by class"])
def test_raw_images_are_taken_when_asked_for(elements):
    with pytest.raises(UnusableImage, match="--intent processing takes it"):
        check_header(header(**elements), Rules("presentation"))
    assert check_header(header(**elements), Rules("processing")) == check_header(header(**elements), Rules("any")) == []


def test_processed_images_are_left_out_where_raw_ones_are_asked_for():
    with pytest.raises(UnusableImage, match="--intent presentation takes it"):
        check_header(header(), Rules("processing"))
    assert check_header(header(**SECONDARY), Rules("processing")) == []  # film states no intent


@pytest.mark.parametrize(
    ("elements", "doubt"),
    [
        ({"PartialView": "YES"}, "Partial View"),
        ({"ImageType": ["DERIVED", "PRIMARY", "TOMO_2D", "NONE"]}, "2D image computed of tomosynthesis"),
        ({"SeriesDescription": "Stereotactic biopsy"}, "intervention"),
        ({"SeriesDescription": "ROUTINE TOMO"}, "tomosynthesis"),
        ({"SeriesDescription": "DIAGNOSTIC WITH SPOT"}, "spot or magnification"),
    ],
)
def test_what_is_odd_is_taken_with_a_doubt(elements, doubt):
    (said,) = check_header(header(**elements), Rules())
    assert doubt in said
