"""From the stored values of a DICOM image to grey levels: modality LUT, VOI LUT or window, inversion (PS3.3 C.11).

pydicom does the arithmetic of the standard; the scaling to [0, 1] and the choice of the window are decided here.
"""

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from preprocessing.images.image import UnusableImage, unusable

ELEMENTS = (
    "ModalityLUTSequence RescaleSlope RescaleIntercept VOILUTSequence VOILUTFunction WindowCenter WindowWidth "
    "WindowCenterWidthExplanation PresentationLUTShape PresentationIntentType PixelIntensityRelationshipSign"
).split()
_STORED = ("BitsStored", "PixelRepresentation", "PhotometricInterpretation")


def apply_window(dataset: Dataset, stored: np.ndarray, window: str | None = None) -> np.ndarray:
    """Map stored values to grey levels in [0, 1] (PS3.3 C.11.1, C.11.2).

    Modality LUT (or rescale), then VOI, inverted where low values are white, values outside truncated. 0 and 1 are the
    ends of the output range: of the window's (LINEAR and LINEAR_EXACT reach both, SIGMOID neither), of the VOI LUT's
    number of bits, or, without either, of the bits stored.

    Where the header offers VOI LUTs and windows, LUTs come first, as in pydicom: the vendor's windows approximate them.

    Args:
        stored: Integers, any shape.
        window: Name to look for among LUTExplanation, then WindowCenterWidthExplanation, case ignored. Defaults to the
            first VOI LUT, else the first window.

    Returns:
        float64 of the shape of `stored`.

    Raises:
        UnusableImage: The header has no window of that name, or one that the standard does not define.
    """
    with unusable("the header's modality LUT or VOI window cannot be applied"):
        header, stored = _without_empty(dataset), np.asarray(stored).astype(np.int64)
        values, low, high = _modality(header, stored)
        kind, index = _choose_voi(header, window)
        if kind == "lut":
            plain, bits = _plain_lut(header, "VOILUTSequence", index)
            values = apply_voi(np.rint(values).astype(np.int64), plain).astype(np.int64)
            low, high = 0, 2**bits - 1
        elif kind == "window":
            _check_window(header, index)
            with np.errstate(over="ignore"):  # a sigmoid's far end
                values = apply_windowing(values, header, index)
        else:
            low, high = min(low, high), max(low, high)  # a negative slope turns the range round

        levels = np.clip((values - low) / (high - low), 0, 1)
        if not np.isfinite(levels).all():
            raise UnusableImage("the header's modality LUT or VOI window has no number")
        return 1 - levels if _is_inverted(header) else levels


def has_window(dataset: Dataset) -> bool:
    """Tell whether a header says more of the range of its values than their number of bits."""
    header = _without_empty(dataset)
    return any(keyword in header for keyword in ("WindowCenter", "VOILUTSequence", "ModalityLUTSequence"))


def _without_empty(dataset: Dataset) -> Dataset:
    """Keep the elements of the grey levels that have a value; pydicom stumbles over those without."""
    kept = Dataset()
    for keyword in (*_STORED, *ELEMENTS):
        if dataset.get(keyword) not in (None, "", []):
            kept[keyword] = dataset[keyword]
    if hasattr(dataset, "file_meta"):
        kept.file_meta = dataset.file_meta
    return kept


def _modality(dataset: Dataset, stored: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Apply the modality LUT; returns the values, and both ends of the range that pydicom's windows give."""
    bits = int(dataset.BitsStored)
    low: float = -(2 ** (bits - 1)) if dataset.PixelRepresentation == 1 else 0
    high: float = low + 2**bits - 1
    if "ModalityLUTSequence" in dataset:
        plain, bits = _plain_lut(dataset, "ModalityLUTSequence", 0)
        return apply_modality_lut(stored, plain).astype(np.int64), 0, 2**bits - 1
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        if slope == 0:
            raise UnusableImage("RescaleSlope is 0")
        low, high = low * slope + intercept, high * slope + intercept
        return apply_modality_lut(stored, dataset), low, high
    return stored, low, high


def _choose_voi(dataset: Dataset, window: str | None) -> tuple[str | None, int]:
    """Choose the VOI to apply: ("lut" | "window", its index), or (None, 0) where the header has none."""
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
    raise UnusableImage("the header has no window of the name asked for")


def _plain_lut(dataset: Dataset, keyword: str, index: int) -> tuple[Dataset, int]:
    """Return one LUT as pydicom applies it without fault, and the number of bits of its entries.

    pydicom wraps the index into an 8-bit table of more than 256 entries, cannot unpack 8-bit entries packed in pairs
    (PS3.3 C.11.1.1.1), and takes a count that was read as signed for a negative one: here the entries are unpacked and
    declared as 16 bits.
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
        raise UnusableImage(f"{keyword} holds fewer entries than its descriptor says")

    plain, lut = Dataset(), Dataset()
    lut.LUTDescriptor = [count, first, 16]
    lut.add_new("LUTData", "US", entries.tolist())
    setattr(plain, keyword, [lut])
    return plain, bits


def _check_window(dataset: Dataset, index: int) -> None:
    function = str(dataset.get("VOILUTFunction", "LINEAR")).upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnusableImage("VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    widths = np.atleast_1d(dataset.WindowWidth).astype(float)
    width = widths[index if len(widths) > 1 else 0]
    # PS3.3 C.11.2.1.2.1: LINEAR subtracts 1 from the width.
    if width < 1 if function == "LINEAR" else width <= 0:
        raise UnusableImage(f"WindowWidth is too small for a {function} window")


def _is_inverted(dataset: Dataset) -> bool:
    """Tell whether low values are to be white.

    MONOCHROME1 and Presentation LUT Shape INVERSE say the same (PS3.3 C.8.11.3.1.2); one of them is enough. Raw images
    are not for display: they say whether the value grows with the X-rays, of which air lets all through.
    """
    sign = dataset.get("PixelIntensityRelationshipSign")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING" and sign in (1, -1):
        return (sign == 1) != (float(dataset.get("RescaleSlope", 1)) < 0)
    return dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
