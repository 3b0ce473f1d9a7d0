"""The whole files that are damaged: one of each kind that the software reads, all small."""

import csv
import shutil
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from preprocessing.phantoms.mammogram import mammogram_phantom

HEIGHT, WIDTH = 256, 128
PARTS = ("film", "crop", "mask")  # the DICOM files of a mass of CBIS-DDSM, in the order of its table
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))


def make_seeds(folder: Path) -> None:
    """Make all originals below a folder, once."""
    if (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _make_dicoms(folder / "dicom")
    _make_images(folder / "images")
    _make_outside(folder / "outside")
    _make_tables(folder / "tables")
    _make_cbis(folder / "cbis")
    _make_case(folder / "case")
    _make_trained(folder)
    _make_masses(folder)
    (folder / "done").touch()


def _film(number: int) -> np.ndarray:
    return mammogram_phantom(number, HEIGHT, WIDTH)[0]


def _header(number: int, pixels: np.ndarray, bits: int) -> Dataset:
    header = Dataset()
    header.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    header.SOPInstanceUID, header.StudyInstanceUID = f"1.2.3.{number}", "1.2.4"
    header.Modality, header.PatientID, header.ImageLaterality, header.ViewPosition = "MG", f"P{number}", "L", "CC"
    header.PatientOrientation = ["A", "R"]
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = (8 if bits == 8 else 16), bits, bits - 1
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.PixelData = pixels.tobytes()
    header["PixelData"].VR = "OB" if bits == 8 else "OW"
    return header


def _make_dicoms(folder: Path) -> None:
    import imagecodecs

    folder.mkdir()
    pixels = np.uint16(np.round(_film(0) * 4095))
    plain = _header(0, pixels, 12)
    plain.WindowCenter, plain.WindowWidth, plain.WindowCenterWidthExplanation = [2048, 1800], [4096, 3000], ["A", "B"]
    plain.RescaleSlope, plain.RescaleIntercept, plain.VOILUTFunction = 1, 0, "SIGMOID"
    plain.save_as(folder / "window.dcm", enforce_file_format=True)
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTExplanation = [4096, 0, 12], "N"
    lut.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    with_lut = _header(1, pixels, 12)
    with_lut.VOILUTSequence = Sequence([lut])
    with_lut.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    with_lut.save_as(folder / "lut.dcm", enforce_file_format=True)
    for number, (name, syntax) in enumerate(
        {"rle": uid.RLELossless, "jpegls": uid.JPEGLSLossless, "j2k": uid.JPEG2000Lossless}.items(), start=2
    ):
        header = _header(number, pixels, 12)
        header.compress(syntax)
        header.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    streams = {
        "ljpeg": (uid.JPEGLosslessSV1, imagecodecs.ljpeg_encode(pixels, bitspersample=12), 12),
        "jpeg": (uid.JPEGBaseline8Bit, cv2.imencode(".jpg", np.uint8(_film(1) * 255))[1].tobytes(), 8),
    }
    for number, (name, (syntax, stream, bits)) in enumerate(streams.items(), start=5):
        header = _header(number, pixels.astype(np.uint8) if bits == 8 else pixels, bits)
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = encapsulate([stream])
        header["PixelData"].is_undefined_length = True
        header["PixelData"].VR = "OB"
        header.save_as(folder / f"{name}.dcm", enforce_file_format=True)


def _make_images(folder: Path) -> None:
    folder.mkdir()
    for number, name in enumerate(("a.png", "d.jpg", "f.tif")):
        cv2.imwrite(str(folder / name), np.uint8(np.round(_film(number) * 255)))
    for number, name in enumerate(("b.png", "c.tif", "e.pgm"), start=3):
        cv2.imwrite(str(folder / name), np.uint16(np.round(_film(number) * 65535)))


def _make_outside(folder: Path) -> None:
    folder.mkdir()
    (folder / "secret.txt").write_text("SECRET" * 4000)
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.full((64, 64), 0x5345, np.uint16)
    (folder / "shard-00000-of-00001.h5").write_text("SECRET")


def _make_tables(folder: Path) -> None:
    folder.mkdir()
    films = [("image", "subject", "laterality", "view", "density")]
    films += [(f"{name}", f"p{n}", "L", "CC", n + 1) for n, name in enumerate(("a.png", "b.png", "d.jpg"))]
    rois = [("image", "x", "y", "width", "height", "shape", "margin", "subject")]
    rois += [("a.png", 10 + n, 90, 40, 40, "OVAL", "SPICULATED", f"p{n}") for n in range(3)]
    columns = ["patient_id", "mass shape", "mass margins", "image file path", "cropped image file path"]
    cbis = [[*columns, "ROI mask file path"]]
    cbis += [[f"P_{n}", "OVAL", "SPICULATED", *(f"P{n}/{part}{n}/1.dcm" for part in PARTS)] for n in range(3)]
    for name, rows in (("films.csv", films), ("rois.csv", rois), ("cbis.csv", cbis)):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file).writerows(rows)


def _make_cbis(folder: Path) -> None:
    """Make the film, the crop and the ROI mask of three masses, where cbis.csv has them."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(3):
        film = np.uint16(np.round(_film(number) * 4095))
        mask = np.uint8(255 * (np.hypot(rows - 120, columns - 30 - 5 * number) < 20))
        for part, pixels, bits in zip(PARTS, (film, film[90:150, 5:65], mask), (12, 12, 8), strict=True):
            path = folder / f"P{number}" / f"{part}{number}" / "1.dcm"
            path.parent.mkdir(parents=True)
            _header(number, pixels, bits).save_as(path, enforce_file_format=True)


def _make_case(folder: Path) -> None:
    """Make a DDSM case of one film."""
    import imagecodecs

    folder.mkdir()
    pixels = np.uint16(np.round((1 - _film(3)) * 3000 + 500))
    (folder / "A-1234-1.ics").write_text(
        f"ics_version 1.0\nfilename A-1234-1\nDATE_OF_STUDY 1 1 1\nDIGITIZER HOWTEK\nSEQUENCE\n"
        f"LEFT_CC LINES {HEIGHT} PIXELS_PER_LINE {WIDTH} BITS_PER_PIXEL 12 RESOLUTION 43.5 OVERLAY\n"
    )
    chain = "10 100 " + "2 " * 30 + "4 " * 30 + "6 " * 30 + "0 " * 30 + "#"
    (folder / "A_1234_1.LEFT_CC.OVERLAY").write_text(
        f"TOTAL_ABNORMALITIES 1\nABNORMALITY 1\nLESION_TYPE MASS SHAPE OVAL MARGINS SPICULATED\nASSESSMENT 4\n"
        f"SUBTLETY 4\nPATHOLOGY MALIGNANT\nTOTAL_OUTLINES 1\nBOUNDARY\n{chain}\n"
    )
    (folder / "A_1234_1.LEFT_CC.LJPEG").write_bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=12))


def _make_masses(folder: Path) -> None:
    """Train the smallest Feature2Mass on mass phantoms."""
    import tiny_masses

    from benchmarks.fuzzing.commands import call

    tiny_masses.write_dataset(folder / "masses")
    run = ("--data", folder / "masses", "--preset", "quick", "--run", folder / "mass-run")
    done = call("train_feature2mass", *run)
    assert done.code == 0, done.text


def _make_trained(folder: Path) -> None:
    """Prepare a dataset, train the smallest network on it, and build a reader study, all by the commands."""
    import tiny

    from benchmarks.fuzzing.commands import call  # first: it silences TensorFlow

    done = call("prepare_mammograms", "--input", folder / "images", "--output", folder / "prepared", "--workers", 1)
    assert done.code in (0, 3), done.text
    tiny.write_dataset(folder / "tiny", 20)
    run = ("--data", folder / "tiny", "--preset", "quick")
    done = call("train_mask_embed", "--phase", 1, *run, "--run", folder / "run")
    assert done.code == 0, done.text
    shutil.copytree(folder / "run", folder / "stopped")
    (folder / "stopped" / "phase-1" / "generator.keras").unlink()
    study = ("--page", folder / "page" / "page.html", "--key", folder / "study" / "key.json")
    sets = ("--real", folder / "tiny", "--images", f"m={folder / 'tiny'}")
    done = call("reader_study", "build", *sets, "--masks", 2, *study)
    assert done.code == 0, done.text
    from evaluation.reader_study.key import read_key, seal

    key = read_key(folder / "study" / "key.json")
    with open(folder / "study" / "scores.csv", "w", newline="") as file:
        rows = [[seal(key), "A", a["image"], 3] for a in key["answers"]]
        csv.writer(file).writerows([["study", "reader", "image", "score"], *rows])
