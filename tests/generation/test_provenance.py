"""What every synthetic image says of itself, and that a folder never mixes images of two makings."""

import csv
import json
import struct

import cv2
import numpy as np
import pydicom
import pytest
import tiny
from folders import contents, hold

from generation import sources
from generation.files import encoded_png
from generation.generate import generate, write_mammograms
from generation.masses import write_masses
from generation.sources import ImageMasks, MaskSource
from preprocessing.shards import DataError, open_dataset
from preprocessing.shards.format import sha256
from preprocessing.version import __version__, commit, libraries


@pytest.fixture(scope="module")
def generator(tiny_run):
    return tiny_run.stage("phase-2").generator


@pytest.fixture(scope="module")
def screening(tmp_path_factory):
    """Two patients with all four views, one with left views alone, one with CC alone."""
    views = {
        "a": ("RCC", "LCC", "RMLO", "LMLO"),
        "b": ("LMLO", "RMLO", "LCC", "RCC"),
        "c": ("LCC", "LMLO"),
        "d": ("LCC",),
    }
    rng = np.random.default_rng(0)
    items = []
    for subject, names in views.items():
        for name in names:
            image = np.zeros((16, 8), np.float32)
            image[3 : 10 + len(items) % 5, : 3 + len(items) % 4] = rng.uniform(0.3, 0.9)
            items.append(tiny.mammogram_item(image, image > 0, subject=subject, laterality=name[0], view=name[1:]))
    folder = tmp_path_factory.mktemp("screening")
    writer = tiny.DatasetWriter(folder, count=len(items), made={"by": "tests"}, levels=[(8, 4), (16, 8)])
    writer.write(0, items)
    return writer.finish()


def rows(folder) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def text_chunks(path) -> dict[str, str]:
    """The tEXt chunks of a PNG file, read by hand."""
    content, place, found = path.read_bytes(), 8, {}
    while place < len(content):
        (length,), kind = struct.unpack(">I", content[place : place + 4]), content[place + 4 : place + 8]
        data = content[place + 8 : place + 8 + length]
        if kind == b"tEXt":
            keyword, _, text = data.partition(b"\0")
            found[keyword.decode()] = text.decode("latin-1")
        place += 12 + length
    return found


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["h5", "png", "dicom"])
def test_the_manifest_says_what_each_image_was_made_from(tmp_path, generator, tiny_dataset, file_format):
    options = {"masks": tiny_dataset.folder, "latents_per_mask": 2, "seed": 5, "file_format": file_format}
    found = rows(write_mammograms(generator, tmp_path / "out", 3, **options))
    held_out = tiny_dataset.indices("validation")
    assert [int(row["mask_number"]) for row in found] == held_out[[0, 0, 1]].tolist()
    assert [row["mask_sha256"] for row in found] == [
        MaskSource(16, 8, tiny_dataset.folder)[number].sha256 for number in (0, 0, 1)
    ]
    for number, row in enumerate(found):
        assert (row["number"], row["seed"], row["mask_of"]) == (str(number), "5", "real image")
        assert (row["generator_sha256"], row["version"]) == (sha256(generator), __version__)
        assert (
            row["image"]
            == {"h5": f"item {number}", "png": f"{number:06d}.png", "dicom": f"{number:06d}.dcm"}[file_format]
        )


def test_a_png_file_says_it_too(tmp_path, generator, tiny_dataset):
    options = {"masks": tiny_dataset.folder, "file_format": "png"}
    folder = write_mammograms(generator, tmp_path / "out", 1, **options)
    image, mask = (text_chunks(folder / name) for name in ("000000.png", "masks/000000.png"))
    assert "the breast outline of a real image" in image["Description"]
    assert image["Software"].endswith(__version__) and sha256(generator) in image["Source"]
    assert {
        name: str(value) for name, value in json.loads(image["Comment"]).items() if name in ("seed", "mask_of")
    } == {
        "seed": "0",
        "mask_of": "real image",
    }
    assert mask["Description"] == "The breast outline of a real image."


def test_text_chunks_do_not_touch_the_pixels():
    image = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    plain, told = (
        cv2.imdecode(np.frombuffer(encoded_png(image, text), np.uint8), -1) for text in ({}, {"Title": "β é"})
    )
    assert plain.dtype == np.uint16 and np.array_equal(plain, told)


def test_a_dataset_says_which_software_wrote_it(tmp_path, generator, tiny_dataset):
    meta = open_dataset(write_mammograms(generator, tmp_path / "out", 1, masks=tiny_dataset.folder)).meta["summary"]
    assert meta["made_by"]["version"] == __version__ and meta["made_by"]["libraries"] == libraries()
    assert meta["masks_of"] == "real image"


def test_phantoms_and_files_are_named_as_such(tmp_path, generator):
    cv2.imwrite(str(tmp_path / "mask.png"), np.pad(np.full((14, 6), 255, np.uint8), ((1, 1), (0, 2))))
    of_file = rows(write_mammograms(generator, tmp_path / "a", 1, masks=tmp_path / "mask.png"))
    of_phantom = rows(write_mammograms(generator, tmp_path / "b", 1))
    assert (of_file[0]["mask_of"], of_phantom[0]["mask_of"]) == ("mask image", "phantom")


def test_masses_name_what_they_were_mixed_from(tmp_path, tiny_mass_run, tiny_masses_dataset):
    folder = write_masses(tiny_mass_run.path, tmp_path / "out", 2, file_format="png")
    for row in rows(folder):
        assert (row["mixed_from"], row["mixed_from_sha256"]) == ("real masses", tiny_masses_dataset.fingerprint)
    assert "of real masses" in text_chunks(folder / "000001.png")["Description"]


def test_the_commit_is_that_of_the_checkout():
    assert commit() is None or len(commit().split("-")[0]) == 40


# --- DICOM --------------------------------------------------------------------------------------


def header(folder, number: int = 0) -> pydicom.Dataset:
    return pydicom.dcmread(folder / f"{number:06d}.dcm")


def test_contributing_equipment_holds_seed_number_mask_and_versions(tmp_path, generator, tiny_dataset):
    folder = write_mammograms(generator, tmp_path, 2, masks=tiny_dataset.folder, seed=9, file_format="dicom")
    (item,) = header(folder, 1).ContributingEquipmentSequence
    assert "image 1" in item.ContributionDescription and "seed 9" in item.ContributionDescription
    assert rows(folder)[1]["mask_sha256"] in item.ContributionDescription
    assert sha256(generator) in item.ContributionDescription
    assert item.SoftwareVersions[0] == __version__ and f"keras {libraries()['keras']}" in item.SoftwareVersions
    assert all(len(version) <= 64 for version in item.SoftwareVersions)


def test_only_without_a_patient_s_data_does_a_header_say_so(tmp_path, generator, tiny_dataset, tiny_pix2pix_run):
    cv2.imwrite(str(tmp_path / "mask.png"), np.pad(np.full((14, 6), 255, np.uint8), ((1, 1), (0, 2))))
    made = {
        "phantom": (generator, None),
        "outline": (generator, tiny_dataset.folder),
        "edges": (tiny_pix2pix_run.path / "generator.keras", tiny_dataset.folder),
        "file": (generator, tmp_path / "mask.png"),
    }
    found = {}
    for name, (network, masks) in made.items():
        found[name] = header(write_mammograms(network, tmp_path / name, 1, masks=masks, file_format="dicom"))
    assert "No patient existed" in found["phantom"].DeidentificationMethod
    assert "shows no patient" in found["phantom"].ImageComments
    for name, words in (("outline", "breast outline of a real"), ("edges", "edges and the breast outline of a real")):
        assert "from a patient's image" in found[name].DeidentificationMethod
        assert words in found[name].ImageComments and "shows no patient" not in found[name].ImageComments
    assert "not known" in found["file"].DeidentificationMethod
    assert all(len(one.DeidentificationMethod) <= 64 for one in found.values())


def test_what_mammography_workstations_ask_for(tmp_path, generator):
    first = header(write_mammograms(generator, tmp_path, 2, file_format="dicom"))
    assert (first.PartialView, first.BreastImplantPresent, first.StudyID) == ("NO", "NO", "S000000")
    begun = json.loads((tmp_path / "provenance.json").read_text())["begun"]
    assert first.StudyDate == begun[:10].replace("-", "") and len(first.StudyTime) == 6
    assert first.StudyInstanceUID != header(tmp_path, 1).StudyInstanceUID


def test_a_second_call_writes_the_same_files(tmp_path, generator, tiny_dataset):
    options = {"masks": tiny_dataset.folder, "file_format": "dicom"}
    for _ in range(2):
        folder = write_mammograms(generator, tmp_path, 2, **options)
        files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_mammograms(generator, tmp_path, 2, **options)
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files


def test_images_of_one_mask_are_of_one_patient(tmp_path, generator, screening):
    options = {"masks": screening.folder, "latents_per_mask": 2, "file_format": "dicom"}
    folder = write_mammograms(generator, tmp_path, 24, **options)  # eleven masks, two latents each, then the first
    headers, subjects = [header(folder, number) for number in range(24)], [row["subject"] for row in rows(folder)]
    assert len(set(subjects)) == len({one.PatientID for one in headers}) == 11
    assert len({(one.PatientID, subject) for one, subject in zip(headers, subjects)}) == 11
    assert [headers[number].SeriesNumber for number in (0, 1, 22, 23)] == [1, 2, 3, 4]


# --- studies of four views ----------------------------------------------------------------------


def test_a_study_has_the_four_views_of_one_patient(tmp_path, generator, screening):
    options = {"masks": screening.folder, "study_of_four": True, "file_format": "dicom"}
    folder = write_mammograms(generator, tmp_path, 8, **options)
    headers = [header(folder, number) for number in range(8)]
    assert [one.ImageLaterality + one.ViewPosition for one in headers] == 2 * ["RCC", "LCC", "RMLO", "LMLO"]
    for study in (headers[:4], headers[4:]):
        for keyword in ("PatientID", "StudyInstanceUID", "StudyID", "StudyDate"):
            assert len({one[keyword].value for one in study}) == 1, keyword
        assert len({one.SeriesInstanceUID for one in study}) == len({one.SOPInstanceUID for one in study}) == 4
        assert [one.SeriesNumber for one in study] == [1, 2, 3, 4]
    assert headers[0].PatientID != headers[4].PatientID
    assert [int(row["mask_number"]) for row in rows(folder)] == [0, 1, 2, 3, 7, 6, 5, 4]


def test_a_side_that_is_missing_is_the_other_one_s_outline(generator, screening):
    studies = MaskSource(16, 8, screening.folder).studies()
    assert list(studies) == [(0, 1, 2, 3), (7, 6, 5, 4), (8, 8, 9, 9)]


def test_phantoms_make_studies_without_end(tmp_path, generator):
    data = open_dataset(write_mammograms(generator, tmp_path, 8, study_of_four=True))
    assert data.field("view").tolist() == 2 * ["CC", "CC", "MLO", "MLO"]
    assert data.field("laterality").tolist() == 4 * ["R", "L"]
    assert len(set(data.field("subject"))) == 2
    masks = data.read_array("mask", (16, 8), np.arange(4))
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[1], masks[2])


def test_the_phantoms_of_a_study_are_looked_for_once_and_without_their_images(monkeypatch):
    drawn: dict[str, list[int]] = {"mammogram_phantom": [], "phantom_mask": []}
    for name, seeds in drawn.items():
        draw = getattr(sources, name)
        monkeypatch.setattr(sources, name, lambda seed, draw=draw, seeds=seeds: seeds.append(seed) or draw(seed))
    masks = ImageMasks(MaskSource(16, 8), study_of_four=True)
    assert masks[0].view == "CC" and masks[0].image is not None
    looked_at = len(drawn["phantom_mask"])
    assert [masks[number].view for number in (1, 2, 3)] == ["CC", "MLO", "MLO"]
    assert len(drawn["phantom_mask"]) == looked_at and len(drawn["mammogram_phantom"]) == 2


def test_what_makes_no_study_is_refused(tmp_path, generator):
    cv2.imwrite(str(tmp_path / "mask.png"), np.pad(np.full((14, 6), 255, np.uint8), ((1, 1), (0, 2))))
    with pytest.raises(DataError, match="multiple of 4"):
        write_mammograms(generator, tmp_path / "out", 6, study_of_four=True)
    with pytest.raises(DataError, match="views are not known"):
        write_mammograms(generator, tmp_path / "out", 4, study_of_four=True, masks=tmp_path / "mask.png")
    assert not (tmp_path / "out").exists()


# --- masks that are the wrong way round ---------------------------------------------------------


def test_a_mask_with_the_chest_wall_on_the_right_is_turned(tmp_path, generator):
    """A triangle whose long side is the chest wall: of both orientations the same mask is filled."""
    mask = np.zeros((32, 16), np.uint8)
    for column in range(12):
        mask[4 + column : 28 - column, column] = 255
    for name, one in (("left", mask), ("right", mask[:, ::-1])):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "mask.png"), one)
    left, right = (MaskSource(16, 8, tmp_path / name)[0] for name in ("left", "right"))
    assert np.array_equal(left.mask, right.mask) and (left.turned, right.turned) == (False, True)
    images = [generate(generator, tmp_path / name, count=1)[0] for name in ("left", "right")]
    assert np.array_equal(*images)
    assert rows(write_mammograms(generator, tmp_path / "out", 1, masks=tmp_path / "right"))[0]["mask_turned"] == "1"


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["png", "dicom"])
@pytest.mark.parametrize("change", [{"seed": 1}, {"latents_per_mask": 2}, {"generator": 1}])
def test_a_folder_never_mixes_two_makings(tmp_path, tiny_run, generator, file_format, change):
    write_mammograms(generator, tmp_path / "out", 2, file_format=file_format)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=f"--output {tmp_path / 'out'}: holds images made with"):
        arguments = {"generator": generator, **change}
        if arguments["generator"] == 1:
            arguments["generator"] = tiny_run.stage("phase-1").generator
        write_mammograms(output=tmp_path / "out", count=2, file_format=file_format, **arguments)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_folder_of_one_format_does_not_take_another(tmp_path, generator):
    write_mammograms(generator, tmp_path / "out", 1, file_format="png")
    for other in ("dicom", "h5"):
        with pytest.raises(DataError, match=str(tmp_path / "out")):
            write_mammograms(generator, tmp_path / "out", 1, file_format=other)


@pytest.mark.parametrize("file_format", ["png", "dicom"])
def test_a_folder_that_another_command_writes_to_is_refused(tmp_path, generator, file_format):
    hold(tmp_path / "out")
    with pytest.raises(DataError, match="has been writing here since"):
        write_mammograms(generator, tmp_path / "out", 1, file_format=file_format)
    assert len(contents(tmp_path / "out")) == 1


def test_files_that_a_kill_left_unfinished_are_removed(tmp_path, generator):
    folder = write_mammograms(generator, tmp_path / "out", 1, file_format="png")
    whole = contents(folder)
    for place in (folder, folder / "masks"):
        (place / ".000001.host-12.part.png").touch()
    write_mammograms(generator, folder, 1, file_format="png")
    assert contents(folder).keys() == whole.keys()


def test_a_folder_with_other_files_is_left_alone(tmp_path, generator):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="is not empty and holds no images of this command"):
        write_mammograms(generator, tmp_path, 1, file_format="png")


def test_more_images_are_added_and_fewer_refused(tmp_path, generator):
    for count in (2, 3):
        folder = write_mammograms(generator, tmp_path / "out", count, file_format="png")
    assert len(rows(folder)) == 3
    with pytest.raises(DataError, match="was begun for 3 images, not 1"):
        write_mammograms(generator, tmp_path / "out", 1, file_format="png")


def test_a_record_that_is_damaged_is_named(tmp_path, generator):
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(DataError, match="provenance.json: cannot be read"):
        write_mammograms(generator, tmp_path, 1, file_format="png")
