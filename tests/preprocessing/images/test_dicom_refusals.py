"""DICOM files that are refused or tolerated, and what is let out about them."""

import logging
import warnings
from contextlib import suppress

import numpy as np
import pydicom
import pytest
from dicom_files import LOSSLESS, SECRET, encapsulated, header, jpeg_lossless, lut, save, stored_values
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from preprocessing.images.dicom import read_dicom
from preprocessing.images.grey_levels import apply_window
from preprocessing.images.image import UnusableImage

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
    stream = jpeg_lossless(1)(stored_values(12, 24, 40), 12)
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
