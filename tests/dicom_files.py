"""DICOM mammograms made by hand: headers, LUTs, encapsulated streams."""

from pathlib import Path

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

SECRET = "SECRET-4711"  # stands in every element that could identify a person


def stored_values(bits: int, height: int = 40, width: int = 24) -> np.ndarray:
    """A smooth image with a little noise; both ends of the bits stored are in it."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(bits).uniform(0, 0.02, (height, width))
    image = np.clip((np.sin(x / 5) + np.cos(y / 7) + 2) / 4 + noise, 0, 1)
    image[0, 0], image[0, 1] = 0, 1
    return np.rint(image * (2**bits - 1)).astype(np.uint16 if bits > 8 else np.uint8)


def header(stored: np.ndarray | None = None, bits: int = 12, **elements) -> Dataset:
    """A whole MG header around `stored` (explicit little endian)."""
    stored = stored_values(bits) if stored is None else stored
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3"
    dataset.StudyInstanceUID = "1.2.3.4711"
    dataset.PatientName = dataset.PatientID = SECRET
    dataset.PatientBirthDate = "19470111"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return dataset


def save(dataset: Dataset, folder: Path) -> Path:
    path = folder / "film.dcm"
    private = dataset.file_meta.TransferSyntaxUID not in uid.AllTransferSyntaxes
    encoding = {"implicit_vr": False, "little_endian": True} if private else {}
    dataset.save_as(path, enforce_file_format=True, **encoding)
    return path


def encapsulated(dataset: Dataset, syntax: str, *streams: bytes, fragments: int = 1) -> Dataset:
    dataset.PixelData = encapsulate(list(streams), fragments_per_frame=fragments)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def lut(entries, first: int, bits: int, name: str = "") -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "US", list(entries))
    item.LUTExplanation = name
    return item


def jpeg_lossless(predictor: int):
    def encode(stored: np.ndarray, bits: int) -> bytes:
        return imagecodecs.jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=bits)

    return encode


def _jpeg2000(stored: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", bitspersample=bits)


LOSSLESS = {
    uid.JPEGLossless: jpeg_lossless(predictor=6),
    uid.JPEGLosslessSV1: jpeg_lossless(predictor=1),
    uid.JPEGLSLossless: lambda stored, bits: imagecodecs.jpegls_encode(stored),
    uid.JPEG2000Lossless: _jpeg2000,
}
