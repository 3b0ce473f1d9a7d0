"""The two images that a digital unit stores of one exposure, one raw and one processed."""

from collections.abc import Sequence
from pathlib import Path

import pydicom

from preprocessing.images import acceptance, dicom_identity
from preprocessing.images.dicom import silent_pydicom


def raw_with_processed(paths: Sequence[Path]) -> set[Path]:
    """Find the raw images (FOR PROCESSING) whose study has a processed one of the same side and view.

    Only headers are read; a file that is no DICOM object, or damaged, is none of them.
    """
    raw, processed = {}, set()
    elements = list(acceptance.ELEMENTS)
    with silent_pydicom():
        for path in paths:
            try:
                header = pydicom.dcmread(path, force=True, specific_tags=elements, stop_before_pixels=True)
                name = _exposure(header, path)
            except Exception:  # noqa: BLE001, a damaged file makes pydicom raise anything; it is rejected later
                continue
            if name is None:
                continue
            if acceptance.is_raw(header):
                raw[path] = name
            else:
                processed.add(name)
    return {path for path, name in raw.items() if name in processed}


def _exposure(header: pydicom.Dataset, path: Path) -> tuple | None:
    """Name what two images of one exposure have in common; None where the header does not tell enough."""
    study = str(header.get("StudyInstanceUID") or "")
    side, view = dicom_identity.laterality_of(header, path), dicom_identity.view_of(header, path)
    if not (study and side and view):
        return None
    return study, side, view, acceptance.special_kind(header)
