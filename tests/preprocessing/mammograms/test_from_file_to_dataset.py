"""What headers, text chunks and given masks say of drawn images, from file to dataset."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_breast import iou
from mammogram_files import TOP, converted, mask_of_first, phantom, upright, write_dicom, write_png

from preprocessing.images.dicom_writer import encoded_dicom
from preprocessing.images.rules import Rules
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.options import MammogramOptions

# ------------------------------------------------------------------------------------- grey levels


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["png", "tif", "dcm"])
def test_few_bits_in_sixteen_are_as_bright_as_all(bits, kind, tmp_path):
    pixels, mask = phantom()
    stored = np.round(pixels / pixels.max() * (2**bits - 1)).astype(np.uint16)
    write = write_png if kind != "dcm" else lambda path, values: write_dicom(path, values, bits=16)
    write(tmp_path / f"in/a.{kind}", stored)
    done = converted(tmp_path / "in", tmp_path)
    image, breast = done.dataset.images(TOP, [0])[0], mask_of_first(done)
    assert abs(image[breast].max() - 1) < 0.05
    assert [*done.doubts.values()] == [f"values of {bits} bits in 16: taken as {bits} bits"]
    assert (tmp_path / "data/doubtful.csv").read_text().splitlines()[1].startswith("0,values of")


def test_sixteen_bits_that_are_used_stay_as_they_are(tmp_path):
    pixels, _ = phantom()
    write_png(tmp_path / "in/a.png", np.round(pixels / pixels.max() * 40000).astype(np.uint16))
    done = converted(tmp_path / "in", tmp_path)
    assert not done.doubts and not (tmp_path / "data/doubtful.csv").exists()
    assert abs(done.dataset.images(TOP, [0]).max() - 40000 / 65535) < 0.01


@pytest.mark.parametrize("high", [11, 15])
def test_values_above_unused_low_bits_are_shifted_down(high, tmp_path):
    pixels, mask = phantom()
    stored = np.round(pixels * 4095).astype(np.uint16) << (high - 11)
    write_dicom(tmp_path / "in/a.dcm", stored, HighBit=high)
    done = converted(tmp_path / "in", tmp_path)
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.9
    np.testing.assert_allclose(done.dataset.images(TOP, [0]).max(), pixels[mask].max(), atol=0.05)


INVERSE = {
    "LUT shape": {"PresentationLUTShape": "INVERSE"},
    "LUT shape and MONOCHROME1": {"PresentationLUTShape": "INVERSE", "PhotometricInterpretation": "MONOCHROME1"},
    "MONOCHROME1, no shape": {"PhotometricInterpretation": "MONOCHROME1"},
    "raw, air bright": {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1},
}


@pytest.mark.parametrize("elements", INVERSE.values(), ids=INVERSE)
def test_what_the_header_calls_inverted_is_shown_upright(elements, tmp_path):
    pixels, mask = phantom()
    write_dicom(tmp_path / "in/a.dcm", np.round((1 - pixels) * 4095).astype(np.uint16), **elements)
    done = converted(tmp_path / "in", tmp_path, Rules("any"))
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.9


@pytest.mark.parametrize("vr", ["SS", "US"])
def test_signed_padding_is_dark_whatever_its_representation(vr, tmp_path):
    pixels, mask = phantom()
    stored = np.where(mask, np.round(pixels * 1000) + 500, -2000).astype(np.int16)
    path = write_dicom(tmp_path / "in/a.dcm", stored, bits=16, PhotometricInterpretation="MONOCHROME2")
    from pydicom import dcmread

    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", vr, -2000 if vr == "SS" else 2**16 - 2000)
    dataset.WindowCenter, dataset.WindowWidth = "1000", "2000"
    dataset.save_as(path, enforce_file_format=True)
    done = converted(tmp_path / "in", tmp_path)
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.9


# ------------------------------------------------------------------------------------- orientation

TURNED = {
    "left CC upside down": (lambda p: p[::-1], "L", "CC", ["A", "L"]),
    "left CC, chest wall below": (lambda p: np.rot90(p), "L", "CC", ["R", "P"]),
    "left CC, chest wall above": (lambda p: np.rot90(p, -1), "L", "CC", ["L", "A"]),
    "left MLO upside down": (lambda p: p[::-1], "L", "MLO", ["A", "HL"]),
    "right MLO by half a turn": (lambda p: p[::-1], "R", "MLO", ["A", "HR"]),
    "left ML, chest wall above": (lambda p: np.rot90(p, -1), "L", "ML", ["H", "A"]),
    "left MLO as it hangs": (lambda p: p, "L", "MLO", ["A", "FR"]),
}


@pytest.mark.parametrize("name", TURNED)
def test_an_image_is_turned_upright_by_its_patient_orientation(name, tmp_path):
    turn, side, view, orientation = TURNED[name]
    pixels, mask = phantom(1)
    pixels = pixels.copy()
    pixels[:, :][mask & (np.indices(mask.shape)[0] < 256)] *= 0.8  # above and below differ
    stored = np.round(turn(pixels) * 4095).astype(np.uint16)
    write_dicom(tmp_path / "in/a.dcm", stored, ImageLaterality=side, ViewPosition=view, PatientOrientation=orientation)
    done = converted(tmp_path / "in", tmp_path)
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.97


def test_a_given_mask_is_turned_with_its_image(tmp_path):
    pixels, mask = phantom(1)
    stored = np.round(np.rot90(pixels) * 4095).astype(np.uint16)
    write_dicom(tmp_path / "in/a.dcm", stored, ImageLaterality="L", ViewPosition="CC", PatientOrientation=["R", "P"])
    write_png(tmp_path / "masks/a.png", np.uint8(np.rot90(mask)) * 255)
    done = converted(tmp_path / "in", tmp_path, masks=tmp_path / "masks")
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.99


# ------------------------------------------------------------------------------------- given masks

MAPS = {"0 to 3": (1, 2, 3), "0, 128, 192, 255": (128, 192, 255), "one label": (1,)}


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS)
def test_every_label_but_background_is_breast(labels, tmp_path):
    pixels, mask = phantom()
    write_png(tmp_path / "in/a.png", np.round(pixels * 65535).astype(np.uint16))
    parts = np.array(labels, np.uint8)[(np.indices(mask.shape)[0] // 40) % len(labels)]
    write_png(tmp_path / "masks/a.png", np.where(mask, parts, 0).astype(np.uint8))
    done = converted(tmp_path / "in", tmp_path, masks=tmp_path / "masks")
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.99
    said = [f"its mask has {len(labels)} labels: all but 0 are taken as breast"] if len(labels) > 1 else []
    assert [*done.doubts.values()] == said


@pytest.mark.parametrize("labels", [(64, 128, 192, 255), (1, 2)], ids=str)
def test_a_label_map_without_a_background_is_refused(labels, tmp_path):
    pixels, mask = phantom()
    write_png(tmp_path / "in/a.png", np.round(pixels * 65535).astype(np.uint16))
    tissue = np.array(labels[1:], np.uint8)[(np.indices(mask.shape)[0] // 40) % (len(labels) - 1)]
    write_png(tmp_path / "masks/a.png", np.where(mask, tissue, labels[0]).astype(np.uint8))
    ((_, reason),) = converted(tmp_path / "in", tmp_path, masks=tmp_path / "masks").rejected
    assert reason == f"its mask has {len(labels)} labels and no background: set what is not breast to 0"


def test_a_mask_with_soft_edges_is_cut_at_its_half(tmp_path):
    pixels, mask = phantom()
    write_png(tmp_path / "in/a.png", np.round(pixels * 65535).astype(np.uint16))
    soft = cv2.GaussianBlur(np.float32(mask) * 255, (0, 0), 6, borderType=cv2.BORDER_REPLICATE)
    write_png(tmp_path / "masks/a.png", np.uint8(soft))
    done = converted(tmp_path / "in", tmp_path, masks=tmp_path / "masks")
    assert iou(mask_of_first(done), upright(pixels, mask)) > 0.97 and not done.doubts


# --------------------------------------------------------------------------------- synthetic, twins


def with_text(path: Path, keyword: str, text: str) -> None:
    content, data = path.read_bytes(), b"tEXt" + keyword.encode() + b"\0" + text.encode()
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    path.write_bytes(content[:33] + chunk + content[33:])


@pytest.mark.parametrize("kind", ["png", "dcm"])
def test_synthetic_images_make_a_synthetic_dataset_or_none(kind, tmp_path):
    pixels, _ = phantom()
    path = tmp_path / f"in/a.{kind}"
    if kind == "png":
        write_png(path, np.round(pixels * 65535).astype(np.uint16))
        with_text(path, "Software", "synthetic-mammography 0.1")
    else:
        path.parent.mkdir()
        path.write_bytes(encoded_dicom(pixels, number=0, series="s", generator="ab" * 32))
    done = convert_mammograms([tmp_path / "in"], tmp_path / "none", workers=1)
    assert [reason for _, reason in done.rejected] == ["a synthetic image, of no patient (--accept synthetic takes it)"]
    done = converted(tmp_path / "in", tmp_path, Rules(accept=("synthetic",)))
    assert done.dataset.count == 1 and done.dataset.meta["synthetic"] is True


def test_of_a_raw_and_a_processed_image_one_is_taken(tmp_path):
    pixels, _ = phantom()
    stored = np.round(pixels * 4095).astype(np.uint16)
    for name, view, intent in (
        ("both-raw", "CC", "FOR PROCESSING"),
        ("both", "CC", "FOR PRESENTATION"),
        ("raw", "MLO", "FOR PROCESSING"),
    ):
        write_dicom(
            tmp_path / f"in/{name}.dcm",
            stored,
            ImageLaterality="L",
            ViewPosition=view,
            PresentationIntentType=intent,
            PixelIntensityRelationshipSign=-1,
        )

    def taken(intent: str) -> list[str]:
        done = convert_mammograms(
            [tmp_path / "in"], tmp_path / intent, MammogramOptions(rules=Rules(intent)), workers=1
        )
        rejected = {Path(place).stem for place, _ in done.rejected}
        return sorted({"both", "both-raw", "raw"} - rejected)

    assert taken("presentation") == ["both"]
    assert taken("processing") == ["both-raw", "raw"]
    assert taken("any") == ["both", "raw"]


def test_default_rules_are_not_recorded_so_that_older_datasets_stay_valid():
    assert "intent" not in MammogramOptions().settings() and "accept" not in MammogramOptions().settings()
    recorded = MammogramOptions(rules=Rules("any", ("implant",))).settings()
    assert (recorded["intent"], recorded["accept"]) == ("any", ["implant"])


@pytest.mark.parametrize("words", [("ANONYMOUS",), ("REMOVED", "removed")], ids="-".join)
def test_images_under_a_placeholder_are_not_one_patient_in_silence(words, tmp_path):
    for number in range(4):
        stored = np.round(phantom(number)[0] * 4095).astype(np.uint16)
        write_dicom(tmp_path / f"in/{number}.dcm", stored, PatientID=words[number % len(words)])
    done = converted(tmp_path / "in", tmp_path)
    assert any(line.startswith("warning") for line in done.remarks)


def test_doubts_are_kept_when_a_dataset_is_updated(tmp_path):
    pixels, _ = phantom()
    write_png(tmp_path / "in/a.png", np.round(pixels / pixels.max() * 4095).astype(np.uint16))
    first = converted(tmp_path / "in", tmp_path)
    write_png(tmp_path / "in/b.png", np.round(pixels * 65535).astype(np.uint16))
    second = converted(tmp_path / "in", tmp_path)
    assert second.dataset.count == 2 and second.doubts == first.doubts != {}
