"""The JPEG family (baseline, extended, lossless) as a decoding plugin of pydicom.

pydicom's own choices do not serve a run over thousands of files: a damaged stream makes GDCM abort
the whole process, Pillow reads neither 12 bits nor lossless, and pylibjpeg-libjpeg is GPL. Here
imagecodecs (libjpeg-turbo 3: 8, 12 and lossless up to 16 bits) is put behind pydicom's plugin
interface, so that fragments, sign and unused bits stay pydicom's work.
"""

from typing import TYPE_CHECKING

import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "imagecodecs"
DECODER_DEPENDENCIES = dict.fromkeys(
    (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1),
    ("imagecodecs>=2025.3.30",),
)


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
        ValueError: The stream is cut short or is not one grey image of the header's size.
    """
    from imagecodecs import jpeg8_decode

    # libjpeg fills what is missing with grey and only warns: a whole stream ends with EOI.
    if b"\xff\xd9" not in source[-64:]:
        raise ValueError("the JPEG stream is cut short")
    frame = jpeg8_decode(source)
    if frame.shape != (runner.rows, runner.columns):
        raise ValueError("the JPEG stream is not a grey image of the header's size")
    runner.set_option("bits_allocated", 8 * frame.itemsize)
    return frame.astype(np.dtype(frame.dtype).newbyteorder("<"), copy=False).tobytes()
