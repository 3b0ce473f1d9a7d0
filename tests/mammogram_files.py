"""Drawn mammograms as files, and the datasets that they become."""

from pathlib import Path

import cv2
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from preprocessing.images.rules import Rules
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.mammograms.standardise import orient, standardise
from preprocessing.phantoms.mammogram import mammogram_phantom

TOP = (512, 256)


def phantom(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mammogram at 512x256, chest wall on the left, and its breast; background 0.02."""
    image, mask, _ = mammogram_phantom(number, 512, 256)
    return np.clip(image, 0.02, 1).astype(np.float32), mask


def write_png(path: Path, stored: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), stored)
    return path


def write_dicom(path: Path, stored: np.ndarray, bits: int = 12, **elements) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.StudyInstanceUID = "1.2.3"
    dataset.Modality, dataset.PatientID = "MG", "P1"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def converted(inputs: Path, tmp_path: Path, rules: Rules | None = None, **more):
    return convert_mammograms([inputs], tmp_path / "data", MammogramOptions(rules=rules or Rules()), workers=1, **more)


def mask_of_first(done) -> np.ndarray:
    return done.dataset.masks(TOP, [0])[0]


def upright(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return standardise(*orient(pixels, mask)[:2])[1]
