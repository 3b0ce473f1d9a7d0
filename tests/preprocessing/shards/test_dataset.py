"""The dataset format: what is written comes back, and what is damaged or missing is told in one line."""

import errno
import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from folders import flip_a_byte

from preprocessing.lock import LOCK_FILE
from preprocessing.shards import DataError, DatasetWriter, open_dataset
from preprocessing.shards import writer as shards
from preprocessing.shards.format import FORMAT, array_name
from preprocessing.shards.shard_file import write_shard
from preprocessing.shards.writer import split_subjects

LEVELS = [(8, 4), (16, 8)]
COUNT = 10  # in shards of 4, 4 and 2


def item(number: int) -> dict:
    """A random mammogram item; two successive ones are of one patient."""
    rng = np.random.default_rng(number)
    pixels = {array_name("image", level): rng.integers(0, 65536, level, np.uint16) for level in LEVELS}
    masks = {array_name("mask", level): rng.integers(0, 2, level, np.uint8) for level in LEVELS}
    return {**pixels, **masks, "subject": f"{number // 2:016x}", "laterality": "LR"[number % 2], "view": "MLO"}


def writer(folder, **changes) -> DatasetWriter:
    options = {"count": COUNT, "made": {"by": "test", "seed": 0}, "levels": LEVELS, "shard_size": 4}
    return DatasetWriter(folder, "mammogram", **{**options, **changes})


def write(folder, **changes):
    writing = writer(folder, **changes)
    for shard, numbers in writing.missing():
        writing.write(shard, [item(number) for number in numbers])
    return writing.finish(validation_fraction=0.2)


@pytest.fixture
def dataset(tmp_path):
    return write(tmp_path / "data")


@pytest.mark.parametrize("level", LEVELS)
def test_pixels_come_back_in_the_order_asked_for(dataset, level):
    order = [9, 0, 4, 4, 3, 8]
    images, masks = dataset.read(level, order)
    assert images.dtype == np.uint16 and masks.dtype == np.uint8
    for row, number in enumerate(order):
        np.testing.assert_array_equal(images[row], item(number)[array_name("image", level)])
        np.testing.assert_array_equal(masks[row], item(number)[array_name("mask", level)])


def test_images_are_floats_and_masks_booleans(dataset):
    images, masks = dataset.images((16, 8), [3, 1]), dataset.masks((16, 8), [3, 1])
    assert images.dtype == np.float32 and masks.dtype == bool
    np.testing.assert_array_equal(images[0], item(3)["image/16x8"].astype(np.float32) / 65535)
    np.testing.assert_array_equal(masks[1], item(1)["mask/16x8"] == 1)
    with pytest.raises(DataError, match="holds mammogram data, which has no array 'lesion'"):
        dataset.lesions((16, 8), [0])


def test_fields_come_back(dataset):
    assert dataset.kind == "mammogram" and dataset.count == COUNT and dataset.levels == LEVELS
    assert dataset.field("laterality").tolist() == list("LRLRLRLRLR")
    assert dataset.field("subject")[5] == f"{2:016x}"
    assert dataset.classes("split") == ["train", "validation"]


def test_the_fingerprint_tells_which_images_these_are(dataset, tmp_path):
    assert dataset.fingerprint == write(tmp_path / "again").fingerprint
    assert dataset.fingerprint != write(tmp_path / "fewer", count=COUNT - 1).fingerprint


def test_h5py_alone_can_read_a_shard(dataset):
    with h5py.File(dataset.folder / "shard-00001-of-00003.h5") as file:
        np.testing.assert_array_equal(file["image/16x8"][1], item(5)["image/16x8"])
        assert file["image/16x8"].chunks is None and file["image/16x8"].compression is None
        assert list(file["split"].attrs["classes"]) == ["train", "validation"]


def test_a_shard_is_what_h5py_writes_of_whole_arrays(tmp_path):
    """Every byte: the pixels of a shard go around h5py."""
    items = [item(number) for number in range(3)]
    classes = {"split": ["train", "validation"]}
    write_shard(tmp_path / "shard.h5", "mammogram", LEVELS, items, classes=classes, work="work")
    by_h5py = io.BytesIO()
    with h5py.File(by_h5py, "w") as file:
        file.attrs.update({"format": FORMAT, "kind": "mammogram", "work": "work"})
        for name in [array_name(pixels, level) for pixels in ("image", "mask") for level in LEVELS]:
            file.create_dataset(name, data=np.array([one[name] for one in items]))
        for name, dtype in {"subject": "S16", "laterality": "S1", "view": "S4"}.items():
            file.create_dataset(name, data=np.array([one[name] for one in items], dtype))
        file.create_dataset("density", data=np.zeros(3, np.int8))
        file.create_dataset("split", data=np.full(3, -1, np.int8)).attrs["classes"] = ["train", "validation"]
        file.create_dataset("rejected", data=np.frombuffer(b"[]", np.uint8))
    assert (tmp_path / "shard.h5").read_bytes() == by_h5py.getvalue()


def test_density_is_unknown_where_it_is_not_given_and_in_shards_without_it(tmp_path):
    writing = writer(tmp_path / "data", count=3)
    writing.write(0, [{**item(number), "density": number + 2} for number in range(2)] + [item(2)])
    assert writing.finish().field("density").tolist() == [2, 3, 0]
    with h5py.File(tmp_path / "data/shard-00000-of-00001.h5", "r+") as file:
        del file["density"]
    assert open_dataset(tmp_path / "data").field("density").tolist() == [0, 0, 0]


def test_pixels_of_another_size_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="image/8x4: an item has pixels of shape .4, 2."):
        writer(tmp_path / "data").write(0, [{**item(0), "image/8x4": np.zeros((4, 2), np.uint16)}])


def test_threads_read_without_a_lock(dataset):
    orders = [np.random.default_rng(seed).permutation(COUNT) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        reads = list(pool.map(lambda order: dataset.read((16, 8), order)[0], orders))
    whole = dataset.read((16, 8), np.arange(COUNT))[0]
    assert all(np.array_equal(read, whole[order]) for read, order in zip(reads, orders))


def test_patients_are_split_whole(dataset):
    sides = {}
    for subject, split in zip(dataset.field("subject"), dataset.field("split")):
        sides.setdefault(subject, set()).add(int(split))
    assert all(len(side) == 1 for side in sides.values())
    assert dataset.meta["subjects"] == {"train": 4, "validation": 1}
    assert len(dataset.indices("validation")) == dataset.meta["images"]["validation"] == 2
    assert sorted([*dataset.indices("train"), *dataset.indices("validation")]) == list(range(COUNT))


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_two_patients_are_one_on_each_side(fraction):
    assert sorted(split_subjects(["a", "b", "a"], fraction).values()) == ["train", "validation"]


@pytest.mark.parametrize(("subjects", "fraction"), [(["a"], 0.5), (["a", "b", "c"], 0.0)])
def test_one_patient_or_no_fraction_means_no_validation(subjects, fraction):
    assert set(split_subjects(subjects, fraction).values()) == {"train"}


def test_split_does_not_depend_on_the_order_of_films():
    subjects = [f"{n:04x}" for n in range(50)]
    assert split_subjects(subjects, 0.3) == split_subjects(subjects[::-1], 0.3)
    assert list(split_subjects(subjects, 0.3).values()).count("validation") == 15


def test_missing_shard_is_named(dataset):
    (dataset.folder / "shard-00001-of-00003.h5").unlink()
    with pytest.raises(DataError, match=r"shard-00001-of-00003.h5: this shard is missing; .*again"):
        open_dataset(dataset.folder)


def test_cut_shard_is_named(dataset):
    path = dataset.folder / "shard-00002-of-00003.h5"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="shard-00002-of-00003.h5: .*size"):
        open_dataset(dataset.folder)


def test_flipped_byte_is_named(dataset):
    dataset.verify()
    flip_a_byte(dataset.folder / "shard-00000-of-00003.h5")
    with pytest.raises(DataError, match="shard-00000-of-00003.h5: this shard is damaged"):
        open_dataset(dataset.folder, verify=True)


def test_damaged_and_missing_shards_are_made_again(dataset):
    flip_a_byte(dataset.folder / "shard-00000-of-00003.h5")
    (dataset.folder / "shard-00002-of-00003.h5").unlink()
    assert [shard for shard, _ in writer(dataset.folder).missing()] == [0, 2]
    again = write(dataset.folder)
    again.verify()
    np.testing.assert_array_equal(again.read((8, 4), [0])[0][0], item(0)["image/8x4"])


def test_finished_dataset_is_not_written_again(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.folder.iterdir()}
    assert writer(dataset.folder).complete
    write(dataset.folder)
    assert before == {path: path.stat().st_mtime_ns for path in dataset.folder.iterdir()}


def test_broken_run_goes_on(tmp_path):
    first = writer(tmp_path / "data")
    first.write(1, [item(number) for number in first.numbers(1)])
    with pytest.raises(DataError, match="is not complete"):
        open_dataset(tmp_path / "data")
    assert [shard for shard, _ in writer(tmp_path / "data").missing()] == [0, 2]
    assert write(tmp_path / "data").count == COUNT


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"made": {"by": "test", "seed": 1}}, "with --seed 0, not 1"),
        ({"count": 11}, "list of 10, not of 11"),
        ({"work": "other"}, "from other input"),
        ({"synthetic": True}, "with another synthetic"),
    ],
)
def test_other_settings_are_refused(dataset, changes, named):
    with pytest.raises(DataError, match=named):
        writer(dataset.folder, **changes)


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty and holds no dataset"):
        writer(tmp_path)


def test_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    writing = writer(tmp_path / "data")
    writing.write(0, [item(number) for number in writing.numbers(0)])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards.os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written .No space left on device.; finished work is kept"):
        writing.write(1, [item(number) for number in writing.numbers(1)])
    names = sorted(path.name for path in (tmp_path / "data").iterdir() if path.name != LOCK_FILE)
    assert names == ["dataset.json", "shard-00000-of-00003.h5"]


def test_rejected_work_leaves_no_item(tmp_path):
    writing = writer(tmp_path / "data", count=4)
    writing.write(0, [item(0), item(3)], rejected=[(1, "all black"), (2, "truncated")])
    assert writing.finish().count == 2
    assert [pair for shard in writing.opened() for pair in shard.rejected] == [(1, "all black"), (2, "truncated")]


def test_dataset_of_nothing_opens(tmp_path):
    writing = writer(tmp_path / "data", count=1)
    writing.write(0, [], rejected=[(0, "all black")])
    dataset = writing.finish(0.1)
    assert dataset.count == 0 and dataset.read((8, 4), [])[0].shape == (0, 8, 4)


def test_masses_have_their_own_fields_and_classes(tmp_path):
    rois = [np.full((64, 64), n, np.uint16) for n in range(3)]
    names = {"shape": ["round", "oval"], "margin": ["spiculated"]}
    options = {"count": 3, "made": {"by": "test"}, "levels": [(64, 64)], "classes": names}
    writing = DatasetWriter(tmp_path / "data", "mass", **options)
    fields = ({"shape": 1, "margin": 0}, {"shape": 0}, {"shape": -1, "margin": -1})
    contrast = {"low": 0.25, "high": 0.5}
    items = [
        {"image/64": roi, "lesion/64": roi > 1, "subject": "a", **contrast, **field} for roi, field in zip(rois, fields)
    ]
    writing.write(0, items)
    dataset = writing.finish()
    assert dataset.field("shape").tolist() == [1, 0, -1] and dataset.field("margin").tolist() == [0, -1, -1]
    assert dataset.classes("shape") == ["round", "oval"]
    assert dataset.field("low").dtype == np.float32 and dataset.field("high").tolist() == [0.5] * 3
    images, lesions = dataset.read((64, 64), [2, 1])
    assert images[:, 0, 0].tolist() == [2, 1]
    assert lesions.dtype == np.uint8 and lesions[:, 0, 0].tolist() == [1, 0]
    assert dataset.lesions((64, 64), [2, 1])[:, 0, 0].tolist() == [True, False]


def test_wrong_kind_level_split_and_index_are_refused(dataset):
    with pytest.raises(DataError, match="holds mammogram data, but mass data is needed"):
        open_dataset(dataset.folder, kind="mass")
    with pytest.raises(DataError, match="has no 32x16 images, only 8x4, 16x8"):
        dataset.read((32, 16), [0])
    with pytest.raises(DataError, match="must be one of train, validation"):
        dataset.indices("test")
    with pytest.raises(IndexError):
        dataset.read((8, 4), [COUNT])


def test_folder_without_dataset_and_other_format_are_refused(dataset, tmp_path):
    with pytest.raises(DataError, match="holds no dataset"):
        open_dataset(tmp_path)
    path = dataset.folder / "dataset.json"
    for number in (99, "\n"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
        with pytest.raises(DataError, match=re.escape(f"has format {number!r},")):
            open_dataset(dataset.folder)


def test_text_too_long_is_an_error_not_cut(tmp_path):
    writing = writer(tmp_path / "data", count=1)
    with pytest.raises(DataError, match="subject: a value of 17 characters"):
        writing.write(0, [{**item(0), "subject": "x" * 17}])


# --- file systems without locks -----------------------------------------------------------------


@pytest.mark.parametrize("mode", [fcntl.LOCK_EX, fcntl.LOCK_SH], ids=["for writing", "for reading"])
def test_a_shard_that_another_program_has_locked_is_read(dataset, mode):
    with open(next(dataset.folder.glob("*.h5")), "rb") as held:
        fcntl.flock(held, mode)
        assert open_dataset(dataset.folder, verify=True).count == COUNT


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("call", ["flock(int file, int kind)", "lockf(int file, int kind, long size)"])
def test_datasets_are_made_and_read_where_nothing_can_be_locked(tmp_path, call):
    """As NFS without a lock daemon, or Lustre mounted without flock."""
    source = f"#include <errno.h>\nint {call} {{ errno = ENOLCK; return -1; }}\n"
    (tmp_path / "none.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "none.so", tmp_path / "none.c"], check=True)
    code = (
        "import sys; from preprocessing.phantoms.mammogram import make_phantoms; from preprocessing.shards import *\n"
        "make_phantoms(sys.argv[1], 2, workers=1); print(open_dataset(sys.argv[1], verify=True).count)"
    )
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "none.so")}
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["2"]), done.stderr
