"""OpenCV as a decoder: what its libraries print is heard instead of shown, and tells damage from oddity.

libpng, libjpeg and libtiff print what is wrong with a file on file descriptor 2, and often return an image even so.
"""

import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from preprocessing.images.image import UnusableImage

PNG = b"\x89PNG\r\n\x1a\n"
_HARMLESS = re.compile(
    r"Corrupt JPEG data: \d{1,2} extraneous bytes before marker 0xd9|IDAT: (Too much image data|Extra compressed data)"
)
_DAMAGE = re.compile(r"libpng error|IDAT|Corrupt JPEG data|Premature end of JPEG|TIFF_Error|PackBitsDecode")
_one_at_a_time = threading.Lock()


def decode(content: bytes, flags: int, kind: str = "the image") -> tuple[np.ndarray, list[str]]:
    """Decode an image of any kind that OpenCV reads.

    Args:
        flags: Of `cv2.imdecode`.
        kind: What the file is called in the reason.

    Returns:
        The image, and what is doubtful about it.

    Raises:
        UnusableImage: It cannot be decoded, or the decoder reports damage.
    """
    damaged = f"{kind} cannot be decoded: damaged or cut short"
    if content.startswith(PNG) and any(end > len(content) for _, _, end in png_chunks(content)):
        raise UnusableImage(damaged)  # OpenCV would take as much memory as a damaged length says
    level = cv2.utils.logging.getLogLevel()
    with _heard() as said:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        except cv2.error:
            image = None
        finally:
            cv2.utils.logging.setLogLevel(level)
    odd = [line for line in said if _HARMLESS.search(line)]
    if image is None or any(_DAMAGE.search(line) for line in said if line not in odd):
        raise UnusableImage(damaged)
    return image, ["bytes are left over behind its pixels"] if odd else []


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte of the data and end of every chunk of a PNG, as their lengths state them (PNG §5.3)."""
    place = len(PNG)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if not kind.isalpha():
            return
        end = place + 12 + length
        yield kind, place + 8, end
        place = len(content) if kind == b"IEND" else end


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Yield a list that holds, at the end, the lines that were printed on file descriptor 2 in the meantime."""
    said: list[str] = []
    with _one_at_a_time:
        terminal = os.dup(2)
        heard, mouth = os.pipe()
        os.set_blocking(mouth, False)  # a full pipe drops what is too much
        try:
            os.dup2(mouth, 2)
            os.close(mouth)
            yield said
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            with os.fdopen(heard, "rb") as pipe:
                said += pipe.read().decode("utf-8", "replace").splitlines()
