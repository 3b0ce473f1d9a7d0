"""Synthetic mammograms as DICOM: images that a workstation shows and that nobody takes for a patient's.

    content = encoded_dicom(image, number=7, series="seed 0", view="CC", generator=fingerprint)

Digital Mammography X-Ray Image Storage, For Presentation (PS3.3 A.27), its mandatory modules, what mammography
workstations ask for beyond them, and no more: what an X-ray machine would state and a generator cannot know (dose,
detector, thickness) is empty or absent. What the header says of the image's origin is what the caller knows of it.
"""

import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from preprocessing.images.views import LATERALITIES, VIEWS, View
from preprocessing.version import SOFTWARE

BITS = 16  # stored: as many as the shards and the PNG files hold

# Type 1 in the DX Detector module (C.8.11.4), so it cannot be left out; the scale of a synthetic breast is unknown.
# The height of the image stands for the long side of an 18 x 24 cm film, and PixelSpacing, which would claim
# more, is absent.
NOMINAL_HEIGHT_MM = 240

_NAMESPACE = uuid.UUID("5f1d2c54-9a0e-4c0b-8a57-2b8a1f7f6e21")  # of the names below; any fixed one would do

# ViewCodeSequence is of type 1 and has no code for "not known": CID 4014 is extended. Of the orientation one value is
# then given, which is enough (PS3.5 7.4.1).
_UNKNOWN_VIEW = View("261665006", "", "Unknown", "")
_OTHER_SIDE = str.maketrans("LR", "RL")

_DERIVATION = (
    "Drawn by a generative neural network from {shown} and random numbers; no X-ray was taken. Not for diagnosis. "
)
_COMMENTS = (
    "SYNTHETIC IMAGE made by a neural network from {shown}{patient}; not for diagnosis. "
    "The scale is unknown (Imager Pixel Spacing is nominal): lengths cannot be measured. {side}"
)
_PATIENT = {
    True: ", which was taken from a patient's image",
    False: ", shows no patient",
    None: ", of which it is not known whether it was taken from a patient's image",
}
_DEIDENTIFICATION = {  # at most 64 characters (LO)
    True: "Synthetic image; what it fills is from a patient's image",
    False: "No patient existed: image made by a neural network",
    None: "Synthetic image; the origin of what it fills is not known",
}
NO_SIDE = "The side is not known: drawn with the chest wall on the left, as a left breast is displayed."
_SIDE = "Side and view are those of the outline that it was drawn from."
_SIDE_OF_STUDY = "Side and view are those that its place in the study of four views asks for."
_PROCESSING = ("109102", "Processing Equipment")  # PS3.16 CID 7005


@dataclass(frozen=True)
class Origin:
    """What a synthetic image was made from, and by which software.

    Attributes:
        shown: what the generator was given, phrased to follow the word "from".
        from_patient: whether that was taken from a patient's image; None where it is not known.
        seed: of the random inputs; None where it is not known.
        mask: which mask it was, for the record; must hold nothing that could identify a person.
        made_by: `preprocessing.version.made_by()`, or nothing.
    """

    shown: str = "a breast outline"
    from_patient: bool | None = None
    seed: int | None = None
    mask: str = ""
    made_by: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """The study that an image belongs to.

    Attributes:
        name: what sets it apart from other studies of the generator; only hashed, never written.
        number: of the study, 0 or more; the patient is called by it.
        place: of the image in the study, from 0.
        of_four: whether it is a study of four views, which decides side and view of each image.
        date, time: when it was drawn, YYYYMMDD and HHMMSS; "" is left empty.
    """

    name: str
    number: int
    place: int = 0
    of_four: bool = False
    date: str = ""
    time: str = ""


def encoded_dicom(image: np.ndarray, **options: Any) -> bytes:
    """Make the content of a DICOM file of one synthetic mammogram; the same arguments give the same bytes.

    Args:
        options: of `synthetic_dicom`, whose errors it raises.
    """
    content = io.BytesIO()
    synthetic_dicom(image, **options).save_as(content, enforce_file_format=True)
    return content.getvalue()


def synthetic_dicom(
    image: np.ndarray,
    *,
    number: int,
    series: str,
    laterality: str = "",
    view: str = "",
    generator: str,
    origin: Origin = Origin(),
    study: Study | None = None,
) -> Dataset:
    """Make a DICOM object of a synthetic mammogram (explicit little endian, uncompressed).

    Names and UIDs are functions of (generator, series, number) and the study alone, never of a clock or a machine.

    Args:
        image: float (height, width) in [0, 1], background 0, chest wall on the left.
        number: of the image, 0 or more; the patient is called by it where there is no study.
        series: what sets this run of numbers apart from others of the same generator (its seed, its masks); only
            hashed, never written.
        laterality: "L", "R", or "" where unknown. "R" mirrors the image: stored images have every chest wall on the
            left, and a right breast is displayed with it on the right. "" is drawn as it is and so called a left
            breast, as the standard asks for a side (ImageLaterality, type 1), and a comment says so.
        view: View Position (0018,5101), a name of `VIEWS`: "CC", "MLO", …; or "" where unknown.
        generator: SHA-256 of the generator's file, in hexadecimal (at most 64 characters).
        origin: how the image was made, for the header.
        study: what it shares patient and study with; None: it has a patient and a study of its own, without a date.

    Returns:
        The object with its file meta information; `apply_window` gives back the image to 1/65535.

    Raises:
        ValueError: an argument is none of the above; the message names it.
    """
    if laterality not in ("", *LATERALITIES):
        raise ValueError(f"laterality is {laterality!r}; give 'L', 'R' or ''")
    if view and view not in VIEWS:
        raise ValueError(f"view is {view!r}; give one of {', '.join(VIEWS)} or ''")
    names = (generator, series, int(number))

    dataset = Dataset()
    _set_identity(dataset, names, study, origin)
    side = NO_SIDE if not laterality else _SIDE_OF_STUDY if study and study.of_four else _SIDE
    _set_origin(dataset, generator, origin, number, side)
    _set_anatomy(dataset, laterality or "L", view)
    _set_pixels(dataset, _checked(image)[:, ::-1] if laterality == "R" else _checked(image))
    dataset.file_meta = _file_meta(dataset)
    return dataset


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype.kind != "f" or image.size == 0:
        raise ValueError(f"image is {image.dtype} {image.shape}; give floats (height, width)")
    if not (image.min() >= 0 and image.max() <= 1):  # False for NaN too
        raise ValueError("image has values outside [0, 1]")
    return image


# --- modules of PS3.3 A.27.3 -----------------------------------------------------------------------------------------


def _set_identity(dataset: Dataset, names: tuple[str, str, int], study: Study | None, origin: Origin) -> None:
    """Set Patient (C.7.1.1), General Study (C.7.2.1), General Series (C.7.3.1): invented names.

    A file-set's directory asks for date, time and ID of a study (PS3.3 F.5), so that a `Study` has them.
    """
    whose = (names[0], study.name, study.number) if study else names
    dataset.PatientName = f"SYNTHETIC^{whose[-1]:06d}"
    dataset.PatientID = f"SYNTHETIC-{_uuid('patient', whose).hex}"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = _DEIDENTIFICATION[origin.from_patient]  # 1C with the former
    dataset.StudyInstanceUID = _uid("study", whose)
    dataset.SeriesInstanceUID = _uid("series", names)
    dataset.SOPInstanceUID = _uid("image", names)
    dataset.StudyDescription = dataset.SeriesDescription = "SYNTHETIC mammogram, not for diagnosis"
    dataset.SeriesNumber = 1 + (study.place if study else 0)
    dataset.InstanceNumber = names[-1]
    dataset.StudyID = f"S{whose[-1]:06d}"
    dataset.StudyDate, dataset.StudyTime = (study.date, study.time) if study else ("", "")
    for unknown in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, unknown, "")


def _set_origin(dataset: Dataset, generator: str, origin: Origin, number: int, side: str) -> None:
    """Set what the object is and what made it: SOP Common (C.12.1), Equipment (C.7.5.1), Reference (C.12.4)."""
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SyntheticData = "YES"
    dataset.ContentQualification = "RESEARCH"
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]  # three values, the third empty (C.8.11.7.1.4)
    dataset.Manufacturer = dataset.ManufacturerModelName = SOFTWARE
    version = origin.made_by.get("version")
    dataset.SoftwareVersions = [version, generator] if version else generator
    patient = _PATIENT[origin.from_patient]
    dataset.DerivationDescription = _DERIVATION.format(shown=origin.shown) + f"Generator SHA-256: {generator}"
    dataset.ImageComments = _COMMENTS.format(shown=origin.shown, patient=patient, side=side)
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.AcquisitionContextSequence = []
    dataset.ContributingEquipmentSequence = [_contribution(generator, origin, number)]


def _contribution(generator: str, origin: Origin, number: int) -> Dataset:
    """Return the software as an item of the Contributing Equipment Sequence (C.12.1.1.5)."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code(*_PROCESSING, scheme="DCM")]
    item.Manufacturer = item.ManufacturerModelName = SOFTWARE
    made = origin.made_by
    versions = [made.get("version"), made.get("commit") and f"commit {made['commit']}"]
    versions += [f"{name} {version}" for name, version in made.get("libraries", {}).items()]
    if any(versions):
        item.SoftwareVersions = [version for version in versions if version]
    said = [f"Drew image {number} from {origin.shown}", f"generator SHA-256 {generator}"]
    said += [f"seed {origin.seed}"] if origin.seed is not None else []
    said += [origin.mask] if origin.mask else []
    item.ContributionDescription = "; ".join(said)
    return item


def _set_anatomy(dataset: Dataset, laterality: str, view: str) -> None:
    """Set DX Anatomy Imaged (C.8.11.2), Mammography Image (C.8.11.7), orientation (C.7.6.1.1.1).

    Rows run away from the chest wall, to anterior, in a left breast, and towards it, to posterior, in a right one.
    """
    coded = VIEWS.get(view, _UNKNOWN_VIEW)
    dataset.AnatomicRegionSequence = [_code("76752008", "Breast")]
    dataset.BodyPartExamined = dataset.OrganExposed = "BREAST"
    dataset.ImageLaterality = laterality
    dataset.PatientOrientation = ["A", coded.down] if laterality == "L" else ["P", coded.down.translate(_OTHER_SIDE)]
    dataset.ViewCodeSequence = [_code(coded.code, coded.meaning)]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    if view:
        dataset.ViewPosition = view
    dataset.PartialView = dataset.BreastImplantPresent = "NO"
    dataset.PositionerType = "NONE"


def _set_pixels(dataset: Dataset, image: np.ndarray) -> None:
    """Set Image Pixel (C.7.6.3), DX Image (C.8.11.3), DX Detector (C.8.11.4), VOI LUT (C.11.2).

    The window is the identity: LINEAR maps center - 1/2 ± (width - 1)/2 to the ends of the output (C.11.2.1.2.1).
    """
    white = 2**BITS - 1
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PresentationLUTShape = "IDENTITY"  # goes with MONOCHROME2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.PixelRepresentation = 0
    # Dense tissue is bright, as on a film: more attenuation, higher values.
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.WindowCenter, dataset.WindowWidth = str(2 ** (BITS - 1)), str(2**BITS)
    dataset.VOILUTFunction = "LINEAR"
    dataset.DetectorType = ""
    dataset.DetectorDescription = "None: the image is synthetic and Imager Pixel Spacing nominal, not to measure with"
    dataset.ImagerPixelSpacing = [f"{NOMINAL_HEIGHT_MM / image.shape[0]:.6g}"] * 2
    dataset.PixelData = np.rint(image * white).astype("<u2").tobytes()  # as in the PNG files
    dataset["PixelData"].VR = "OW"


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    """Return complete file meta information, so that pydicom adds nothing of its own version (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation", (SOFTWARE,))
    meta.ImplementationVersionName = "SYNTH_MAMMO_1"
    return meta


# --- names -----------------------------------------------------------------------------------------------------------


def _code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """Return a code, of SNOMED CT where no other scheme is named (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _uuid(kind: str, names: tuple) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, repr((kind, *names)))


def _uid(kind: str, names: tuple) -> uid.UID:
    """Return a UUID as a UID (PS3.5 B.2)."""
    return uid.UID(f"2.25.{_uuid(kind, names).int}")
