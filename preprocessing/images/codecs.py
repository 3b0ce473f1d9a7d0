"""The JPEG family and RLE Lossless (PS3.5 annex G) as decoding plugins of pydicom, by imagecodecs and OpenCV.

pydicom's own choices do not serve a run over thousands of files. Of JPEG, a damaged stream makes GDCM abort the whole
process, Pillow reads neither 12 bits nor lossless, and pylibjpeg-libjpeg is GPL. Of RLE, pydicom's own decoder is a
loop in Python, and slow; GDCM and pylibjpeg-rle end the process, or panic past `except Exception`, over damaged
streams. Here imagecodecs (libjpeg-turbo 3: 8, 12 and lossless up to 16 bits), and OpenCV for 8 bits, are put behind
pydicom's plugin interface, so that fragments, sign and unused bits stay pydicom's work.
"""

import re
import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

from preprocessing.images import opencv
from preprocessing.images.bounds import jpeg_segments

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
_DECODE = {**dict.fromkeys(uid.JPEGTransferSyntaxes, "decode_jpeg_frame"), uid.RLELossless: "decode_rle_frame"}
DECODER_DEPENDENCIES = dict.fromkeys(_DECODE, ("imagecodecs>=2025.3.30",))
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # that ends a scan; not a byte 0xff of it, nor a restart
_RLE_HEADER = struct.Struct("<16L")  # number of segments, and where each begins


def register() -> None:
    """Add the plugin to pydicom's decoders. Calling it again changes nothing."""
    for syntax, function in _DECODE.items():
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, function))


def is_available(syntax: str) -> bool:
    """Tell whether `syntax` can be decoded (asked by pydicom)."""
    return syntax in DECODER_DEPENDENCIES


def decode_jpeg_frame(source: bytes, runner: "DecodeRunner") -> bytes:
    """Decode one JPEG frame (called by pydicom).

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

    scan = next((end for marker, _, end in jpeg_segments(source) if marker == 0xDA), len(source))
    marker = _MARKER.search(source, scan)
    if marker is None or marker[1] != b"\xd9" or len(source) - marker.end() > 62:
        raise ValueError("the JPEG stream is damaged or cut short")
    return jpeg8_decode(source)


def decode_rle_frame(source: bytes, runner: "DecodeRunner") -> np.ndarray:
    """Decode one grey RLE frame of 8 or 16 bits allocated to little-endian bytes (called by pydicom).

    The header is checked here, since imagecodecs trusts where it says that the segments begin.

    Raises:
        ValueError: The header does not describe one segment for each byte of a pixel.
        RuntimeError: A segment is cut short, or holds another number of bytes than there are pixels.
    """
    from imagecodecs import dicomrle_decode

    size = runner.bits_allocated // 8
    _check_rle_header(source, size)
    frame = np.empty(runner.rows * runner.columns * size, np.uint8)
    if len(dicomrle_decode(source, f"<u{size}", out=frame.data)) != len(frame):
        raise ValueError("the RLE segments hold fewer bytes than the image has pixels")
    return frame


def _check_rle_header(source: bytes, segments: int) -> None:
    """Raise ValueError unless the segments lie in the frame one after the other."""
    if len(source) <= _RLE_HEADER.size:
        raise ValueError("the RLE frame is cut short")
    count, *begins = _RLE_HEADER.unpack_from(source)
    if count != segments or begins[0] != _RLE_HEADER.size:
        raise ValueError("the RLE header asks for another number of segments, or another header")
    ends = [*begins[1:count], len(source)]
    if any(begin >= end for begin, end in zip(begins[:count], ends, strict=True)):
        raise ValueError("the RLE header's segments overlap, or end outside of the frame")
