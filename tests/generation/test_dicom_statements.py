"""Every statement in the header of a generated mammogram, each with why it is true.

A new element fails the test until its reason stands here.
"""

import csv
import json

import cv2
import numpy as np
import pydicom
import pytest

from generation.generate import write_mammograms
from preprocessing.shards.format import sha256
from preprocessing.version import __version__

INVENTED = "identifiers and names of this software's own"
EMPTY = "type 2, and not known"
FORMAT = "how the pixels are stored"
NEVER = "a neural network drew the image: it was not acquired, exposed or measured"

# keyword → (the value, as a function of the facts; None where only the reason is checked elsewhere; why it is true)
STATEMENTS = {
    "SOPClassUID": (lambda f: "1.2.840.10008.5.1.4.1.1.1.2", "a mammogram to be looked at"),
    **{name: (None, INVENTED) for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")},
    "PatientName": (lambda f: f"SYNTHETIC^{f['number']:06d}", INVENTED),
    "PatientID": (None, INVENTED),
    "StudyID": (lambda f: f"S{f['number']:06d}", INVENTED),
    "InstanceNumber": (lambda f: f["number"], "the number in manifest.csv"),
    "SeriesNumber": (lambda f: 1, "the study has one series"),
    "StudyDate": (lambda f: f["begun"][:10].replace("-", ""), "when drawing began, by provenance.json"),
    "StudyTime": (lambda f: f["begun"][11:19].replace(":", ""), "when drawing began, by provenance.json"),
    **{
        name: (lambda f: "", EMPTY)
        for name in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName", "DetectorType")
    },
    "PatientIdentityRemoved": (lambda f: "YES", "nothing that identifies the patient of the outline is in it"),
    "DeidentificationMethod": (
        lambda f: "Synthetic image; what it fills is from a patient's image",
        "the masks' origin",
    ),
    "StudyDescription": (lambda f: "SYNTHETIC mammogram, not for diagnosis", NEVER),
    "SeriesDescription": (lambda f: "SYNTHETIC mammogram, not for diagnosis", NEVER),
    "SyntheticData": (lambda f: "YES", NEVER),
    "ContentQualification": (lambda f: "RESEARCH", "not for diagnosis"),
    "Modality": (lambda f: "MG", "what it looks like, as the SOP class asks"),
    "PresentationIntentType": (lambda f: "FOR PRESENTATION", "the SOP class"),
    "ImageType": (lambda f: ["DERIVED", "PRIMARY", ""], "computed, and no reformat of another image"),
    "Manufacturer": (lambda f: "synthetic-mammography", "the software"),
    "ManufacturerModelName": (lambda f: "synthetic-mammography", "the software"),
    "SoftwareVersions": (lambda f: [__version__, f["generator"]], "version, and checksum of the generator's file"),
    "DerivationDescription": (
        lambda f: (
            "Drawn by a generative neural network from the breast outline of a real image and random numbers; no X-ray "
            f"was taken. Not for diagnosis. Generator SHA-256: {f['generator']}"
        ),
        "the masks are those of prepared images",
    ),
    "ImageComments": (
        lambda f: (
            "SYNTHETIC IMAGE made by a neural network from the breast outline of a real image, which was taken from a "
            "patient's image; not for diagnosis. The scale is unknown (Imager Pixel Spacing is nominal): lengths "
            "cannot be measured. Side and view are those of the outline that it was drawn from."
        ),
        "manifest.csv: mask_of, laterality, view",
    ),
    "ContributingEquipmentSequence": (None, "test_provenance.py"),
    "BurnedInAnnotation": (lambda f: "NO", "the generator saw images without markers, and outside the outline is 0"),
    "LossyImageCompression": (lambda f: "00", FORMAT),
    "AcquisitionContextSequence": (lambda f: [], NEVER),
    "AnatomicRegionSequence": (None, "a breast"),
    "BodyPartExamined": (lambda f: "BREAST", "a breast"),
    "OrganExposed": (lambda f: "BREAST", "type 1 in the module; the organ that is shown"),
    "ImageLaterality": (lambda f: f["laterality"], "the outline's side"),
    "PatientOrientation": (None, "test_dicom_writer.py: from chest wall to nipple"),
    "ViewCodeSequence": (None, "the outline's view, as in ViewPosition"),
    "ViewPosition": (lambda f: f["view"], "the outline's view"),
    "PartialView": (lambda f: "NO", "one image shows the whole outline"),
    "BreastImplantPresent": (lambda f: "NO", NEVER),
    "PositionerType": (lambda f: "NONE", NEVER),
    "Rows": (lambda f: f["image"].shape[0], FORMAT),
    "Columns": (lambda f: f["image"].shape[1], FORMAT),
    "SamplesPerPixel": (lambda f: 1, FORMAT),
    "PhotometricInterpretation": (lambda f: "MONOCHROME2", FORMAT),
    "PresentationLUTShape": (lambda f: "IDENTITY", FORMAT),
    **{name: (lambda f: 16, FORMAT) for name in ("BitsAllocated", "BitsStored")},
    "HighBit": (lambda f: 15, FORMAT),
    "PixelRepresentation": (lambda f: 0, FORMAT),
    "PixelIntensityRelationship": (lambda f: "LOG", "as the films that the generator saw: bright is dense"),
    "PixelIntensityRelationshipSign": (lambda f: -1, "as the films that the generator saw: bright is dense"),
    "RescaleIntercept": (lambda f: 0, FORMAT),
    "RescaleSlope": (lambda f: 1, FORMAT),
    "RescaleType": (lambda f: "US", FORMAT),
    "WindowCenter": (lambda f: 32768, "all stored values"),
    "WindowWidth": (lambda f: 65536, "all stored values"),
    "VOILUTFunction": (lambda f: "LINEAR", "all stored values"),
    "DetectorDescription": (
        lambda f: "None: the image is synthetic and Imager Pixel Spacing nominal, not to measure with",
        NEVER,
    ),
    "ImagerPixelSpacing": (lambda f: [240 / f["image"].shape[0]] * 2, "nominal, as the two texts above say"),
    "PixelData": (lambda f: f["shown"].astype("<u2").tobytes(), "the pixels of the PNG file, a right breast mirrored"),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, tiny_run, tiny_dataset):
    """The same images as DICOM and PNG files."""
    folder, generator = tmp_path_factory.mktemp("statements"), tiny_run.stage("phase-2").generator
    for kind in ("dicom", "png"):
        write_mammograms(generator, folder / kind, 4, masks=tiny_dataset.folder, file_format=kind)
    return folder, sha256(generator)


@pytest.mark.parametrize("number", range(4))
def test_every_statement_of_a_header_is_known_and_true(drawn, number):
    folder, generator = drawn
    dataset = pydicom.dcmread(folder / "dicom" / f"{number:06d}.dcm")
    image = cv2.imread(str(folder / "png" / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED)
    with open(folder / "dicom" / "manifest.csv", newline="") as file:
        row = list(csv.DictReader(file))[number]
    facts = {
        **row,
        "number": number,
        "generator": generator,
        "begun": json.loads((folder / "dicom" / "provenance.json").read_text())["begun"],
        "image": image,
        "shown": image[:, ::-1] if row["laterality"] == "R" else image,
    }
    facts["laterality"] = row["laterality"] or "L"
    for element in dataset:
        expected, why = STATEMENTS[element.keyword]
        if expected is None:
            continue
        value, wanted = element.value, expected(facts)
        if element.VR == "DS":
            assert np.allclose(np.asarray(value, float), wanted, rtol=1e-5), (element.keyword, why)
        else:
            assert (list(value) if element.VM > 1 or isinstance(wanted, list) else value) == wanted, (
                element.keyword,
                why,
            )
