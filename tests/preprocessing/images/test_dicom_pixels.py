"""DICOM mammograms: transfer syntaxes and bits, from the file to pixels."""

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_files import LOSSLESS, encapsulated, header, jpeg_lossless, save, stored_values
from pydicom import uid

from preprocessing.images.dicom import read_dicom


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_lossless_syntaxes_give_the_stored_pixels(syntax, bits, tmp_path):
    stored = stored_values(bits)
    stream = LOSSLESS[syntax](stored, bits)
    film = read_dicom(save(encapsulated(header(stored, bits), syntax, stream), tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / (2**bits - 1)).astype(np.float32))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(
    "syntax",
    [
        uid.ExplicitVRLittleEndian,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_uncompressed_deflated_and_rle_give_the_stored_pixels(syntax, bits, tmp_path):
    stored = stored_values(bits)
    dataset = header(stored, bits)
    if syntax == uid.RLELossless:
        dataset.compress(syntax)
    elif syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / (2**bits - 1)).astype(np.float32))


@pytest.mark.parametrize("bits", [12, 16])
def test_near_lossless_jpeg_ls_stays_within_its_bound(bits, tmp_path):
    stored = stored_values(bits)
    stream = imagecodecs.jpegls_encode(stored, level=3)
    dataset = encapsulated(header(stored, bits), uid.JPEGLSNearLossless, stream)
    decoded = np.rint(read_dicom(save(dataset, tmp_path)).pixels * (2**bits - 1))
    assert 0 < np.abs(decoded - stored).max() <= 3


def test_lossy_values_above_the_bits_stored_are_white_and_not_wrapped(tmp_path):
    stored = stored_values(12)
    stream = imagecodecs.jpegls_encode(stored + np.uint16(3))  # declared near-lossless below
    dataset = encapsulated(header(stored), uid.JPEGLSNearLossless, stream)
    assert read_dicom(save(dataset, tmp_path)).pixels[0, 1] == 1


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1])
def test_values_above_the_bits_stored_are_not_wrapped(syntax, window, tmp_path):
    stored = stored_values(14)
    dataset = header(stored, 12)
    if syntax == uid.JPEGLosslessSV1:
        dataset = encapsulated(dataset, syntax, jpeg_lossless(1)(stored, 14))
    if window:
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 2**13, 2**14, "LINEAR_EXACT"
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_allclose(film.pixels, stored / (2**14 - 1), atol=1e-4)
    assert film.doubts == ["values of 14 bits in 12: taken as 14 bits"]


def test_an_overlay_above_the_bits_stored_is_no_part_of_the_values(tmp_path):
    stored = stored_values(12)
    dataset = header(stored | np.uint16(2**14))
    dataset.add_new(0x60000102, "US", 14)
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / 4095).astype(np.float32))
    assert not film.doubts


@pytest.mark.parametrize("bits", [12, 16])
def test_lossy_jpeg_2000_gives_what_its_stream_holds(bits, tmp_path):
    stored = stored_values(bits)
    stream = imagecodecs.jpeg2k_encode(stored, level=60, codecformat="j2k", bitspersample=bits)
    dataset = encapsulated(header(stored, bits), uid.JPEG2000, stream)
    decoded = np.rint(read_dicom(save(dataset, tmp_path)).pixels * (2**bits - 1))
    np.testing.assert_array_equal(decoded, imagecodecs.jpeg2k_decode(stream))
    assert 0 < np.abs(decoded - stored).max() < 0.01 * 2**bits


@pytest.mark.parametrize(("syntax", "bits"), [(uid.JPEGBaseline8Bit, 8), (uid.JPEGExtended12Bit, 12)])
def test_lossy_jpeg_stays_near_the_stored_pixels(syntax, bits, tmp_path):
    stored = stored_values(bits)
    stream = imagecodecs.jpeg8_encode(stored, level=95, bitspersample=bits)
    film = read_dicom(save(encapsulated(header(stored, bits), syntax, stream), tmp_path))
    error = np.abs(film.pixels - stored / (2**bits - 1))
    assert 0 < error.mean() < 0.01


def test_an_eight_bit_jpeg_stream_in_a_sixteen_bit_header_is_read(tmp_path):
    stored = stored_values(8)
    dataset = header(stored.astype(np.uint16), 8)
    stream = jpeg_lossless(1)(stored, 8)
    film = read_dicom(save(encapsulated(dataset, uid.JPEGLosslessSV1, stream), tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / 255).astype(np.float32))


def test_a_frame_in_several_fragments_is_whole(tmp_path):
    stored = stored_values(12)
    stream = jpeg_lossless(1)(stored, 12)
    dataset = encapsulated(header(stored), uid.JPEGLosslessSV1, stream, fragments=3)
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / 4095).astype(np.float32))


@pytest.mark.parametrize("compressed", [False, True])
def test_signed_twelve_bits_span_their_own_range(compressed, tmp_path):
    stored = stored_values(12).astype(np.int16) - 2048
    dataset = header(stored)
    if compressed:  # twelve bits of two's complement, as an encoder sees them
        stream = jpeg_lossless(1)((stored & 0xFFF).astype(np.uint16), 12)
        dataset = encapsulated(dataset, uid.JPEGLosslessSV1, stream)
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, ((stored + 2048) / 4095).astype(np.float32))


def signed(bits: int, least: int) -> np.ndarray:
    return (stored_values(bits).astype(np.int32) + least).astype(np.int16)


SIGNED = {  # stored values, bits of the header, least and greatest value of the range that is taken, its doubt
    "12 bits": (signed(12, -2048), 12, -2048, 2047, []),
    "negative values of 14 bits": (signed(14, -8192), 12, -8192, 8191, ["values of 14 bits in 12: taken as 14 bits"]),
    "values that are unsigned": (
        signed(12, 0),
        12,
        0,
        4095,
        ["signed values of 12 bits wrap from white to black: taken as unsigned"],
    ),
    "unsigned values of 14 bits": (
        signed(14, 0),
        12,
        0,
        16383,
        ["values of 14 bits in 12: taken as 14 bits, unsigned"],
    ),
    "unsigned values in 16 bits": (signed(12, 0), 16, 0, 4095, ["values of 12 bits in 16: taken as 12 bits, unsigned"]),
}


@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("name", SIGNED)
def test_signed_values_are_not_wrapped(name, window, tmp_path):
    stored, bits, least, greatest, doubts = SIGNED[name]
    dataset = header(stored, bits)
    if window:
        dataset.WindowCenter, dataset.WindowWidth = (least + greatest) / 2, greatest - least
        dataset.VOILUTFunction = "LINEAR_EXACT"
        doubts = [] if bits == 16 else doubts
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_allclose(film.pixels, (stored - float(least)) / (greatest - least), atol=1e-6)
    assert film.doubts == doubts


@pytest.mark.parametrize("edge", [0, 700])
def test_signed_values_without_copies_of_their_sign_are_signed(edge, tmp_path):
    """A black background next to tissue is an edge, and no wrap."""
    stored = signed(12, -2048)
    stored[:, 16:] = -2048 + edge
    film = read_dicom(save(header(stored & np.int16(0xFFF)), tmp_path))
    np.testing.assert_array_equal(film.pixels, ((stored + 2048) / 4095).astype(np.float32))
    assert not film.doubts


def test_lossy_signed_values_above_the_bits_stored_are_not_wrapped(tmp_path):
    stored = signed(12, -2048)
    stored[5, 5] = -1
    stream = imagecodecs.jpegls_encode((stored & 0xFFF).astype(np.uint16) + np.uint16(3))
    pixels = read_dicom(save(encapsulated(header(stored), uid.JPEGLSNearLossless, stream), tmp_path)).pixels
    assert abs(pixels[5, 5] - 2047 / 4095) < 0.001


@pytest.mark.parametrize("value", [-2000, 3000, 0])
def test_padding_of_signed_values_that_are_taken_as_unsigned(value, tmp_path):
    stored = signed(12, 0) // 4 * 4 + 1  # none of the values, nor 2096
    stored[:, -1] = max(value, 1)
    dataset = header(stored, 16, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=value)
    dataset["PixelPaddingValue"].VR = "SS"
    pixels = read_dicom(save(dataset, tmp_path)).pixels
    assert (pixels[:, -1] == (0 if value == 3000 else 1 - np.float32(1) / 4095)).all()
    assert (pixels[:, :-1] > 0).all()


def test_an_odd_number_of_bytes_may_be_padded_to_an_even_one(tmp_path):
    stored = stored_values(8, 5, 5)
    dataset = header(stored, 8)
    dataset.PixelData = stored.tobytes() + b"\0"
    assert read_dicom(save(dataset, tmp_path)).pixels.shape == (5, 5)


def test_without_preamble_and_meta_information_the_file_is_read(tmp_path):
    stored = stored_values(12)
    dataset = header(stored)
    del dataset.file_meta
    dataset.save_as(tmp_path / "film", implicit_vr=True, little_endian=True)
    film = read_dicom(tmp_path / "film")
    np.testing.assert_array_equal(film.pixels, (stored / 4095).astype(np.float32))


def test_cbis_ddsm_films_span_sixteen_bits(mammograms_dicoms):
    film = read_dicom(mammograms_dicoms[0])
    stored = pydicom.dcmread(mammograms_dicoms[0]).pixel_array
    assert film.pixels.dtype == np.float32
    np.testing.assert_array_equal(film.pixels, stored.astype(np.float32) / np.float32(65535))
