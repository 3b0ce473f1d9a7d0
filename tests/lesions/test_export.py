import csv
import json
import os
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import tiny_lesions
from folders import contents, hold

from lesions import export
from lesions.annotations import read_annotations
from lesions.generate import insert_lesions
from lesions.inserter import Inserter, open_inserter
from lesions.outline import mask_of
from preprocessing.images.read import read_image
from preprocessing.shards import DataError, open_dataset

COUNT = 7


def made(mammograms, masses, output: Path, file_format: str, **options) -> Path:
    insert_lesions(mammograms.folder, masses.folder, output, count=COUNT, file_format=file_format, **options)
    return output


@pytest.fixture(scope="module")
def images(mammograms, masses):
    inserter = open_inserter(mammograms.folder, masses.folder)
    return [inserter.image(number) for number in range(COUNT)]


def manifest(folder: Path) -> list[dict]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_dataset_has_the_images_and_their_lesions(mammograms, masses, images, tmp_path):
    dataset = open_dataset(made(mammograms, masses, tmp_path / "out", "h5"), verify=True)
    assert dataset.count == COUNT and dataset.meta["synthetic"]
    pixels = dataset.read_array("image", (512, 256), range(COUNT))
    for one, stored in zip(images, pixels):
        assert np.abs(stored / 65535 - one.image).max() < 1e-4
    assert len(read_annotations(dataset)) == sum(len(one.annotations) for one in images)
    assert list(dataset.field("view")) == [one.fields["view"] for one in images]


def test_a_dataset_keeps_the_splits_of_the_mammograms(tmp_path):
    hosts = tiny_lesions.write_mammograms(tmp_path / "mammograms", split=0.5)
    dataset = open_dataset(made(hosts, hosts, tmp_path / "out", "h5", split="all"), verify=True)
    expected = dict(zip(hosts.field("subject"), hosts.field("split")))
    assert dict(zip(dataset.field("subject"), dataset.field("split"))) == expected
    assert dataset.meta["subjects"] == {"train": 3, "validation": 3}


@pytest.mark.parametrize("file_format", export.FORMATS)
def test_a_mammogram_that_gets_lesions_keeps_its_density(mammograms, masses, tmp_path, file_format):
    if file_format == "dicom":
        pytest.importorskip("highdicom")
    folder = made(mammograms, masses, tmp_path / "out", file_format)
    known = [["", "a", "b"][value] for value in mammograms.field("density")]
    expected = {row["image"]: known[int(row["mammogram"].split()[1])] for row in manifest(folder)}
    assert set(expected.values()) == {"", "a", "b"}
    assert {row["image"]: row["density"] for row in manifest(folder)} == expected
    if file_format == "h5":
        assert [["", "a", "b"][value] for value in open_dataset(folder).field("density")] == [*expected.values()]
    if file_format == "coco":
        images = json.loads((folder / "annotations.json").read_text())["images"]
        assert {f"images/{one['file_name']}": one["density"] for one in images} == expected
    if file_format == "dicom":
        for name, density in expected.items():
            comments = pydicom.dcmread(folder / name).ImageComments
            assert (f"(BI-RADS) of the mammogram: {density}." in comments) == bool(density)


def test_the_manifest_says_what_is_synthetic_and_from_where(mammograms, masses, images, tmp_path):
    rows = manifest(made(mammograms, masses, tmp_path / "out", "png"))
    assert len(rows) == sum(len(one.annotations) for one in images)
    inserted = [row for row in rows if row["synthetic_lesion"] == "True"]
    assert len(inserted) == sum(found.synthetic for one in images for found in one.annotations)
    row = inserted[0]
    assert row["masses"] == masses.fingerprint and row["mammograms"] == mammograms.fingerprint
    assert row["mass"].startswith("item ") and row["mammogram_synthetic"] == "False" and row["seed"] == "0"
    subjects = mammograms.field("subject")
    assert all(one["subject"] == subjects[int(one["mammogram"].split()[1])] for one in rows)


def test_png_files_with_masks_and_numbered_lesions(mammograms, masses, images, tmp_path):
    folder = made(mammograms, masses, tmp_path / "out", "png")
    for one in images:
        picture = cv2.imread(str(folder / f"{one.number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert picture.dtype == np.uint16 and np.abs(picture / 65535 - one.image).max() < 1e-4
        labels = cv2.imread(str(folder / "lesions" / f"{one.number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(labels)) == set(range(len(one.annotations) + 1))
        last = len(one.annotations)
        assert (labels == last).sum() == mask_of(one.annotations[-1].outline, one.image.shape).sum()


def test_coco_images_name_their_subject(mammograms, masses, tmp_path):
    folder = made(mammograms, masses, tmp_path / "out", "coco")
    images = json.loads((folder / "annotations.json").read_text())["images"]
    assert [one["subject"] for one in images] == [f"patient{number % 6:02d}" for number in range(COUNT)]


def test_coco_opens_in_pycocotools(mammograms, masses, images, tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    folder = made(mammograms, masses, tmp_path / "out", "coco")
    found = coco.COCO(str(folder / "annotations.json"))
    assert len(found.getImgIds()) == COUNT and found.loadCats([1])[0]["name"] == "mass"
    for one in images:
        assert (folder / "images" / found.loadImgs([one.number + 1])[0]["file_name"]).exists()
        rows = found.loadAnns(found.getAnnIds([one.number + 1]))
        assert len(rows) == len(one.annotations)
        for row, annotation in zip(rows, one.annotations):
            assert np.allclose(row["bbox"], annotation.box, atol=0.01)
            if annotation.outline:
                mask, truth = found.annToMask(row) > 0, mask_of(annotation.outline, one.image.shape)
                assert (mask & truth).sum() / (mask | truth).sum() > 0.9
                assert row["area"] == pytest.approx(truth.sum(), rel=0.03)


def test_coco_opens_in_torchvision(mammograms, masses, images, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    pytest.importorskip("pycocotools")
    folder = made(mammograms, masses, tmp_path / "out", "coco")
    found = datasets.CocoDetection(str(folder / "images"), str(folder / "annotations.json"))
    assert len(found) == COUNT
    wrapped = datasets.wrap_dataset_for_transforms_v2(found, target_keys=("boxes", "labels", "masks"))
    picture, target = wrapped[0]
    count = len(images[0].annotations)
    assert picture.size == (256, 512) and target["labels"].tolist() == [1] * count
    assert tuple(target["masks"].shape) == (count, 512, 256)
    corners = [(x, y, x + width, y + height) for x, y, width, height in (a.box for a in images[0].annotations)]
    assert np.allclose(target["boxes"].numpy(), corners, atol=0.01)


def test_yolo_boxes_are_shares_of_the_image(mammograms, masses, images, tmp_path):
    folder = made(mammograms, masses, tmp_path / "out", "yolo")
    for one in images:
        lines = (folder / "labels" / "train" / f"{one.number:06d}.txt").read_text().splitlines()
        assert len(lines) == len(one.annotations)
        for line, annotation in zip(lines, one.annotations):
            kind, *values = line.split()
            x, y, width, height = np.array(values, float) * (256, 512, 256, 512)
            assert kind == "0"
            assert np.allclose((x - width / 2, y - height / 2, width, height), annotation.box, atol=0.01)
        assert (folder / "images" / "train" / f"{one.number:06d}.png").exists()
    assert (folder / "data.yaml").read_text().splitlines() == [
        "# val has the images of train; insert-lesions --split all makes a validation set of other patients",
        "train: images/train", "val: images/train", "names:", "  0: mass",
    ]  # fmt: skip


def test_yolo_opens_in_supervision(mammograms, masses, images, tmp_path):
    supervision = pytest.importorskip("supervision")
    folder = made(mammograms, masses, tmp_path / "out", "yolo")
    found = supervision.DetectionDataset.from_yolo(
        str(folder / "images" / "train"), str(folder / "labels" / "train"), str(folder / "data.yaml")
    )
    assert found.classes == ["mass"] and len(found) == COUNT
    boxes = {Path(path).stem: detections.xyxy for path, _, detections in found}
    for one in images:
        corners = [(x, y, x + width, y + height) for x, y, width, height in (a.box for a in one.annotations)]
        assert np.allclose(boxes[f"{one.number:06d}"], corners, atol=0.01)


def test_dicom_images_and_segmentations(mammograms, masses, images, tmp_path):
    highdicom = pytest.importorskip("highdicom")
    folder = made(mammograms, masses, tmp_path / "out", "dicom")
    for one in images:
        path = folder / f"{one.number:06d}.dcm"
        segments = highdicom.seg.segread(folder / f"{one.number:06d}-seg.dcm")
        assert segments.number_of_segments == len(one.annotations)
        planes = segments.pixel_array.reshape(-1, *one.image.shape) > 0
        right = one.fields["laterality"] == "R"
        for plane, annotation in zip(planes, one.annotations):
            if annotation.outline:
                truth = mask_of(annotation.outline, one.image.shape)
                assert (plane == (truth[:, ::-1] if right else truth)).all()
        image = pydicom.dcmread(path)
        assert segments.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
        assert "no patient is shown" not in image.DerivationDescription  # these mammograms count as real
        shown = image.pixel_array[:, ::-1] if right else image.pixel_array
        assert np.abs(shown / 65535 - one.image).max() < 1e-4


def test_dicom_boxes_are_in_the_pixels_of_the_file(mammograms, masses, tmp_path):
    pytest.importorskip("highdicom")
    shown = manifest(made(mammograms, masses, tmp_path / "dicom", "dicom"))
    stored = manifest(made(mammograms, masses, tmp_path / "png", "png"))
    assert {row["laterality"] for row in stored} == {"L", "R"}
    for one, other in zip(shown, stored, strict=True):
        x, width = float(other["x"]), float(other["width"])
        assert float(one["x"]) == pytest.approx(256 - x - width if one["laterality"] == "R" else x, abs=0.01)
        assert [one[name] for name in ("y", "width", "height")] == [other[name] for name in ("y", "width", "height")]


def test_only_lesions_of_this_call_are_counted(mammograms, masses, tmp_path):
    first = insert_lesions(mammograms.folder, masses.folder, tmp_path / "first", count=6, lesions=1)
    assert insert_lesions(tmp_path / "first", masses.folder, tmp_path / "second", count=6, lesions=1) == first == 6


@pytest.mark.parametrize("by", ["generate_mammograms", "make_phantoms", "prepare_mammograms", "insert_lesions"])
def test_films_with_generated_masses_still_show_patients(mammograms, tmp_path, by):
    inserter = open_inserter(mammograms.folder, "phantoms")
    inserter.mammograms.meta = {**inserter.mammograms.meta, "synthetic": True, "made": {"by": by}}
    export.write(inserter, tmp_path, 1, "coco")
    nobody = by in ("generate_mammograms", "make_phantoms")
    assert json.loads((tmp_path / "insert_lesions.json").read_text())["shows_patients"] != nobody
    assert ("Every image on these pages is synthetic" in (tmp_path / "index.html").read_text()) == nobody


def test_a_dataset_says_whether_mammograms_or_masses_were_of_patients(mammograms, tmp_path):
    insert_lesions(mammograms.folder, "phantoms", tmp_path / "out", count=1)
    assert open_dataset(tmp_path / "out").meta["made"]["shows_patients"] is True


class Killed(Exception):
    pass


def begin_on(monkeypatch, days: list[int]) -> None:
    """Let each call begin on another day of May 2001."""

    class Clock(datetime):
        @classmethod
        def now(cls, zone):
            return datetime(2001, 5, days.pop(0), tzinfo=zone)

    monkeypatch.setattr(export, "datetime", Clock)


@pytest.mark.parametrize("file_format", export.FORMATS)
def test_a_killed_call_gives_the_same_bytes(mammograms, masses, tmp_path, monkeypatch, file_format):
    if file_format == "dicom":
        pytest.importorskip("highdicom")
    monkeypatch.setattr(export, "CHUNK", 3)
    begin_on(monkeypatch, days=[1, 1, 2, 3])  # the whole call, and three times the broken one
    whole = contents(made(mammograms, masses, tmp_path / "whole", file_format))
    image = Inserter.image
    for fatal in (5, 4):  # the second time further than the first, as its first chunk is there
        calls = []

        def dies(self, number, calls=calls, fatal=fatal):
            calls.append(number)
            if len(calls) == fatal:
                raise Killed
            return image(self, number)

        monkeypatch.setattr(Inserter, "image", dies)
        with pytest.raises(Killed):
            made(mammograms, masses, tmp_path / "broken", file_format)
        monkeypatch.setattr(Inserter, "image", image)
    assert contents(made(mammograms, masses, tmp_path / "broken", file_format)) == whole
    assert not any(".part" in name for name in whole)


def test_a_segmentation_has_the_day_on_which_its_folder_was_begun(mammograms, masses, tmp_path, monkeypatch):
    pytest.importorskip("highdicom")
    begin_on(monkeypatch, days=[4])
    folder = made(mammograms, masses, tmp_path / "out", "dicom")
    found = [pydicom.dcmread(path) for path in folder.glob("*-seg.dcm")]
    assert {one.ContentDate + one.ContentTime + one.TimezoneOffsetFromUTC for one in found} == {"20010504000000+0000"}


@pytest.mark.parametrize("file_format", ["png", "dicom", "coco"])
def test_a_folder_that_another_command_writes_to_is_refused(mammograms, masses, tmp_path, file_format):
    hold(tmp_path)
    with pytest.raises(DataError, match="has been writing here since"):
        made(mammograms, masses, tmp_path, file_format)


@pytest.mark.parametrize("file_format", ["png", "yolo"])
def test_files_that_a_kill_left_unfinished_are_removed(mammograms, masses, tmp_path, monkeypatch, file_format):
    def dies(self, number):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Inserter, "image", dies)
        made(mammograms, masses, tmp_path / "out", file_format)
    unfinished = tmp_path / "out/images/train/.000001.host-12.part.png"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()
    made(mammograms, masses, tmp_path / "out", file_format)
    assert not unfinished.exists()


def test_a_finished_output_is_left_alone(mammograms, masses, tmp_path, monkeypatch):
    folder = made(mammograms, masses, tmp_path / "out", "coco")
    monkeypatch.setattr(Inserter, "image", None)
    inserted = insert_lesions(mammograms.folder, masses.folder, folder, count=COUNT, file_format="coco")
    assert inserted == sum(row["synthetic_lesion"] == "True" for row in manifest(folder))


@pytest.mark.parametrize("file_format", ["h5", "coco"])
def test_other_settings_are_refused(mammograms, masses, tmp_path, file_format):
    folder = made(mammograms, masses, tmp_path / "out", file_format)
    with pytest.raises(DataError, match="seed 0, not 1"):
        made(mammograms, masses, folder, file_format, seed=1)


@pytest.mark.parametrize("file_format", export.FORMATS)
def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(mammograms, masses, tmp_path, file_format):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        made(mammograms, masses, tmp_path, file_format)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_dataset_is_not_written_into(mammograms, masses, tmp_path):
    folder = made(mammograms, masses, tmp_path / "out", "h5")
    before = contents(folder)
    with pytest.raises(DataError, match="is not empty and holds no images of this command; choose another folder"):
        made(mammograms, masses, folder, "png")
    assert contents(folder) == before and not (folder / export.PARTS).exists()


def test_a_folder_that_cannot_be_written_is_told(mammograms, masses, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        made(mammograms, masses, tmp_path / "file" / "out", "png")


def test_an_unknown_format_is_told(mammograms, masses, tmp_path):
    with pytest.raises(DataError, match="--format bmp"):
        made(mammograms, masses, tmp_path / "out", "bmp")


def test_the_output_can_be_prepared_like_any_image(mammograms, masses, tmp_path):
    folder = made(mammograms, masses, tmp_path / "out", "coco")
    film = read_image(folder / "images" / "000000.png")
    assert film.pixels.shape == (512, 256)
    assert json.loads((folder / "annotations.json").read_text())["info"]["by"] == "insert_lesions"
    assert not os.path.exists(folder / "lesions.part")
