"""Nothing that `dataset.json` or a shard says is trusted."""

import json

import h5py
import numpy as np
import pytest

from preprocessing.masses.item import mass_item
from preprocessing.masses.labels import CLASSES
from preprocessing.shards import DataError, DatasetWriter, open_dataset
from preprocessing.shards.format import DATASET_FILE, array_name

LEVEL = (8, 4)


def write(folder):
    writer = DatasetWriter(folder, count=4, made={}, levels=[LEVEL], shard_size=2)
    item = {array_name("image", LEVEL): np.ones(LEVEL, np.uint16), array_name("mask", LEVEL): np.ones(LEVEL, np.uint8)}
    for shard, numbers in writer.missing():
        writer.write(shard, [{**item, "subject": f"{n}", "laterality": "L", "view": "CC"} for n in numbers])
    writer.finish(0.5)
    return folder


def edit(folder, change):
    content = json.loads((folder / DATASET_FILE).read_text())
    change(content)
    (folder / DATASET_FILE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "name", ["../mine.h5", "/etc/hostname", "shard-00001-of-00002.h5", "sub/shard-00000-of-00002.h5"]
)
def test_only_shards_by_their_exact_names_are_read_or_removed(tmp_path, name):
    folder = write(tmp_path / "data")
    mine = tmp_path / "mine.h5"
    mine.write_text("mine")
    edit(folder, lambda content: content["shards"][0].update(file=name))
    with pytest.raises(DataError, match="dataset.json: shards is not as this library writes it"):
        open_dataset(folder)
    with pytest.raises(DataError, match="dataset.json: shards"):
        write(folder)
    assert mine.read_text() == "mine" and len(list(folder.glob("*.h5"))) == 2


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("levels", [[8, -4]]),
        ("levels", [[8, 4], "x"]),
        ("levels", []),
        ("classes", {"split": ["a"]}),
        ("complete", 1),
        ("count", 5),
        ("count", 2**70),
        ("images", {"train": 4}),
        ("work", {"count": -1, "shard_size": 0, "fingerprint": ""}),
        ("shards", [{"file": "shard-00000-of-00001.h5", "count": 4, "bytes": "1", "sha256": "x"}]),
        ("synthetic", "no"),
        ("made", None),
        ("generator", 5),
    ],
)
def test_a_description_with_another_type_or_range_is_refused(tmp_path, entry, value):
    folder = write(tmp_path / "data")
    edit(folder, lambda content: content.update({entry: value}))
    with pytest.raises(DataError, match="dataset.json"):
        open_dataset(folder)


@pytest.mark.parametrize("entry", ["generator", "made", "work", "images"])
def test_a_description_without_one_of_its_entries_is_refused(tmp_path, entry):
    folder = write(tmp_path / "data")
    edit(folder, lambda content: content.pop(entry))
    with pytest.raises(DataError, match=f"dataset.json: {entry} is not as this library writes it"):
        open_dataset(folder)


def replaced(folder, make):
    """Replace one array of the first shard and the checks by size and checksum."""
    path = next(folder.glob("shard-00000*"))
    with h5py.File(path, "r+") as file:
        del file["image/8x4"]
        make(file, "image/8x4")
    edit(folder, lambda content: content["shards"][0].update(bytes=path.stat().st_size))


def external(file, name):
    (file.filename and open(file.filename + ".secret", "wb")).write(bytes(128))
    file.create_dataset(name, (2, 8, 4), "<u2", external=[(file.filename + ".secret", 0, 128)])


def virtual(file, name):
    layout = h5py.VirtualLayout((2, 8, 4), "<u2")
    layout[0] = h5py.VirtualSource("other.h5", "x", (8, 4))
    file.create_virtual_dataset(name, layout)


def linked(file, name):
    file[name] = h5py.ExternalLink("other.h5", "x")


def compressed(file, name):
    file.create_dataset(name, (2, 8, 4), "<u2", chunks=(1, 8, 4), compression=9)


def of_another_type(file, name):
    file.create_dataset(name, (2, 8, 4), ">u2", data=np.zeros((2, 8, 4), ">u2"))


def longer(file, name):
    file.create_dataset(name, (3, 8, 4), "<u2", data=np.zeros((3, 8, 4), "<u2"))


@pytest.mark.parametrize("make", [external, virtual, linked, compressed, of_another_type, longer])
def test_pixels_lie_in_the_shard_as_plain_arrays(tmp_path, make):
    folder = write(tmp_path / "data")
    replaced(folder, make)
    with pytest.raises(DataError, match="shard-00000-of-00002.h5: not a whole shard"):
        open_dataset(folder)


def test_a_shard_that_is_a_link_is_refused(tmp_path):
    folder = write(tmp_path / "data")
    path = next(folder.glob("shard-00000*"))
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(DataError, match="is a link"):
        open_dataset(folder)


def test_a_shard_that_a_viewer_holds_open_is_read(tmp_path):
    folder = write(tmp_path / "data")
    with h5py.File(next(folder.glob("shard-00000*")), "r+"):
        assert open_dataset(folder).count == 4


# --- sizes of masses ------------------------------------------------------------------------------


def write_sizes(folder, sizes):
    """Two shards of two masses."""
    writer = DatasetWriter(folder, "mass", count=4, made={}, levels=[(64, 64)], classes=CLASSES, shard_size=2)
    window = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    for shard, numbers in writer.missing():
        writer.write(shard, [mass_item(window, subject=f"{n}", size=sizes[n]) for n in numbers])
    writer.finish()
    return folder


def test_a_shard_has_sizes_only_where_one_is_known(tmp_path):
    folder = write_sizes(tmp_path / "data", [np.nan, np.nan, np.nan, 12.5])
    held = ["size" in h5py.File(path) for path in sorted(folder.glob("*.h5"))]
    assert held == [False, True]
    np.testing.assert_array_equal(open_dataset(folder).field("size"), np.float32([np.nan, np.nan, np.nan, 12.5]))


@pytest.mark.parametrize("size", [0, -3, np.inf])
def test_a_size_that_is_none_is_refused(tmp_path, size):
    writer = DatasetWriter(tmp_path, "mass", count=1, made={}, levels=[(64, 64)], classes=CLASSES)
    writer.write(0, [mass_item(np.zeros((64, 64)), subject="1", size=size)])
    with pytest.raises(DataError, match="not a whole shard .size holds"):
        writer.finish()
