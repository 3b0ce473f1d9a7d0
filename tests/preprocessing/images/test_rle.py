"""RLE frames: what the compiled decoder gives is what pydicom's gives, and nothing damaged crashes it."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders import rle as readable

from preprocessing.images.codecs import decode_rle_frame


def frame_of(stored: np.ndarray) -> bytes:
    """One RLE frame of grey pixels, encoded by pydicom."""
    dataset = Dataset()
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.itemsize
    dataset.PixelRepresentation = 0
    dataset.compress(uid.RLELossless, stored, generate_instance_uid=False)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def grey(bits: int, height: int = 20, width: int = 24, seed: int = 0) -> np.ndarray:
    """Noise on the left, one value on the right: literal and repeated runs."""
    noise = np.random.default_rng(seed).integers(0, 2**bits, (height, width))
    noise[:, width // 2 :] = 2 ** (bits - 1) + 1
    return noise.astype(f"u{bits // 8}")


def runner_of(stored: np.ndarray) -> SimpleNamespace:
    """What pydicom tells a decoding plugin about the frame."""
    rows, columns = stored.shape
    return SimpleNamespace(rows=rows, columns=columns, bits_allocated=8 * stored.itemsize)


def decoded(frame: bytes, stored: np.ndarray) -> np.ndarray | None:
    """The frame's pixels, or None where it is refused."""
    try:
        return np.frombuffer(decode_rle_frame(frame, runner_of(stored)), stored.dtype).reshape(stored.shape)
    except (ValueError, RuntimeError):
        return None


def decoded_by_pydicom(frame: bytes, stored: np.ndarray) -> np.ndarray | None:
    """The same by pydicom's decoder in Python."""
    try:
        pixels = readable._rle_decode_frame(frame, *stored.shape, 1, 8 * stored.itemsize)
    except (ValueError, struct.error):
        return None
    return np.frombuffer(pixels, stored.dtype).reshape(stored.shape)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_frame_gives_the_stored_pixels(bits):
    stored = grey(bits)
    np.testing.assert_array_equal(decoded(frame_of(stored), stored), stored)


def damaged(frame: bytes, rng: np.random.Generator) -> bytes:
    """The frame with bytes changed, cut, inserted or appended, or with another header."""
    damage, place = bytearray(frame), int(rng.integers(64, len(frame)))
    match rng.integers(6):
        case 0:
            del damage[int(rng.integers(len(frame))) :]
        case 1:
            damage[place] = rng.choice([0, 127, 128, 129, 255])
        case 2:
            del damage[place : place + 3]
        case 3:
            damage[place:place] = rng.bytes(2)
        case 4:
            damage += rng.bytes(2)
        case 5:
            offset = rng.choice([0, 1, 2, 3, 16, 63, 65, place, len(frame), 2**31, 2**32 - 1])
            struct.pack_into("<L", damage, 4 * int(rng.integers(4)), offset)
    return bytes(damage)


@pytest.mark.parametrize("bits", [8, 16])
def test_damaged_frames_give_what_pydicom_gives_or_are_refused(bits, monkeypatch):
    monkeypatch.setattr(readable, "warn_and_log", lambda message: None)  # of padding
    rng, stored = np.random.default_rng(bits), grey(bits)
    frame = frame_of(stored)
    refused = 0
    for _ in range(400):
        damage = damaged(frame, rng)
        pixels = decoded(damage, stored)
        if pixels is None:
            refused += 1
        else:
            np.testing.assert_array_equal(pixels, decoded_by_pydicom(damage, stored))
    assert 0 < refused < 400


@pytest.mark.parametrize(
    "begins",
    [(64,), (64, 32), (0, 70), (70, 64), (64, 10**6), (64, 2**32 - 1), (64, 70, 80)],
    ids=["one too few", "in the header", "at 0", "in the wrong order", "outside", "far outside", "one too many"],
)
def test_segments_that_cannot_be_are_refused(begins):
    stored = grey(16)
    header = struct.pack(f"<{1 + len(begins)}L", len(begins), *begins).ljust(64, b"\0")
    assert decoded(header + frame_of(stored)[64:], stored) is None


@pytest.mark.parametrize("count", [0, 16, 2**32 - 1])
def test_a_number_of_segments_that_no_header_holds_is_refused(count):
    stored = grey(16)
    assert decoded(struct.pack("<L", count) + frame_of(stored)[4:], stored) is None


def test_a_segment_of_another_length_is_refused():
    stored = grey(8)
    assert decoded(frame_of(stored), stored[:-1]) is None
    assert decoded(frame_of(stored[:-1]), stored) is None
