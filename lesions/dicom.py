"""Mammograms with lesions as DICOM images, the lesions' outlines as DICOM segmentations.

A segmentation is written by `highdicom`, which the package's extra `seg` installs.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lesions.inserter import Composite, Inserter
from lesions.outline import mask_of
from preprocessing.atomic import whole_file
from preprocessing.counted import counted
from preprocessing.images.dicom_writer import NO_SIDE, Origin, Study, synthetic_dicom
from preprocessing.shards import DataError
from preprocessing.version import SOFTWARE, __version__, made_by

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REAL, DRAWN, PHANTOM, OTHER = "real", "drawn", "phantom", "other"  # where images come from
_MAMMOGRAMS = {
    REAL: "a mammogram of a real, de-identified patient",
    DRAWN: "a mammogram that a generative neural network drew",
    PHANTOM: "a computed phantom of a mammogram",
    OTHER: "a mammogram that software had made or altered",
}
_MASSES = {
    REAL: "of other real, de-identified patients",
    DRAWN: "that a neural network drew",
    PHANTOM: "that are computed phantoms",
    OTHER: "that software had made or altered",
}
_METHODS = {  # of de-identification, at most 64 characters (LO)
    REAL: "Header not kept",
    DRAWN: "Synthetic image; the origin of what it fills is not known",
    PHANTOM: "Computed phantom, no patient's image",
    OTHER: "Header not kept",
}
_SCALE = "The scale is unknown (Imager Pixel Spacing is nominal): lengths cannot be measured."
_CLOCKS = ("SeriesDate", "SeriesTime", "InstanceCreationDate", "InstanceCreationTime")
_ACQUISITION = "109101"  # equipment, PS3.16 CID 7005
_SEGMENT = {"type": ("4147007", "Mass"), "category": ("49755003", "Morphologically Altered Structure")}


def origin_of(meta: Mapping[str, Any]) -> str:
    """Tell where a dataset's images come from: patients, a neural network, a program, or what is not known."""
    by = str(meta["made"].get("by"))
    if by == "make_phantoms":
        return PHANTOM
    if not meta["synthetic"]:
        return REAL
    return DRAWN if by.startswith("generate_") else OTHER


def image_dataset(one: Composite, inserter: Inserter) -> "Dataset":
    """The image as a DICOM object; as displayed, so that a right breast is mirrored."""
    inputs = inserter.fingerprint
    patient, place = inserter.place_of(one.number)
    dataset = synthetic_dicom(
        one.image,
        number=one.number,
        series=inputs,
        laterality=one.fields["laterality"],
        view=one.fields["view"],
        generator=inputs,
        origin=Origin(made_by=made_by()),
        study=Study(f"subject {one.fields['subject']}", patient, place),
    )
    host = origin_of(inserter.mammograms.meta)
    dataset.DerivationDescription = _derivation(one, inserter, host)
    dataset.ContributingEquipmentSequence[0].ContributionDescription = dataset.DerivationDescription
    dataset.ImageComments = _comments(one)
    dataset.StudyDescription = dataset.SeriesDescription = "SYNTHETIC lesions in a mammogram"
    dataset.DeidentificationMethod = _METHODS[host]
    if host in (REAL, OTHER):  # not known of a film whose header was not kept
        del dataset.PartialView, dataset.BreastImplantPresent
    return dataset


def _derivation(one: Composite, inserter: Inserter, host: str) -> str:
    """Say what was done to the mammogram."""
    count = sum(map(bool, one.masses))
    whose = _MASSES[origin_of(inserter.masses.meta)]
    masses = f"{counted(count, 'mass')} {whose}, inserted by software" if count else "No mass inserted"
    return f"{masses} into {_MAMMOGRAMS[host]}. Not for diagnosis. Inputs SHA-256: {inserter.fingerprint}"


def _comments(one: Composite) -> str:
    """Say what a reader must know; the density has no attribute of its own in a mammography image."""
    said = ["SYNTHETIC LESIONS: this image was altered by software, not for diagnosis."] if any(one.masses) else []
    said.append(_SCALE)
    if not one.fields["laterality"]:
        said.append(NO_SIDE)
    if one.fields["density"]:
        said.append(f"Breast density (BI-RADS) of the mammogram: {one.fields['density']}.")
    return " ".join(said)


def write_dicom(path: Path, one: Composite, inserter: Inserter, begun: datetime) -> None:
    """Write the image, and next to it `…-seg.dcm` with a segment per lesion; none where it has no lesion.

    Args:
        begun: When the first image of the output was made, UTC.

    Raises:
        DataError: `highdicom` is not installed.
    """
    image = image_dataset(one, inserter)
    if one.annotations:
        segmentation = segmentation_dataset(image, one, begun)
        _save(segmentation, path.with_name(f"{path.stem}-seg.dcm"))
    _save(image, path)


def _save(dataset: "Dataset", path: Path) -> None:
    with whole_file(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def segmentation_dataset(image: "Dataset", one: Composite, begun: datetime) -> "Dataset":
    """The outlines as a DICOM SEG, a binary segment per lesion, numbered as in the manifest.

    Args:
        begun: Content Date and Time, UTC: "the date the content creation started" (PS3.3 C.8.20.2).

    Raises:
        DataError: `highdicom` is not installed.
    """
    try:
        import highdicom
        from highdicom.sr.coding import CodedConcept
    except ImportError:
        raise DataError("--format dicom: needs highdicom for the segmentations; pip install highdicom") from None
    masks = np.stack([mask_of(found.polygon, one.image.shape) for found in one.annotations], axis=-1)[np.newaxis]
    masks = masks[:, :, ::-1] if one.fields["laterality"] == "R" else masks  # as the image is displayed
    kind, category = (CodedConcept(value, "SCT", meaning) for value, meaning in _SEGMENT.values())
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=" ".join(filter(None, ("mass", found.shape, found.margin)))[:64],
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                name="insert_lesions",
                version=__version__,
                family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
            ),
            tracking_uid=_uid(image, f"lesion {number}"),
            tracking_id=f"lesion {number}",
        )
        for number, found in enumerate(one.annotations, start=1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=[image],
        pixel_array=masks.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=_uid(image, "segmentation series"),
        series_number=2,
        sop_instance_uid=_uid(image, "segmentation"),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name=SOFTWARE,
        software_versions=__version__,
        device_serial_number="0",
        content_label="LESIONS",
        content_description="Outlines of masses",
        omit_empty_frames=False,
    )
    _correct(segmentation, image, begun)
    return segmentation


def _uid(image: "Dataset", name: str) -> str:
    """A UUID as a UID (PS3.5 B.2) that the same image and name give again."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{image.SOPInstanceUID} {name}').int}"


def _correct(segmentation: "Dataset", image: "Dataset", begun: datetime) -> None:
    """Mend what `highdicom` states: what is not true goes, and the same image and day give the same bytes.

    There was no equipment that acquired the image, and no family of algorithms found the outlines.
    """
    segmentation.PatientOrientation = image.PatientOrientation  # 2C where an image has no position in space
    segmentation.ContentDate, segmentation.ContentTime = begun.strftime("%Y%m%d"), begun.strftime("%H%M%S")
    segmentation.TimezoneOffsetFromUTC = "+0000"
    for keyword in _CLOCKS:
        if keyword in segmentation:
            del segmentation[keyword]
    equipment = segmentation.ContributingEquipmentSequence
    equipment[:] = [one for one in equipment if one.PurposeOfReferenceCodeSequence[0].CodeValue != _ACQUISITION]
    for one in equipment:
        if "ContributionDateTime" in one:
            del one.ContributionDateTime
    for segment in segmentation.SegmentSequence:
        del segment.SegmentationAlgorithmIdentificationSequence
    for element in segmentation.iterall():
        if element.keyword == "DimensionOrganizationUID":
            element.value = _uid(image, "dimensions")
