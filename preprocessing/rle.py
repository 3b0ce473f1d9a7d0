"""RLE Lossless (PS3.5 annex G) as a decoding plugin of pydicom.

pydicom's own decoder is a loop in Python, and slow; GDCM and pylibjpeg-rle end the process, or panic
past `except Exception`, over damaged streams. Here the header of a frame is read and checked in
Python, and each of its segments is decoded by imagecodecs (PackBits), which never reads beyond it.
"""

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
DECODER_DEPENDENCIES = {uid.RLELossless: ("imagecodecs>=2025.3.30",)}
_HEADER = struct.Struct("<16L")  # number of segments, and where each begins


def register() -> None:
    """Adds the plugin to pydicom's RLE decoder. Calling it again changes nothing."""
    decoder = get_decoder(uid.RLELossless)
    if PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(syntax: str) -> bool:
    """Says whether `syntax` can be decoded (asked by pydicom)."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: "DecodeRunner") -> np.ndarray:
    """Decodes one grey frame of 8 or 16 bits allocated to little-endian bytes (called by pydicom).

    Raises:
        ValueError: not one segment for each byte of a pixel, or a segment that does not hold
            exactly one byte for each pixel.
        imagecodecs.PackbitsError: a segment ends in the middle of a run, or holds too much.
    """
    segments = _segments(source)
    if len(segments) != runner.bits_allocated // 8:
        raise ValueError("the RLE frame has another number of segments than a pixel has bytes")
    planes = [_plane(segment, runner.rows * runner.columns) for segment in segments]
    # The most significant byte comes first (G.2).
    return planes[0] if len(planes) == 1 else cv2.merge(planes[::-1])


def _segments(source: bytes) -> list[memoryview]:
    count, *begins = _HEADER.unpack_from(source)
    begins = begins[:count]
    if not begins or begins != sorted(begins) or begins[0] < _HEADER.size or len(begins) != count:
        raise ValueError("the RLE header's segments overlap it or each other")
    ends = [*begins[1:], len(source)]
    return [memoryview(source)[begin:end] for begin, end in zip(begins, ends, strict=True)]


def _plane(segment: memoryview, pixels: int) -> np.ndarray:
    from imagecodecs import packbits_decode

    plane = np.empty(pixels, np.uint8)
    held = len(packbits_decode(segment, out=plane))
    if held != pixels:
        raise ValueError(f"an RLE segment holds {held} bytes for {pixels} pixels")
    return plane
