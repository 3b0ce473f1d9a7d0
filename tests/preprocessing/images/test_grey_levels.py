"""Grey levels of DICOM mammograms: LUTs and windows, computed by hand and by pydicom."""

import warnings

import numpy as np
import pydicom
import pytest
from dicom_files import header, lut, save, stored_values
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from preprocessing.images.dicom import read_dicom
from preprocessing.images.grey_levels import apply_window

# --- computed by hand ---------------------------------------------------------------------------


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


# --- computed by pydicom ------------------------------------------------------------------------


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
