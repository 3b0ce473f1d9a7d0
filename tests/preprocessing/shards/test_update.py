"""A rerun sees what has changed, converts that alone, and gives what a conversion from scratch gives."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from folders import flip_a_byte

from preprocessing.shards import DataError
from preprocessing.shards.convert import WorkList, build_dataset
from preprocessing.shards.format import DATASET_FILE, PREVIOUS, array_name
from preprocessing.shards.pseudonyms import Key
from preprocessing.shards.sources import Entry, Sources

LEVEL = (8, 4)
KEY = Key(Path("none"), b"0123456789abcdef")


def prepare(path: Path) -> dict | str:
    """An item whose pixels are the file's number; words are rejected."""
    (path.parent.parent / "log").open("a").write(f"{path.name}\n")
    text = path.read_text()
    if not text.strip().isdigit():
        return f"not a number: {path.name}"
    pixels = {
        array_name("image", LEVEL): np.full(LEVEL, int(text), np.uint16),
        array_name("mask", LEVEL): np.ones(LEVEL),
    }
    return {**pixels, "subject": path.stem, "laterality": "L", "view": "CC"}


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number:02d}").write_text(str(number) if number != 3 else "word")
    return folder


def build(files: Path, output: Path, settings: dict | None = None, **options):
    paths = sorted(files.iterdir())
    (files.parent / "log").write_text("")
    sources = Sources(KEY, [Entry(path.name, [], [path]) for path in paths])
    how = {"kind": "mammogram", "title": "", "validation_fraction": 0.2, "levels": [LEVEL], "shard_size": 3}
    how |= {"fingerprint": KEY.fingerprint([[path.name, path.stat().st_size] for path in paths]), "sources": sources}
    work = WorkList(paths, prepare, settings or {"by": "test"}, **how)
    return build_dataset(output, work, **{"workers": 1, "overwrite": False, **options})


def converted(files: Path) -> list[str]:
    return (files.parent / "log").read_text().split()


def shards_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def test_an_unchanged_input_is_not_converted_again(files, tmp_path):
    build(files, tmp_path / "out")
    assert build(files, tmp_path / "out").already_done and not converted(files)


def touch(files):
    os.utime(files / "05", ns=(1, 1))
    return []


def change(files):
    (files / "05").write_text("8")  # as long as before
    return ["05"]


def change_keeping_times(files):
    found = (files / "02").stat()
    (files / "02").write_text("9")
    os.utime(files / "02", ns=(found.st_atime_ns, found.st_mtime_ns))
    return ["02"]


def add_first(files):
    (files / "00a").write_text("77")
    return ["00a"]


def mend(files):
    (files / "03").write_text("3")
    return ["03"]


@pytest.mark.parametrize("edit", [touch, change, change_keeping_times, add_first, mend], ids=lambda edit: edit.__name__)
def test_only_what_changed_is_converted_and_the_result_is_that_of_a_fresh_start(files, tmp_path, edit):
    build(files, tmp_path / "out")
    expected = edit(files)
    done = build(files, tmp_path / "out")
    assert converted(files) == expected
    assert done.already_done == (not expected)
    build(files, tmp_path / "fresh")
    assert shards_of(tmp_path / "out") == shards_of(tmp_path / "fresh")
    assert not (tmp_path / "out" / PREVIOUS).exists()


def test_entries_that_are_gone_are_a_stop_unless_all_is_made_anew(files, tmp_path):
    build(files, tmp_path / "out")
    (files / "04").unlink()
    with pytest.raises(DataError, match="of its 7 images this one lacks 1; give all of it"):
        build(files, tmp_path / "out")
    assert build(files, tmp_path / "out", overwrite=True).dataset.count == 5


def test_other_settings_are_refused_and_overwritten_when_asked_for(files, tmp_path):
    build(files, tmp_path / "out")
    with pytest.raises(DataError, match="with --seed its default, not 1; choose another output folder, or give --over"):
        build(files, tmp_path / "out", {"by": "test", "seed": 1})
    assert build(files, tmp_path / "out", {"by": "test", "seed": 1}, overwrite=True).dataset.count == 6


def test_an_empty_dataset_does_not_occupy_its_folder(files, tmp_path):
    words = tmp_path / "words"
    words.mkdir()
    (words / "a").write_text("word")
    assert build(words, tmp_path / "out").dataset.count == 0
    assert build(files, tmp_path / "out", {"by": "test", "seed": 1}).dataset.count == 6


@pytest.mark.parametrize("kill_at", range(12))
def test_an_update_that_is_killed_anywhere_is_continued(files, tmp_path, monkeypatch, kill_at):
    build(files, tmp_path / "out")
    add_first(files)
    build(files, tmp_path / "fresh")
    count = 0

    def dying(*names):
        nonlocal count
        count += 1
        if count > kill_at:
            raise KeyboardInterrupt
        return real(*names)

    real = os.rename
    monkeypatch.setattr(os, "rename", dying)
    monkeypatch.setattr(os, "replace", dying)
    try:
        build(files, tmp_path / "out")
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    build(files, tmp_path / "out")
    assert shards_of(tmp_path / "out") == shards_of(tmp_path / "fresh")
    assert not (tmp_path / "out" / PREVIOUS).exists()


def test_a_damaged_former_shard_is_not_taken_over(files, tmp_path):
    build(files, tmp_path / "out")
    shard = next((tmp_path / "out").glob("shard-00000*"))
    flip_a_byte(shard, -1)
    add_first(files)
    build(files, tmp_path / "out")
    build(files, tmp_path / "fresh")
    assert shards_of(tmp_path / "out") == shards_of(tmp_path / "fresh")


def test_a_dataset_without_notes_is_as_it_was(files, tmp_path):
    build(files, tmp_path / "out")
    (tmp_path / "out" / "work.jsonl").unlink()
    done = build(files, tmp_path / "out")
    assert done.already_done and "older version" in done.remarks[0]
    shutil.copy(files / "01", files / "99")
    with pytest.raises(DataError, match="from a list of 7, not of 8"):
        build(files, tmp_path / "out")


def test_names_and_contents_are_in_the_notes_as_hashes_only(files, tmp_path):
    build(files, tmp_path / "out")
    text = (tmp_path / "out" / "work.jsonl").read_text()
    assert "word" not in text and '"03"' not in text
    assert (tmp_path / "out" / DATASET_FILE).exists()
