"""What is found must look like a breast: drawn images, and synthetic headers, from file to dataset."""

import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_breast import drawn_film, iou
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from preprocessing.images.dicom_writer import encoded_dicom
from preprocessing.images.image import UnusableImage
from preprocessing.images.rules import Rules
from preprocessing.mammograms.breast_mask import breast_mask
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.mammograms.plausibility import check_breast, check_grey_levels
from preprocessing.mammograms.standardise import orient, standardise
from preprocessing.phantoms.mammogram import mammogram_phantom

TOP = (512, 256)


def phantom(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A mammogram at 512x256, chest wall on the left, and its breast; background 0.02."""
    image, mask, _ = mammogram_phantom(number, 512, 256)
    return np.clip(image, 0.02, 1).astype(np.float32), mask


def write_png(path: Path, stored: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), stored)
    return path


def write_dicom(path: Path, stored: np.ndarray, bits: int = 12, **elements) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.StudyInstanceUID = "1.2.3"
    dataset.Modality, dataset.PatientID = "MG", "P1"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def converted(inputs: Path, tmp_path: Path, rules: Rules | None = None, **more):
    return convert_mammograms([inputs], tmp_path / "data", MammogramOptions(rules=rules or Rules()), workers=1, **more)


def mask_of_first(done) -> np.ndarray:
    return done.dataset.masks(TOP, [0])[0]


def upright(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return standardise(*orient(pixels, mask)[:2])[1]


# ---------------------------------------------------------------------------------------- plausible


@pytest.mark.parametrize("number", range(8))
def test_phantoms_are_plausible(number):
    pixels, _ = phantom(number)
    check_grey_levels(pixels)
    assert check_breast(*orient(pixels, breast_mask(pixels))[:2]) == []


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("base", [0, 0.12])
def test_an_inverted_image_is_refused(number, base):
    pixels, mask = phantom(number)
    inverted = 1 - np.where(mask, np.maximum(pixels, base), base).astype(np.float32)
    with pytest.raises(UnusableImage, match="inverted|no dark background|fills the image"):
        check_breast(*orient(inverted, breast_mask(inverted))[:2])


def test_what_lies_in_the_middle_is_no_breast():
    specimen = np.zeros((512, 400), np.float32)
    cv2.ellipse(specimen, (200, 250), (90, 70), 20, 0, 360, 0.6, -1)
    with pytest.raises(UnusableImage, match="does not lie along"):
        check_breast(specimen, specimen > 0)


def test_a_mask_that_reaches_into_a_corner_away_from_the_chest_wall_is_doubtful():
    y, x = np.mgrid[:512, :256]
    breast = x < 120 + 80 * np.exp(-(((y - 300) / 140) ** 2))
    doubts = [check_breast(np.where(mask, 0.3 + x / 1000, 0.02), mask) for mask in (breast, breast | (y < 40))]
    assert [any("corner" in doubt for doubt in found) for found in doubts] == [False, True]


STRIPS = {"at the nipple": (200, 340, 12), "above": (100, 180, 30), "wide": (230, 300, 40), "a nipple": (252, 288, 22)}


@pytest.mark.parametrize("name", STRIPS)
def test_a_strip_of_film_next_to_the_breast_is_doubtful_and_a_nipple_is_not(name):
    first, last, width = STRIPS[name]
    y, x = np.mgrid[:512, :300]
    breast = x < 200 * np.sqrt(np.maximum(0, 1 - ((y - 270) / 220) ** 2))
    strip = (y >= first) & (y < last) & (x < breast[first:last].sum(axis=1).max() + width)
    doubts = [check_breast(np.where(mask, 0.3 + x / 1000, 0.02), mask) for mask in (breast, breast | strip)]
    assert [any("straight edge" in doubt for doubt in found) for found in doubts] == [False, name != "a nipple"]


@pytest.mark.parametrize("slant", [3, 6])
def test_a_film_that_lies_aslant_is_not_doubtful(slant):
    pixels, mask = phantom(1)
    film = np.arange(256)[np.newaxis] >= np.linspace(0, slant, 512)[:, np.newaxis]
    assert not check_breast(pixels, mask & film)


def test_a_breast_that_lies_along_the_upper_edge_is_no_upright_one():
    pixels, mask = phantom(1)
    with pytest.raises(UnusableImage):
        check_breast(*orient(pixels.T, mask.T)[:2])


def test_an_image_of_one_column_is_refused_without_a_warning():
    pixels = np.linspace(0, 1, 256, dtype=np.float32)[:, np.newaxis]
    with warnings.catch_warnings(action="error"), pytest.raises(UnusableImage):
        check_breast(pixels, pixels > 0.5)


def test_a_nearly_black_breast_is_refused():
    pixels, mask = phantom()
    with pytest.raises(UnusableImage, match="not brighter|nearly black"):
        check_breast(pixels / 400, mask)


def test_a_white_breast_is_doubtful():
    pixels, mask = phantom()
    white = np.where(mask, np.minimum(50 * pixels, 1), 0)
    assert check_breast(white, mask) == ["what is bright is nearly all white: look at the window"]


def test_an_image_of_two_breasts_is_doubtful():
    pixels, mask = phantom()
    dark = np.zeros_like(pixels)
    both = np.hstack([pixels, dark, dark, pixels[:, ::-1]])
    doubts = check_breast(both, np.hstack([mask, *[dark > 0] * 3]))
    assert any("two breasts" in doubt for doubt in doubts)


def test_an_mlo_view_upside_down_is_doubtful():
    y, x = np.mgrid[:512, :256]
    mask = x < 12 + 200 * (y / 512) ** 2  # a breast of which hardly anything is above
    pixels = np.where(mask, 0.5 + x / 1000, 0.01).astype(np.float32)
    assert any("upside down" in doubt for doubt in check_breast(pixels, mask, "MLO"))
    assert not any("upside down" in doubt for doubt in check_breast(pixels[::-1], mask[::-1], "MLO"))


LABELS = {"mask": (0, 255), "label map": (0, 1, 2, 3), "levels of tissue": (64, 128, 192, 255)}


@pytest.mark.parametrize("values", LABELS.values(), ids=LABELS)
def test_a_mask_is_no_mammogram(values, tmp_path):
    pixels, mask = phantom()
    parts = np.digitize(pixels, np.quantile(pixels[mask], np.linspace(0, 1, len(values))[1:-1])) + 1
    labels = np.array(values, np.uint8)[np.where(mask, np.minimum(parts, len(values) - 1), 0)]
    write_png(tmp_path / "in/a.png", labels)
    ((_, reason),) = converted(tmp_path / "in", tmp_path).rejected
    assert reason == "has few grey levels: a mask or label map, not a mammogram"


def test_a_compressed_mask_is_no_mammogram(tmp_path):
    _, mask = phantom()
    write_png(tmp_path / "in/a.jpg", np.uint8(cv2.resize(np.float32(mask), (512, 1024)) * 255))
    ((_, reason),) = converted(tmp_path / "in", tmp_path).rejected
    assert "few grey levels" in reason


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


# -------------------------------------------------------------------------------- film in padding


@pytest.mark.parametrize("base", [0.1, 0.25])
@pytest.mark.parametrize("padding", [(0, 60), (30, 40)])
def test_a_film_whose_base_is_bright_is_told_from_its_padding(base, padding):
    pixels, breast = drawn_film()
    film = np.clip(base + (1 - base) * pixels, 0.02, 1)
    below, right = padding
    size = ((0, below), (0, right))
    assert iou(breast_mask(np.pad(film, size).astype(np.float32)), np.pad(breast, size)) > 0.9


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
