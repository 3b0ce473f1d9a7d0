"""DICOM mammograms: decode the pixels, apply the header's grey levels, read the identity.

What cannot be used is refused here, in messages that quote nothing from the header.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder

from preprocessing.images import acceptance, codecs, dicom_identity, grey_levels
from preprocessing.images.bounds import check_size, check_stream
from preprocessing.images.grey_levels import apply_window
from preprocessing.images.image import MammogramImage, UnusableImage, refuse_constant, unusable
from preprocessing.images.padding import darken_padding, padding_range
from preprocessing.images.rules import Rules
from preprocessing.images.stored_bits import OVERLAY_BITS, fit_header, holds_overlay, unused_low_bits, without_low_bits
from preprocessing.images.stored_image import StoredImage, counts_of

# One decoder per syntax, named: left to itself pydicom tries every installed one until one succeeds.
# Over damaged streams GDCM aborts the process, pylibjpeg-rle panics past `except Exception`, and
# pylibjpeg-libjpeg "succeeds" on half a stream; those chosen here raise.
_DECODERS = {
    uid.RLELossless: codecs.PLUGIN,
    **dict.fromkeys(uid.JPEGTransferSyntaxes, codecs.PLUGIN),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, "pyjpegls"),
    # Without multi-component JPEG 2000, of which no mammogram is.
    **dict.fromkeys({*uid.JPEG2000TransferSyntaxes} - {uid.JPEG2000MC, uid.JPEG2000MCLossless}, "pylibjpeg"),
}
_LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K)

_REQUIRED = (
    "Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored PixelRepresentation"
).split()
_USED = (*_REQUIRED, "HighBit", "NumberOfFrames", "PixelData")
_PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
_READ: list[Any] = [*_USED, *_PADDING, *OVERLAY_BITS, *grey_levels.ELEMENTS, *acceptance.ELEMENTS]


def read_dicom(path: Path, window: str | None = None, rules: Rules | None = None) -> MammogramImage:
    """Read one DICOM mammogram.

    FOR PRESENTATION, FOR PROCESSING and secondary captures of scanned film are read alike. pydicom's warnings are
    silenced meanwhile for the whole process: read in processes, not threads.

    Args:
        path: A DICOM file, with or without preamble.
        window: Name of the VOI LUT or window to apply; see `apply_window`.
        rules: Which images are wanted. Defaults to None: whatever image the file holds.

    Raises:
        UnusableImage: The file cannot be used, or is not wanted; the message is the reason.
    """
    with silent_pydicom():
        with unusable("the DICOM file is damaged or cut short"):
            dataset = pydicom.dcmread(path, force=True, specific_tags=_READ)
        doubts = []
        if rules is not None:
            with unusable("the DICOM header cannot be read"):
                doubts += acceptance.check_header(dataset, rules)
        check_grey_image(dataset)
        image, found = _grey_levels(dataset, decode(dataset), window)
        doubts += found

        with unusable("the DICOM header's identity cannot be read"):
            laterality = dicom_identity.laterality_of(dataset, path)
            patient, told_by = dicom_identity.identity_of(dataset, path)
            return MammogramImage(
                image,
                patient=patient,
                told_by=told_by,
                laterality=laterality,
                view=dicom_identity.view_of(dataset, path),
                turn=dicom_identity.turn_of_header(dataset, laterality),
                doubts=doubts,
            )


def _grey_levels(dataset: Dataset, stored: np.ndarray, window: str | None) -> tuple[StoredImage, list[str]]:
    """Apply the header's padding, LUTs and window; returns the image, and what is doubtful about it."""
    with unusable("the header's PixelPaddingValue cannot be read"):
        padding, said = padding_range(dataset), int(dataset.BitsStored)
        stored, doubts = fit_header(dataset, stored, lossy=_transfer_syntax(dataset) in _LOSSY)
        if dataset.BitsStored >= said:  # in fewer bits, a negative value of padding would be taken for another one
            padding = padding_range(dataset)

    # Stored values have at most 16 bits: the grey levels are computed once for each value.
    first, last = int(stored.min()), int(stored.max())
    levels = apply_window(dataset, np.arange(first, last + 1), window).astype(np.float32)
    image = StoredImage.of(stored, levels, first)
    if padding is not None:
        image, found = darken_padding(image, stored, padding)
        doubts += found
        refuse_constant(image.levels[counts_of(image.stored) > 0])
    elif levels[0] == levels[-1]:  # both are in the image
        refuse_constant(image.pixels())
    return image, doubts


@contextmanager
def silent_pydicom() -> Iterator[None]:
    """Silence the warnings of pydicom: they quote the header's values."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)  # unlike `disabled`, inherited by its children
        try:
            yield
        finally:
            logger.setLevel(level)


def check_grey_image(dataset: Dataset) -> None:
    """Check that a dataset holds one grey image of 8 or 16 bits allocated.

    Raises:
        UnusableImage: It does not; the message names the element.
    """
    with unusable("the DICOM header describes no image that can be read"):
        if "PixelData" not in dataset:
            raise UnusableImage("no PixelData: not an image, or the file is cut short")
        for keyword in _REQUIRED:
            if dataset.get(keyword) in (None, ""):
                raise UnusableImage(f"the DICOM header has no {keyword}")
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            raise UnusableImage("several frames; only single images can be used")
        if dataset.SamplesPerPixel != 1:
            raise UnusableImage("a colour image; only grey ones can be used")
        if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
            raise UnusableImage("PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2")
        if dataset.BitsAllocated not in (8, 16):
            raise UnusableImage(f"BitsAllocated is {int(dataset.BitsAllocated)}, not 8 or 16")
        if not 1 <= dataset.BitsStored <= dataset.BitsAllocated:
            raise UnusableImage("BitsStored does not fit in BitsAllocated")
        check_size(int(dataset.Columns), int(dataset.Rows))


def decode(dataset: Dataset) -> np.ndarray:
    """Decode the stored values, integers (height, width), before any LUT; `fit_header` makes negative ones of some.

    Raises:
        UnusableImage: The transfer syntax is unknown, the stream damaged, or the pixel data of another size.
    """
    codecs.register()
    with unusable("its transfer syntax cannot be read"):
        syntax = _transfer_syntax(dataset)
        name = syntax.keyword or "an unknown one"
    with unusable(f"the pixel data cannot be decoded ({name}): damaged or cut short"):
        if syntax in uid.UncompressedTransferSyntaxes:
            _check_native_size(dataset)
        elif syntax not in _DECODERS:
            raise UnusableImage(f"its transfer syntax cannot be decoded ({name})")
        elif _DECODERS[syntax] not in get_decoder(syntax).available_plugins:
            raise UnusableImage(f"no decoder is installed for {name}; reinstall this package")
        if syntax not in uid.UncompressedTransferSyntaxes and syntax != uid.RLELossless:
            frame = next(generate_frames(dataset.PixelData, number_of_frames=1), b"")
            check_stream(frame, int(dataset.Rows), int(dataset.Columns))
        shift = unused_low_bits(dataset)
        options: dict[str, Any] = {
            "raw": True,
            "decoding_plugin": _DECODERS.get(syntax, ""),
            # Where nothing else lies above the bits stored, a value that passes them must not be wrapped from white to
            # black: a lossy one, or any where the header is wrong.
            "correct_unused_bits": not shift and holds_overlay(dataset) and syntax not in _LOSSY,
        }
        if syntax == uid.RLELossless:
            try:  # as `as_array` does, but without its copy
                ((stored, _),) = get_decoder(syntax).iter_array(dataset, **options)
                return without_low_bits(stored, dataset, shift)
            except Exception:  # noqa: BLE001, then pydicom's own, slow decoder: it tolerates padding behind a segment
                options["decoding_plugin"] = "pydicom"
        return without_low_bits(get_decoder(syntax).as_array(dataset, **options)[0], dataset, shift)


def _transfer_syntax(dataset: Dataset) -> uid.UID:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return meta.TransferSyntaxUID
    # No file meta information: the way pydicom could parse the file says which one it is.
    implicit, little_endian = dataset.original_encoding
    if implicit:
        syntax = uid.ImplicitVRLittleEndian
    else:
        syntax = uid.ExplicitVRLittleEndian if little_endian else uid.ExplicitVRBigEndian
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _check_native_size(dataset: Dataset) -> None:
    # pydicom takes the first bytes of too many: rows of another length would shear the image.
    expected = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    held = len(dataset.PixelData)
    if held not in (expected, expected + expected % 2):
        raise UnusableImage(f"PixelData holds {held} bytes, the header asks for {expected}")
