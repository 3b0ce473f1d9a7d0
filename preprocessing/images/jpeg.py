"""The JPEG family (baseline, extended, lossless) as a decoding plugin of pydicom.

pydicom's own choices do not serve a run over thousands of files: a damaged stream makes GDCM abort
the whole process, Pillow reads neither 12 bits nor lossless, and pylibjpeg-libjpeg is GPL. Here
imagecodecs (libjpeg-turbo 3: 8, 12 and lossless up to 16 bits), and OpenCV for 8 bits, are put behind pydicom's plugin
interface, so that fragments, sign and unused bits stay pydicom's work.
"""

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

from preprocessing.images import opencv

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # that ends a scan; not a byte 0xff of it, nor a restart
DECODER_DEPENDENCIES = dict.fromkeys(uid.JPEGTransferSyntaxes, ("imagecodecs>=2025.3.30",))


def register() -> None:
    """Add the plugin to pydicom's JPEG decoders. Calling it again changes nothing."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(syntax: str) -> bool:
    """Tell whether `syntax` can be decoded (asked by pydicom)."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: "DecodeRunner") -> bytes:
    """Decode one frame (called by pydicom).

    Raises:
        ValueError: The stream is damaged, cut short or not one grey image of the header's size.
    """
    if runner.transfer_syntax == uid.JPEGBaseline8Bit:
        frame, _ = opencv.decode(source, cv2.IMREAD_UNCHANGED)  # its libjpeg tells of damage
    else:
        frame = decode_jpeg(source)
    if frame.shape != (runner.rows, runner.columns):
        raise ValueError("the JPEG stream is not a grey image of the header's size")
    runner.set_option("bits_allocated", 8 * frame.itemsize)
    return frame.astype(np.dtype(frame.dtype).newbyteorder("<"), copy=False).tobytes()


def decode_jpeg(source: bytes) -> np.ndarray:
    """Decode a grey JPEG stream of one scan, lossy or lossless.

    Raises:
        ValueError: The stream is cut short, or a marker interrupts its scan: libjpeg fills what is missing with grey.
    """
    from imagecodecs import jpeg8_decode

    marker = _MARKER.search(source, _scan_of(source))
    if marker is None or marker[1] != b"\xd9" or len(source) - marker.end() > 62:
        raise ValueError("the JPEG stream is damaged or cut short")
    return jpeg8_decode(source)


def _scan_of(source: bytes) -> int:
    """Find where the segments before the scan end."""
    at = 2
    while source[at : at + 1] == b"\xff":
        marker = source[at + 1 : at + 2]
        if marker == b"\xff":  # fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(source[at + 2 : at + 4])
        if marker == b"\xda":
            return at
    return len(source)
