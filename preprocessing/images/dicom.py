"""DICOM mammograms: decode, modality LUT, VOI window, MONOCHROME1, identity (PS3.3 C.11, C.8.11).

pydicom does the arithmetic of the standard; the scaling to [0, 1], the choice of the window, the
refusal of what cannot be used and the identity of a film are decided here.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from preprocessing.images import jpeg, rle
from preprocessing.images.large import StoredImage
from preprocessing.images.read import Film, UnusableFilm, refuse_constant

# One decoder a syntax, named: left to itself pydicom tries every installed one until one succeeds.
# Over damaged streams GDCM aborts the process, pylibjpeg-rle panics past `except Exception`, and
# pylibjpeg-libjpeg "succeeds" on half a stream; those chosen here raise.
_DECODERS = {
    uid.RLELossless: rle.PLUGIN,
    uid.JPEGBaseline8Bit: jpeg.PLUGIN,
    uid.JPEGExtended12Bit: jpeg.PLUGIN,
    uid.JPEGLossless: jpeg.PLUGIN,
    uid.JPEGLosslessSV1: jpeg.PLUGIN,
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)

_LOSSY = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
)

_REQUIRED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)
_GREY_LEVELS = (
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
)
_IDENTITY = (
    "PatientID",
    "StudyInstanceUID",
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
)
_READ = [*_REQUIRED, *_GREY_LEVELS, *_IDENTITY, "NumberOfFrames", "PixelData"]

# More pixels than any detector or film scanner gives: a damaged header must not ask for 8 GiB.
_MAX_PIXELS = 2**28


def read_dicom(path: Path, window: str | None = None) -> Film:
    """Reads one DICOM mammogram.

    FOR PRESENTATION, FOR PROCESSING and secondary captures of scanned film are read alike.
    pydicom's warnings are silenced meanwhile for the whole process: read in processes, not threads.

    Args:
        path: A DICOM file, with or without preamble.
        window: Name of the VOI LUT or window to apply; see `apply_window`.

    Raises:
        UnusableFilm: the file cannot be used; the message is the reason.
    """
    with _silent_pydicom():
        with _unusable("the DICOM file is damaged or cut short"):
            dataset = pydicom.dcmread(path, force=True, specific_tags=_READ)
        check_grey_image(dataset)
        stored = decode(dataset)

        # Stored values have at most 16 bits: the grey levels are computed once for each value.
        first, last = int(stored.min()), int(stored.max())
        levels = apply_window(dataset, np.arange(first, last + 1), window).astype(np.float32)
        image = StoredImage.of(stored, levels, first)
        if levels[0] == levels[-1]:  # both are in the image
            refuse_constant(image.pixels())

        with _unusable("the DICOM header's identity cannot be read"):
            patient = _patient(dataset, path)
            return Film(image, patient, _laterality(dataset, path), _view(dataset, path))


@contextmanager
def _silent_pydicom() -> Iterator[None]:
    """Lets no warning of pydicom out: they quote the header's values."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)  # unlike `disabled`, inherited by its children
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def _unusable(reason: str) -> Iterator[None]:
    """Turns whatever a library raises over a bad file into `reason`: its own words may quote it."""
    try:
        yield
    except (UnusableFilm, MemoryError):
        raise
    except Exception:  # noqa: BLE001, a damaged file makes libraries raise anything
        raise UnusableFilm(reason) from None


# --- pixels -------------------------------------------------------------------------------------


def check_grey_image(dataset: Dataset) -> None:
    """Checks that a dataset holds one grey image of 8 or 16 bits allocated.

    Raises:
        UnusableFilm: it does not; the message names the element.
    """
    with _unusable("the DICOM header describes no image that can be read"):
        if "PixelData" not in dataset:
            raise UnusableFilm("no PixelData: not an image, or the file is cut short")
        for keyword in _REQUIRED:
            if dataset.get(keyword) in (None, ""):
                raise UnusableFilm(f"the DICOM header has no {keyword}")
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            frames = int(dataset.NumberOfFrames)
            raise UnusableFilm(f"{frames} frames; only single images can be used")
        if dataset.SamplesPerPixel != 1:
            raise UnusableFilm("a colour image; only grey ones can be used")
        if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
            raise UnusableFilm("PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2")
        if dataset.BitsAllocated not in (8, 16):
            raise UnusableFilm(f"BitsAllocated is {int(dataset.BitsAllocated)}, not 8 or 16")
        if not 1 <= dataset.BitsStored <= dataset.BitsAllocated:
            raise UnusableFilm("BitsStored does not fit in BitsAllocated")
        if not 1 <= dataset.Rows * dataset.Columns <= _MAX_PIXELS:
            raise UnusableFilm(f"the image is {int(dataset.Rows)} x {int(dataset.Columns)} pixels")


def decode(dataset: Dataset) -> np.ndarray:
    """Decodes the stored values, `(height, width)` integers, before any LUT.

    Raises:
        UnusableFilm: unknown transfer syntax, damaged stream, or pixel data of another size.
    """
    jpeg.register()
    rle.register()
    with _unusable("its transfer syntax cannot be read"):
        syntax = _transfer_syntax(dataset)
        name = syntax.keyword or "an unknown one"
    with _unusable(f"the pixel data cannot be decoded ({name}): damaged or cut short"):
        if syntax in _NATIVE:
            _check_native_size(dataset)
        elif syntax not in _DECODERS:
            raise UnusableFilm(f"its transfer syntax cannot be decoded ({name})")
        elif _DECODERS[syntax] not in get_decoder(syntax).available_plugins:
            raise UnusableFilm(f"no decoder is installed for {name}; reinstall this package")
        options = {
            "raw": True,
            "decoding_plugin": _DECODERS.get(syntax, ""),
            # A lossy value may pass the bits stored, and must not be wrapped from white to black.
            "correct_unused_bits": bool(dataset.PixelRepresentation) or syntax not in _LOSSY,
        }
        if syntax == uid.RLELossless:
            try:  # as `as_array` does, but without its copy
                ((stored, _),) = get_decoder(syntax).iter_array(dataset, **options)
                return stored
            except Exception:  # noqa: BLE001, then pydicom's own, slow decoder: it tolerates padding behind a segment
                options["decoding_plugin"] = "pydicom"
        return get_decoder(syntax).as_array(dataset, **options)[0]


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
        raise UnusableFilm(f"PixelData holds {held} bytes, the header asks for {expected}")


# --- grey levels --------------------------------------------------------------------------------


def apply_window(dataset: Dataset, stored: np.ndarray, window: str | None = None) -> np.ndarray:
    """Maps stored values to grey levels in [0, 1] (PS3.3 C.11.1, C.11.2).

    Modality LUT (or rescale), then VOI, MONOCHROME1 inverted, values outside truncated. 0 and 1 are
    the ends of the output range: of the window's (LINEAR and LINEAR_EXACT reach both, SIGMOID
    neither), of the VOI LUT's number of bits, or, without either, of the bits stored. Padding
    (PixelPaddingValue, C.7.5.1.1.2) is no image and stays 0.

    Where the header offers VOI LUTs and windows, LUTs come first, as in pydicom: they are what
    the vendor's windows approximate.

    Args:
        dataset: The header.
        stored: Integers, any shape.
        window: Name to look for among LUTExplanation, then WindowCenterWidthExplanation, case
            ignored. Defaults to the first VOI LUT, else the first window.

    Returns:
        float64 of the shape of `stored`.

    Raises:
        UnusableFilm: no window of that name, or one that the standard does not define.
    """
    with _unusable("the header's modality LUT or VOI window cannot be applied"):
        header, stored = _without_empty(dataset), np.asarray(stored).astype(np.int64)
        values, low, high = _modality(header, stored)
        kind, index = _choose_voi(header, window)
        if kind == "lut":
            values, low, high = _voi_lut(header, values, index)
        elif kind == "window":
            _check_window(header, index)
            with np.errstate(over="ignore"):  # a sigmoid's far end
                values = apply_windowing(values, header, index)
        else:
            low, high = min(low, high), max(low, high)  # a negative slope turns the range round

        levels = np.clip((values - low) / (high - low), 0, 1)
        if not np.isfinite(levels).all():
            raise UnusableFilm("the header's modality LUT or VOI window has no number")
        if header.PhotometricInterpretation == "MONOCHROME1":
            levels = 1 - levels
        levels[_padding(header, stored)] = 0
        return levels


def _without_empty(dataset: Dataset) -> Dataset:
    """The elements of the grey levels; pydicom stumbles over those without a value."""
    kept = Dataset()
    for keyword in (*_REQUIRED, *_GREY_LEVELS):
        if dataset.get(keyword) not in (None, "", []):
            kept[keyword] = dataset[keyword]
    if hasattr(dataset, "file_meta"):
        kept.file_meta = dataset.file_meta
    return kept


def _modality(dataset: Dataset, stored: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Applies the modality LUT. Returns the values and the range that pydicom's windows give."""
    bits = int(dataset.BitsStored)
    low: float = -(2 ** (bits - 1)) if dataset.PixelRepresentation == 1 else 0
    high: float = low + 2**bits - 1
    if "ModalityLUTSequence" in dataset:
        plain, bits = _plain_lut(dataset, "ModalityLUTSequence", 0)
        return apply_modality_lut(stored, plain).astype(np.int64), 0, 2**bits - 1
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        if slope == 0:
            raise UnusableFilm("RescaleSlope is 0")
        low, high = low * slope + intercept, high * slope + intercept
        return apply_modality_lut(stored, dataset), low, high
    return stored, low, high


def _choose_voi(dataset: Dataset, window: str | None) -> tuple[str | None, int]:
    """Which VOI to apply: ("lut" | "window", its index), or (None, 0) where the header has none."""
    luts = [str(item.get("LUTExplanation") or "") for item in dataset.get("VOILUTSequence", ())]
    names = dataset.get("WindowCenterWidthExplanation", ())
    names = [names] if isinstance(names, str) else list(names)
    windowed = "WindowCenter" in dataset and "WindowWidth" in dataset

    if window is None:
        return ("lut", 0) if luts else ("window", 0) if windowed else (None, 0)
    for kind, given in (("lut", luts), ("window", names if windowed else [])):
        folded = [str(name).strip().casefold() for name in given]
        if window.strip().casefold() in folded:
            return kind, folded.index(window.strip().casefold())
    raise UnusableFilm("the header has no window of the name asked for")


def _voi_lut(dataset: Dataset, values: np.ndarray, index: int) -> tuple[np.ndarray, int, int]:
    plain, bits = _plain_lut(dataset, "VOILUTSequence", index)
    return apply_voi(np.rint(values).astype(np.int64), plain).astype(np.int64), 0, 2**bits - 1


def _plain_lut(dataset: Dataset, keyword: str, index: int) -> tuple[Dataset, int]:
    """One LUT as pydicom applies it without fault, and the number of bits of its entries.

    pydicom wraps the index into an 8-bit table of more than 256 entries, cannot unpack 8-bit
    entries packed by twos (PS3.3 C.11.1.1.1), and takes a count that was read as signed for a
    negative one: here the entries are unpacked and declared as 16 bits.
    """
    item = dataset[keyword].value[index]
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count % 2**16 or 2**16
    meta, order = getattr(dataset, "file_meta", {}), "<"
    data = item.LUTData
    if not isinstance(data, bytes):
        data = np.atleast_1d(np.asarray(data, dtype=np.int64)).astype("<u2").tobytes()
    elif meta.get("TransferSyntaxUID") == uid.ExplicitVRBigEndian:
        order = ">"
    packed = bits == 8 and len(data) < 2 * count
    entries = np.frombuffer(data, np.uint8 if packed else order + "u2")[:count]
    if len(entries) < count:
        raise UnusableFilm(f"{keyword} holds fewer entries than its descriptor says")

    plain, lut = Dataset(), Dataset()
    lut.LUTDescriptor = [count, first, 16]
    lut.add_new("LUTData", "US", entries.tolist())
    setattr(plain, keyword, [lut])
    return plain, bits


def _check_window(dataset: Dataset, index: int) -> None:
    function = str(dataset.get("VOILUTFunction", "LINEAR")).upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnusableFilm("VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    widths = np.atleast_1d(dataset.WindowWidth).astype(float)
    width = widths[index if len(widths) > 1 else 0]
    # PS3.3 C.11.2.1.2.1: LINEAR subtracts 1 from the width.
    if width < 1 if function == "LINEAR" else width <= 0:
        raise UnusableFilm(f"WindowWidth is {width:g}, too small for a {function} window")


def _padding(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    if "PixelPaddingValue" not in dataset:
        return np.zeros(np.shape(stored), dtype=bool)
    value = dataset.PixelPaddingValue
    limit = dataset.get("PixelPaddingRangeLimit", value)
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


# --- identity -----------------------------------------------------------------------------------

# CBIS-DDSM gives every film a PatientID and a study of its own: "Mass-Training_P_00001_LEFT_CC".
_CBIS_PATIENT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d+)")
# "..._LEFT_CC", "B_3013_1.RIGHT_MLO", "L-MLO", "LCC"
_SIDE_AND_VIEW = re.compile(r"(?:^|[\W_])(L|R|LEFT|RIGHT)[\W_]?(CC|MLO)(?=$|[\W_])", re.IGNORECASE)

# PS3.3 C.8.11.7.1.1; only these words leave the header.
_VIEWS = frozenset(["CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO"])
# PS3.16 CID 4014, in SNOMED CT and in the older SNOMED-RT codes
_VIEW_CODES = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "R-10230": "LMO",
    "399265009": "XCC",
    "R-102CF": "XCC",
    "399192008": "XCCL",
    "R-1024A": "XCCL",
    "399101009": "XCCM",
    "R-1024B": "XCCM",
    "399196006": "FB",
    "R-10244": "FB",
    "399188001": "SIO",
    "R-102D0": "SIO",
    "441555000": "ISO",
    "R-40AAA": "ISO",
}


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip(" \0")


def _patient(dataset: Dataset, path: Path) -> str:
    """CBIS-DDSM's P_00001, else PatientID, else the study, else the file's stem."""
    identity = _text(dataset, "PatientID")
    cbis = _CBIS_PATIENT.search(identity) or (not identity and _CBIS_PATIENT.search(path.stem))
    if cbis:
        return cbis.group(1)
    return identity or _text(dataset, "StudyInstanceUID") or path.stem


def _side_and_view(dataset: Dataset, path: Path) -> tuple[str, str]:
    for text in (_text(dataset, "PatientID"), path.name):
        found = _SIDE_AND_VIEW.search(text)
        if found:
            return found.group(1)[0].upper(), found.group(2).upper()
    return "", ""


def _laterality(dataset: Dataset, path: Path) -> str | None:
    for keyword in ("ImageLaterality", "Laterality"):
        side = _text(dataset, keyword).upper()
        if side in ("L", "R"):
            return side
    return _side_and_view(dataset, path)[0] or None


def _view(dataset: Dataset, path: Path) -> str | None:
    view = _text(dataset, "ViewPosition").upper()
    if view in _VIEWS:
        return view
    for item in dataset.get("ViewCodeSequence") or ():
        if _text(item, "CodeValue") in _VIEW_CODES:
            return _VIEW_CODES[_text(item, "CodeValue")]
    view = _text(dataset, "PatientOrientation").upper()  # CBIS-DDSM writes the view here
    return view if view in _VIEWS else _side_and_view(dataset, path)[1] or None
