"""RLE Lossless (PS3.5 annex G) as a decoding plugin of pydicom.

pydicom's own decoder is a loop in Python, and slow; GDCM and pylibjpeg-rle end the process, or panic
past `except Exception`, over damaged streams. Here the header of a frame is checked in Python, since
imagecodecs, which then decodes it, trusts where it says that the segments begin.
"""

import struct
from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
DECODER_DEPENDENCIES = {uid.RLELossless: ("imagecodecs>=2025.3.30",)}
_HEADER = struct.Struct("<16L")  # number of segments, and where each begins


def register() -> None:
    """Add the plugin to pydicom's RLE decoder. Calling it again changes nothing."""
    decoder = get_decoder(uid.RLELossless)
    if PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(syntax: str) -> bool:
    """Tell whether `syntax` can be decoded (asked by pydicom)."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: "DecodeRunner") -> np.ndarray:
    """Decode one grey frame of 8 or 16 bits allocated to little-endian bytes (called by pydicom).

    Raises:
        ValueError: The header does not describe one segment for each byte of a pixel.
        RuntimeError: A segment is cut short, or holds another number of bytes than there are pixels.
    """
    from imagecodecs import dicomrle_decode

    size = runner.bits_allocated // 8
    _check_header(source, size)
    frame = np.empty(runner.rows * runner.columns * size, np.uint8)
    if len(dicomrle_decode(source, f"<u{size}", out=frame.data)) != len(frame):
        raise ValueError("the RLE segments hold fewer bytes than the image has pixels")
    return frame


def _check_header(source: bytes, segments: int) -> None:
    """Raise ValueError unless the segments lie in the frame one after the other."""
    if len(source) <= _HEADER.size:
        raise ValueError("the RLE frame is cut short")
    count, *begins = _HEADER.unpack_from(source)
    if count != segments or begins[0] != _HEADER.size:
        raise ValueError("the RLE header asks for another number of segments, or another header")
    ends = [*begins[1:count], len(source)]
    if any(begin >= end for begin, end in zip(begins[:count], ends, strict=True)):
        raise ValueError("the RLE header's segments overlap, or end outside of the frame")
