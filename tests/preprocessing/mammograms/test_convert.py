"""Films to shards: nothing of a patient gets in, nothing usable is lost, no run is repeated."""

import csv
import errno
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.mammograms import convert
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.options import MammogramOptions
from preprocessing.phantoms.mammogram import mammogram_phantom
from preprocessing.shards import LEVELS, DataError
from preprocessing.shards import writer as shards

PATIENTS = ["DOE_JANE", "POE_ANNA", "ROE_MARY"]
TOP = (512, 256)


def write_films(folder: Path, count: int = 6) -> Path:
    """8-bit phantoms at 256×128, two a patient, every second one mirrored, with a table."""
    folder.mkdir(parents=True)
    rows = [("image", "subject", "laterality", "view")]
    for number in range(count):
        image, _, view = mammogram_phantom(number, 256, 128)
        side = ("LEFT", "RIGHT")[number % 2]
        patient = PATIENTS[number // 2 % 3]
        name = f"{patient}_{number}.png"
        pixels = np.uint8(np.round(image * 255))
        cv2.imwrite(str(folder / name), pixels[:, ::-1] if number % 2 else pixels)
        rows.append((name, patient, side, view))
    with open(folder / "films.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("in") / "films")


@pytest.fixture(scope="module")
def done(films, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "data"
    return convert_mammograms([films], output, workers=1, shard_size=4)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def rejected_in(folder: Path) -> list[dict]:
    with open(folder / "rejected.csv", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------------------- good films


def test_films_become_a_dataset(done, films):
    dataset = done.dataset
    assert dataset.count == done.given == 6 and not done.rejected and not done.already_done
    assert dataset.field("laterality").tolist() == list("LRLRLR")
    assert dataset.field("view").tolist() == [mammogram_phantom(n)[2] for n in range(6)]
    images, masks = dataset.read(TOP, range(6))
    drawn = np.array([mammogram_phantom(n)[1] for n in range(6)])
    union, common = (drawn | (masks > 0)).sum((1, 2)), (drawn & (masks > 0)).sum((1, 2))
    assert (common / union > 0.9).all()  # mirrored films among them
    assert masks[:, :, 0].any(axis=1).all()
    assert not images[masks == 0].any()


def test_patients_stay_whole_and_both_sides_get_one(done):
    subjects, split = done.dataset.field("subject"), done.dataset.field("split")
    assert len(set(subjects)) == 3
    assert len(set(zip(subjects, split))) == 3
    assert done.dataset.meta["subjects"] == {"train": 2, "validation": 1}


def test_no_patient_is_named_in_the_dataset(done):
    content = everything_in(done.dataset.folder)
    assert not any(patient.encode() in content for patient in PATIENTS)


def test_key_and_list_of_films_are_private_and_outside(done, films):
    folder = done.dataset.folder
    for path in (folder.with_name("data.key"), folder.with_name("data.films.csv")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with open(folder.with_name("data.films.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]) for row in rows] == sorted(films.glob("*.png"))
    assert [row["item"] for row in rows] == list("012345")


def test_second_run_does_nothing(done, films):
    before = {path: path.stat().st_mtime_ns for path in done.dataset.folder.iterdir()}
    again = convert_mammograms([films], done.dataset.folder, workers=1, shard_size=4)
    assert again.already_done and again.dataset.count == 6
    assert before == {path: path.stat().st_mtime_ns for path in done.dataset.folder.iterdir()}


def test_a_dataset_keeps_the_size_of_its_shards(done, films):
    again = convert_mammograms([films], done.dataset.folder, workers=1)  # 4 films in a shard, as before
    assert again.already_done and len(again.dataset.meta["shards"]) == 2


@pytest.mark.parametrize("count", [100, 5000])
def test_as_many_films_are_in_memory_for_a_small_dataset_as_for_a_large_one(tmp_path, count):
    assert convert._shard_size(tmp_path, count) == 32


def test_films_need_no_heavy_import():
    heavy = "scipy", "skimage", "matplotlib", "tensorflow"
    modules = "preprocessing.mammograms.convert, preprocessing.images.dicom"
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    root = Path(convert.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"


def test_key_decides_the_hashes(done, films, tmp_path):
    key = done.dataset.folder.with_name("data.key")
    same = convert_mammograms([films], tmp_path / "a", key=key, workers=1).dataset
    other = convert_mammograms([films], tmp_path / "b", workers=1).dataset
    assert same.field("subject").tolist() == done.dataset.field("subject").tolist()
    assert not set(other.field("subject")) & set(same.field("subject"))


def test_processes_give_what_one_gives(done, films, tmp_path):
    key = done.dataset.folder.with_name("data.key")
    parallel = convert_mammograms([films], tmp_path / "data", key=key, workers=2, shard_size=3).dataset
    for level in LEVELS:
        for a, b in zip(parallel.read(level, range(6)), done.dataset.read(level, range(6))):
            np.testing.assert_array_equal(a, b)


def test_background_is_kept_when_asked(films, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    film = cv2.imread(str(sorted(films.glob("*.png"))[0]), cv2.IMREAD_UNCHANGED)
    film[100:104, -4:] = 90  # a speck far from the breast
    cv2.imwrite(str(folder / "speck.png"), film)
    for keep in (False, True):
        data = convert_mammograms(
            [folder], tmp_path / f"data{keep}", MammogramOptions(keep_background=keep), workers=1
        ).dataset
        images, masks = data.read(TOP, [0])
        assert images[masks == 0].any() == keep


def test_real_films(mammograms_dicoms, tmp_path):
    import pydicom

    folder = mammograms_dicoms[0].parents[1]
    done = convert_mammograms([folder], tmp_path / "data", workers=2)
    dataset = done.dataset
    assert dataset.count == 8 and not done.rejected
    assert dataset.meta["subjects"] == {"train": 1, "validation": 1}
    assert sorted(dataset.field("laterality")) == list("LLLLRRRR")
    assert sorted(dataset.field("view")) == ["CC"] * 4 + ["MLO"] * 4
    for mask in dataset.read(TOP, range(8))[1]:
        assert cv2.connectedComponents(mask, connectivity=4)[0] == 2 and mask[:, 0].any()

    content = everything_in(dataset.folder)
    for path in mammograms_dicoms:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for element in [*header.iterall(), *header.file_meta]:
            for value in np.atleast_1d(np.array(element.value, dtype=object)):
                if element.VR in ("PN", "LO", "SH", "UI", "DA", "TM", "DT") and len(str(value)) > 4:
                    assert str(value).encode() not in content, element.keyword


def test_a_row_without_side_and_view_leaves_those_of_the_header(mammograms_dicoms, tmp_path):
    (tmp_path / "films.csv").write_text(f"image,subject\n{mammograms_dicoms[0].name},P\n")
    options = {"table": tmp_path / "films.csv", "validation_fraction": 0.0, "workers": 1}
    dataset = convert_mammograms([mammograms_dicoms[0]], tmp_path / "data", **options).dataset
    assert dataset.field("laterality")[0] in ("L", "R") and dataset.field("view")[0] in ("CC", "MLO")


# ----------------------------------------------------------------------------------- bad films


def test_bad_films_are_rejected_and_the_run_goes_on(films, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    good = sorted(films.glob("*.png"))[0]
    (folder / "b_DOE.png").write_bytes(good.read_bytes())
    (folder / "a_notes.dcm").write_text("Patient DOE^JANE, see report")
    cv2.imwrite(str(folder / "c_black.png"), np.zeros((256, 128), np.uint8))
    cv2.imwrite(str(folder / "d_white.png"), np.full((256, 128), 255, np.uint8))
    (folder / "e_cut.png").write_bytes(good.read_bytes()[:2000])
    done = convert_mammograms([folder], tmp_path / "data", workers=1)
    assert done.dataset.count == 1
    assert [path.name[0] for path, _ in done.rejected] == list("acde")
    assert all(reason and "\n" not in reason for _, reason in done.rejected)
    assert [row["film"] for row in rejected_in(tmp_path / "data")] == ["0", "2", "3", "4"]
    assert b"DOE" not in everything_in(tmp_path / "data")
    again = convert_mammograms([folder], tmp_path / "data", workers=1)
    assert again.already_done and again.rejected == done.rejected


def test_no_usable_film_leaves_an_empty_dataset_with_reasons(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((256, 128), np.uint8))
    done = convert_mammograms([tmp_path / "black.png"], tmp_path / "data", workers=1)
    assert done.dataset.count == 0 and len(rejected_in(tmp_path / "data")) == 1


def test_an_unforeseen_error_rejects_one_film_without_its_text(films, tmp_path, monkeypatch):
    def fail(path, **options):
        raise KeyError("DOE^JANE")

    monkeypatch.setattr(convert, "read_image", fail)
    done = convert_mammograms([films], tmp_path / "data", workers=1)
    assert {reason for _, reason in done.rejected} == {"cannot be decoded (KeyError)"}


# --------------------------------------------------------------------------- given masks, table


def test_given_masks_are_used_and_must_fit(films, tmp_path):
    given = tmp_path / "masks"
    given.mkdir()
    names = sorted(path.stem for path in films.glob("*.png"))
    for number, name in enumerate(names[:3]):
        mask = np.zeros((256, 128) if number else (128, 128), np.uint8)
        mask[64:192, :60] = 255
        cv2.imwrite(str(given / f"{name}.pgm"), mask[:, ::-1] if number == 1 else mask)
    done = convert_mammograms([films], tmp_path / "data", masks=given, workers=1)
    reasons = [reason for _, reason in done.rejected]
    assert reasons[0] == "its mask is 128x128 but the image is 256x128 (height x width)"
    assert reasons[1:] == ["no mask of its name in the folder of masks"] * 3
    _, masks = done.dataset.read(TOP, [0, 1])
    drawn = np.zeros(TOP, bool)
    drawn[128:384, :120] = True
    assert (masks.astype(bool) == drawn).mean() > 0.99


def test_film_without_a_row_in_the_table_is_rejected(films, tmp_path):
    table = tmp_path / "table.csv"
    rows = (films / "films.csv").read_text().splitlines()
    table.write_text("\n".join(rows[:3]) + "\n")
    done = convert_mammograms([films], tmp_path / "data", table=table, workers=1)
    assert done.dataset.count == 2
    assert {reason for _, reason in done.rejected} == {"has no row in the table of images"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,who\na,b\n", "has no column image, subject; it needs image, subject"),
        ("image,subject\na.png,\n", "lacks its image or its subject"),
        (
            "image,subject\nROE_MARY_4.png,1\nfilms/ROE_MARY_4.png,2\n",
            "two rows for one image differ, the second is row 2",
        ),
    ],
)
def test_wrong_table_is_refused(films, tmp_path, text, said):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        convert_mammograms([films], tmp_path / "data", table=tmp_path / "table.csv")


# ---------------------------------------------------------------------------- refused, and resumed


def test_other_settings_are_refused_by_name(done, films):
    with pytest.raises(DataError, match="made with --mask-method film, not otsu; choose another output"):
        convert_mammograms([films], done.dataset.folder, MammogramOptions("otsu"), shard_size=4)
    with pytest.raises(DataError, match="--validation-fraction 0.1, not 0.2"):
        convert_mammograms([films], done.dataset.folder, validation_fraction=0.2, shard_size=4)


def test_other_films_are_refused(done, films, tmp_path):
    other = write_films(tmp_path / "films", 5)
    with pytest.raises(DataError, match="from other input, and of its 6 films this one lacks 1; give all of it"):
        convert_mammograms([other], done.dataset.folder, shard_size=4)


def test_lost_and_misplaced_keys_are_refused(films, tmp_path):
    convert_mammograms([films], tmp_path / "data", workers=1)
    (tmp_path / "data.key").unlink()
    with pytest.raises(DataError, match="data.key: the key of the dataset .* is not there"):
        convert_mammograms([films], tmp_path / "data", workers=1)
    with pytest.raises(DataError, match="must lie outside"):
        convert_mammograms([films], tmp_path / "new", key=tmp_path / "new" / "key")


@pytest.mark.parametrize("inside", ["", "films"])
def test_an_output_that_holds_its_input_is_refused(tmp_path, inside):
    (tmp_path / "data" / inside).mkdir(parents=True)
    with pytest.raises(DataError, match="--output data: is or holds --input (data|films); choose another folder"):
        convert_mammograms([tmp_path / "data" / inside], tmp_path / "data")


def test_empty_folder_and_unwritable_output_are_refused(films, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images here"):
        convert_mammograms([tmp_path / "empty"], tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--output .*file/data: cannot be written"):
        convert_mammograms([films], tmp_path / "file" / "data")


def test_full_disk_keeps_whole_shards_and_the_run_goes_on(films, tmp_path, monkeypatch):
    write, calls = shards.write_shard, []

    def fills_up(path, *arguments, **options):
        calls.append(path.name)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *arguments, **options)

    monkeypatch.setattr(shards, "write_shard", fills_up)
    with pytest.raises(DataError, match="No space left on device"):
        convert_mammograms([films], tmp_path / "data", workers=1, shard_size=2)
    done = convert_mammograms([films], tmp_path / "data", workers=1, shard_size=2)
    assert done.dataset.count == 6
    assert calls == [f"shard-0000{n}-of-00003.h5" for n in (0, 1, 1, 2)]


def test_a_killed_run_goes_on(films, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(convert.__file__).parents[2])!r})\n"
        "from preprocessing.mammograms.convert import convert_mammograms\n"
        "if __name__ == '__main__':\n"
        "    convert_mammograms(sys.argv[1:2], sys.argv[2], workers=2, shard_size=1)\n"
    )
    output = tmp_path / "data"
    running = subprocess.Popen([sys.executable, str(driver), str(films), str(output)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not list(output.glob("shard-*.h5")) and running.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = {path: path.stat().st_ino for path in output.glob("shard-*.h5")}
    assert kept
    done = convert_mammograms([films], output, workers=1, shard_size=1)
    assert done.dataset.count == 6
    done.dataset.verify()
    assert all(path.stat().st_ino == inode for path, inode in kept.items())
    assert not list(output.glob("*.part"))
