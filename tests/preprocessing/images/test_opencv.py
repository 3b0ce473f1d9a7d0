"""Files that decoders complain about: nothing is printed, damage is refused, oddities are not."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest

from preprocessing.images.codecs import decode_jpeg
from preprocessing.images.image import UnusableImage
from preprocessing.images.opencv import decode
from preprocessing.mammograms.given_masks import read_mask
from preprocessing.phantoms.mammogram import mammogram_phantom

IMAGE = np.uint8(np.round(mammogram_phantom(0, 256, 128)[0] * 255))
LZW, PACKBITS = ([cv2.IMWRITE_TIFF_COMPRESSION, code] for code in (5, 32773))
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]


def encoded(ending: str, *options: int, image: np.ndarray = IMAGE) -> bytes:
    return cv2.imencode(ending, image, list(options))[1].tobytes()


def spoilt(content: bytes, at: float, spoil: bytes = b"\xff\x13\x57\x9b\xdf" * 8) -> bytes:
    """Replace bytes at a share of the file."""
    place = int(len(content) * at)
    return content[:place] + spoil + content[place + len(spoil) :]


@pytest.mark.parametrize("at", [0.3, 0.6])
@pytest.mark.parametrize(
    "content",
    [encoded(".png"), encoded(".jpg"), encoded(".jpg", *RESTARTS), encoded(".tif", *LZW), encoded(".tif", *PACKBITS)],
    ids=["png", "jpeg", "jpeg with restarts", "lzw", "packbits"],
)
def test_damage_that_a_decoder_notices_is_refused_and_nothing_is_printed(capfd, content, at):
    assert np.abs(decode(content, cv2.IMREAD_UNCHANGED)[0].astype(int) - IMAGE).max() < 40
    with pytest.raises(UnusableImage, match="the image cannot be decoded: damaged or cut short"):
        decode(spoilt(content, at), cv2.IMREAD_UNCHANGED)
    assert capfd.readouterr() == ("", "")


def test_a_length_beyond_the_end_of_a_png_takes_no_memory():
    """OpenCV would make room for as much as the length says."""
    content = encoded(".png")
    place = content.index(b"IDAT") - 4
    program = """if True:
        import resource, sys
        from preprocessing.images.opencv import decode
        content = sys.stdin.buffer.read()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            decode(content, -1)
        except ValueError as reason:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, reason)
    """
    damaged = content[:place] + struct.pack(">I", 2**30) + content[place + 4 :]
    said = subprocess.run([sys.executable, "-c", program], input=damaged, capture_output=True, check=True).stdout
    kibibytes, _, reason = said.decode().partition(" ")
    assert int(kibibytes) < 100_000 and reason == "the image cannot be decoded: damaged or cut short\n"


def test_an_odd_png_is_taken(capfd):
    """libpng warns of a colour profile that is none, of which many files have one."""
    profile = b"iCCPname\0\0" + zlib.compress(b"no profile")
    chunk = struct.pack(">I", len(profile) - 4) + profile + struct.pack(">I", zlib.crc32(profile))
    content = encoded(".png")
    image, doubts = decode(content[:33] + chunk + content[33:], cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image, IMAGE) and doubts == []
    assert capfd.readouterr() == ("", "")


def test_a_few_bytes_behind_the_pixels_of_a_jpeg_are_a_doubt():
    content = encoded(".jpg")
    image, doubts = decode(content[:-2] + b"\x12\x34" + content[-2:], cv2.IMREAD_UNCHANGED)
    assert np.array_equal(image, cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))
    assert doubts == ["bytes are left over behind its pixels"]


def png_header(width: int, height: int, colour: int) -> bytes:
    """A PNG of 16 bits that promises pixels and holds none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def test_standard_error_is_as_before_afterwards(capfd):
    with pytest.raises(UnusableImage):
        decode(b"no image", cv2.IMREAD_UNCHANGED)
    print("a line of ours", file=sys.stderr, flush=True)
    os.write(2, b"another\n")
    assert capfd.readouterr().err == "a line of ours\nanother\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (spoilt(encoded(".png"), 0.5), "its mask cannot be decoded"),
        (b"P5 99999 99999 255\n" + bytes(9), "the image is 99999 x 99999 pixels"),
        (png_header(16384, 16384, colour=0), "the image is 16384 x 16384 pixels"),
        (png_header(8192, 10240, colour=6), "the image is 10240 x 8192 pixels of 4 channels"),
        (png_header(40_000, 2000, colour=0), "no mammogram has such a shape"),
        (b"text", "its mask cannot be decoded"),
    ],
)
def test_a_damaged_mask_is_refused_and_nothing_is_printed(tmp_path, capfd, content, said):
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(UnusableImage, match=said):
        read_mask(tmp_path / "mask.png")
    assert capfd.readouterr() == ("", "")


def test_a_mask_of_a_kind_whose_header_is_not_read_is_not_too_large_either(tmp_path):
    side = 12_000
    (tmp_path / "mask.pbm").write_bytes(b"P4 %d %d\n" % (side, side) + bytes(side * side // 8))
    code = (
        "import sys, preprocessing, pathlib\n"
        "from preprocessing.mammograms.given_masks import UnusableImage, read_mask\n"
        "try: read_mask(pathlib.Path(sys.argv[1]))\n"
        "except UnusableImage as reason: print(reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mask.pbm")], capture_output=True, text=True, check=True
    )
    assert "cannot be decoded" in done.stdout


@pytest.mark.parametrize("marker", [b"\xff\xd9", b"\xff\xc4", b"\xff\xff\x01"])
def test_a_marker_inside_a_lossless_jpeg_is_refused(marker):
    stream = imagecodecs.ljpeg_encode(np.uint16(IMAGE) * 16, bitspersample=12)
    assert np.array_equal(decode_jpeg(stream), np.uint16(IMAGE) * 16)
    with pytest.raises(ValueError, match="damaged or cut short"):
        decode_jpeg(spoilt(stream, 0.5, marker))
