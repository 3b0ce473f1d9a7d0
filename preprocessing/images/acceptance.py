"""What is a mammogram: the one place that decides it from a file's header.

A header counts against an image only where it says that the image is something else: hospitals leave elements out,
send mammograms as CR, DX or secondary capture, and write body parts in every language. What is refused is refused in
words that quote nothing but defined terms of the standard. What is odd, but may be right, is a doubt: the image is
taken and listed for a look. Whether the pixels show a breast is decided by `preprocessing.mammograms.plausibility`.
"""

import re

from pydicom import uid
from pydicom.dataset import Dataset

from preprocessing.images import dicom_identity
from preprocessing.images.dicom_identity import text_of
from preprocessing.images.image import UnusableImage
from preprocessing.images.rules import SPECIAL_KINDS, Rules, refusal
from preprocessing.version import SOFTWARE

ELEMENTS = (
    *dicom_identity.ELEMENTS,
    *(
        "SOPClassUID Modality ImageType BodyPartExamined AnatomicRegionSequence PresentationIntentType "
        "PaddleDescription EstimatedRadiographicMagnificationFactor BreastImplantPresent PartialView SyntheticData "
        "Manufacturer"
    ).split(),
)

# Modality (0008,0060), PS3.3 C.7.3.1.1.1: defined terms that are never a mammogram. CR, DX, OT, RG, SC and private
# terms may be one.
_OTHER_MODALITIES = frozenset(
    "AR ASMT AU BDUS BI BMD CFM CT CTPROTOCOL DMS DG DOC DSA DS ECG EPS ES FID GM HD IO IOL IVOCT IVUS KER KO LEN LS "
    "M3D MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS PA PLAN POS PR PT PX REG RESP RF RTDOSE RTIMAGE "
    "RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA XA".split()
)
# BodyPartExamined (0018,0015), PS3.16 annex L, of the modalities that show any part. Any other word is no evidence.
_OTHER_PARTS = frozenset(
    "ABDOMEN ABDOMENPELVIS ANKLE ARM CALF CERVICALSPINE CHEST CHESTABDOMEN CLAVICLE COCCYX CSPINE ELBOW EXTREMITY "
    "FEMUR FINGER FOOT FOREARM HAND HEAD HEADNECK HIP HUMERUS JAW KNEE LEG LSPINE LUMBARSPINE LUNG MANDIBLE NECK ORBIT "
    "PATELLA PELVIS RIB SACRUM SCAPULA SHOULDER SINUS SKULL SPINE SSPINE STERNUM THIGH THORAX THUMB TOE TSPINE "
    "THORACICSPINE WHOLEBODY WRIST ZYGOMA".split()
)
_RAW_CLASSES = frozenset(
    [uid.DigitalMammographyXRayImageStorageForProcessing, uid.DigitalXRayImageStorageForProcessing]
)
_MAMMOGRAPHY_CLASSES = _RAW_CLASSES | frozenset(
    [
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForPresentation,
        uid.ComputedRadiographyImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    ]
)
_TOMOSYNTHESIS_CLASSES = frozenset(
    [
        uid.BreastTomosynthesisImageStorage,
        uid.BreastProjectionXRayImageStorageForPresentation,
        uid.BreastProjectionXRayImageStorageForProcessing,
    ]
)

# View modifiers (PS3.16 CID 4015) with their SNOMED CT and SNOMED-RT codes. Rolled, anterior compression and nipple in
# profile show a whole breast.
_MODIFIERS = (
    ("magnification", "399163009", "R-102D6"),
    ("magnification", "399055006", "R-102D7"),  # spot compression
    ("implant", "399209000", "R-102D5"),  # implant displaced
    ("partial", "399161006", "R-102D2"),  # cleavage
    ("partial", "399011000", "R-102D1"),  # axillary tail
    ("partial", "442580003", "R-40AB2"),  # axillary tissue
    ("partial", "399110001", "R-102C2"),  # tangential
    ("partial", "442593008", "R-40ABE"),  # infra-mammary fold
)
_BY_MODIFIER = {code: kind for kind, *codes in _MODIFIERS for code in codes}
_SPECIMEN_CODES = frozenset(["127457009", "G-8310"])  # tissue specimen from breast (CID 4014)
_MAGNIFIED = 1.25  # contact views state 1.0 to about 1.1, magnified ones 1.4 to 2

_NO_MAMMOGRAM = {
    "an ROI mask": re.compile(r"\broi[ _-]?mask", re.I),
    "a cropped lesion": re.compile(r"\bcropped image", re.I),
    "a flat field, phantom or calibration image": re.compile(r"flat[ _-]?field|\bphantom\b|calibrat", re.I),
    "a slice or projection of tomosynthesis": re.compile(r"tomo\w*\W+(?:slice|projection|recon)", re.I),
    "a specimen": re.compile(r"\bspecimen", re.I),
}
# CBIS-DDSM's masks and crops belong to a lesion, whose number follows the film's name.
_CBIS_LESION = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)_\d+$")
_VIEW_WORD = re.compile(r"(?:^|[^A-Z])[LR]?(?:CC|MLO|ML|LM)(?:[^A-Z]|$)", re.I)
_MAGNIFIED_WORD = re.compile(r"\b(?:spot|mag|magn\w*)\b", re.I)
_DISPLACED_WORD = re.compile(r"\bimplants? displaced\b|\beklund\b|\bID\b", re.I)
_DOUBTFUL_WORD = re.compile(r"stereota|biops|wire|needle|galacto|ductogra|\bQC\b", re.I)


def check_header(dataset: Dataset, rules: Rules) -> list[str]:
    """Decide by its header whether an image is one of those wanted.

    Returns:
        What is doubtful about it; empty as a rule.

    Raises:
        UnusableImage: It is not; the message says what it is, and which option takes it, if one does.
    """
    _refuse_other_objects(dataset)
    doubts = _check_tomosynthesis(dataset)
    _refuse_what_is_described(dataset)
    _refuse_mirrored(dataset)
    _check_intent(dataset, rules)
    special = special_kind(dataset)
    if special and special not in rules.accept:
        raise UnusableImage(refusal(special))
    if special and special != "synthetic":
        doubts.append(SPECIAL_KINDS[special])
    return doubts + _doubts(dataset)


def is_raw(dataset: Dataset) -> bool:
    """Tell whether an image is FOR PROCESSING, by its intent or else by its SOP class."""
    intent = _word(dataset, "PresentationIntentType")
    return intent == "FOR PROCESSING" or (not intent and dataset.get("SOPClassUID") in _RAW_CLASSES)


def _refuse_other_objects(dataset: Dataset) -> None:
    modality, sop_class = _word(dataset, "Modality"), uid.UID(str(dataset.get("SOPClassUID") or ""))
    if modality in _OTHER_MODALITIES:
        raise UnusableImage(f"Modality is {modality}: not a mammogram")
    known = sop_class in _MAMMOGRAPHY_CLASSES or sop_class in _TOMOSYNTHESIS_CLASSES
    if sop_class.keyword and sop_class.keyword.endswith("Storage") and not known:
        raise UnusableImage(f"its SOP class is {sop_class.keyword}: not a mammogram")
    part = re.sub(r"[^A-Z]", "", _word(dataset, "BodyPartExamined"))
    if modality != "MG" and part in _OTHER_PARTS:
        raise UnusableImage(f"BodyPartExamined is {part}: not a mammogram")
    if modality == "MG" and _word(dataset, "ImageLaterality") == "B":
        raise UnusableImage("shows both breasts (ImageLaterality is B)")


def _refuse_mirrored(dataset: Dataset) -> None:
    """Refuse a cranio-caudal view whose Patient Orientation says that it is seen from below and turned, too."""
    orientation = tuple(str(value).strip().upper() for value in _values(dataset, "PatientOrientation"))
    if orientation in (("R", "A"), ("L", "P")):
        raise UnusableImage("Patient Orientation says that it is both turned and mirrored: turn it, or correct that")


def _check_tomosynthesis(dataset: Dataset) -> list[str]:
    """Refuse slices and projections; a 2D image computed of them is doubtful."""
    kinds = [str(value).upper() for value in _values(dataset, "ImageType")]
    of_tomosynthesis = dataset.get("SOPClassUID") in _TOMOSYNTHESIS_CLASSES or any("TOMO" in kind for kind in kinds)
    if any("2D" in kind for kind in kinds):
        return ["a 2D image computed of tomosynthesis"]
    if of_tomosynthesis:
        raise UnusableImage("a slice or projection of tomosynthesis")
    for kind in ("LOCALIZER", "SUBTRACTION", "RECOMBINED"):
        if kind in kinds:
            raise UnusableImage(f"ImageType is {kind}: not a mammogram")
    return []


def _refuse_what_is_described(dataset: Dataset) -> None:
    description = f"{text_of(dataset, 'SeriesDescription')}\n{text_of(dataset, 'ViewPosition')}"
    for kind, words in _NO_MAMMOGRAM.items():
        if words.search(description):
            raise UnusableImage(f"{kind}, not a mammogram")
    if _CBIS_LESION.search(text_of(dataset, "PatientID")):
        raise UnusableImage("an ROI mask or crop of a lesion of CBIS-DDSM, not a mammogram")
    if any(code in _SPECIMEN_CODES for code in _codes(dataset, "ViewCodeSequence", "AnatomicRegionSequence")):
        raise UnusableImage("a specimen, not a mammogram")


def _check_intent(dataset: Dataset, rules: Rules) -> None:
    stated = is_raw(dataset) or _word(dataset, "PresentationIntentType") == "FOR PRESENTATION"
    if rules.intent == "presentation" and is_raw(dataset):
        raise UnusableImage("a raw image, FOR PROCESSING (--intent processing takes it)")
    if rules.intent == "processing" and stated and not is_raw(dataset):
        raise UnusableImage("a processed image, FOR PRESENTATION (--intent presentation takes it)")


def special_kind(dataset: Dataset) -> str | None:
    """Name the kind of `SPECIAL_KINDS` that an image is."""
    if _word(dataset, "SyntheticData") == "YES" or text_of(dataset, "Manufacturer") == SOFTWARE:
        return "synthetic"
    views = list(dataset.get("ViewCodeSequence") or ())
    modifiers = [code for view in views for code in _codes(view, "ViewModifierCodeSequence")]
    for code in modifiers:
        if code in _BY_MODIFIER:
            return _BY_MODIFIER[code]
    if _number(dataset, "EstimatedRadiographicMagnificationFactor") >= _MAGNIFIED:
        return "magnification"
    # The description of a series may be of several images: it tells of this one where it names its view.
    description = text_of(dataset, "SeriesDescription")
    if _MAGNIFIED_WORD.search(text_of(dataset, "PaddleDescription")) or (
        _VIEW_WORD.search(description) and _MAGNIFIED_WORD.search(description)
    ):
        return "magnification"
    displaced = _VIEW_WORD.search(description) and _DISPLACED_WORD.search(description)
    return "implant" if displaced or _word(dataset, "BreastImplantPresent") == "YES" else None


def _doubts(dataset: Dataset) -> list[str]:
    doubts = []
    description = text_of(dataset, "SeriesDescription")
    if _word(dataset, "PartialView") == "YES":
        doubts.append("a part of a breast that did not fit (Partial View)")
    if _DOUBTFUL_WORD.search(description):
        doubts.append("its series is described as an intervention or test")
    elif "tomo" in description.lower():
        doubts.append("its series is described as tomosynthesis")
    elif _MAGNIFIED_WORD.search(description) and not _VIEW_WORD.search(description):
        doubts.append("its series is described as spot or magnification")
    return doubts


# ------------------------------------------------------------------------------- elements


def _word(dataset: Dataset, keyword: str) -> str:
    return text_of(dataset, keyword).upper()


def _values(dataset: Dataset, keyword: str) -> list:
    value = dataset.get(keyword) or []
    return [value] if isinstance(value, str) else list(value)


def _codes(dataset: Dataset, *keywords: str) -> list[str]:
    return [text_of(item, "CodeValue") for keyword in keywords for item in dataset.get(keyword) or ()]


def _number(dataset: Dataset, keyword: str) -> float:
    try:
        return float(dataset.get(keyword) or 0)
    except (TypeError, ValueError):
        return 0.0
