"""The programs that damage files and disturb commands: the same damage every time, and what counts as a fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import tiny

from benchmarks.fuzzing import mutations
from benchmarks.fuzzing.commands import Done
from benchmarks.fuzzing.worker import _judged
from benchmarks.interruptions import _not_one_line


def write_file(kind: str, folder: Path) -> Path:
    """A whole file of a kind."""
    if kind == "image":
        path = folder / "a.png"
        cv2.imwrite(str(path), np.arange(256, dtype=np.uint8).reshape(16, 16))
    elif kind == "hdf5":
        path = folder / "a.h5"
        with h5py.File(path, "w") as file:
            file["x/y"] = np.arange(64, dtype=np.uint16)
    elif kind == "json":
        path = folder / "a.json"
        path.write_text(json.dumps({"a": [1, {"b": "c"}], "d": None}))
    else:
        path = folder / "a.csv"
        path.write_text("a,b\n1,2\n3,4\n")
    return path


@pytest.mark.parametrize("kind", ["image", "hdf5", "json", "table", "text", "bytes"])
def test_damage_is_the_same_for_the_same_number(tmp_path, kind):
    mutate = getattr(mutations, f"mutate_{kind}")
    for number in range(20):
        found = []
        for copy in ("first", "second"):
            (tmp_path / copy).mkdir(exist_ok=True)
            path = write_file(kind, tmp_path / copy)
            said = mutate(path, np.random.default_rng([7, number]))
            found.append((said, path.read_bytes()))
        assert found[0] == found[1]


def test_most_damage_changes_the_file(tmp_path):
    changed = 0
    for number in range(40):
        path = write_file("json", tmp_path)
        before = path.read_bytes()
        mutations.mutate_json(path, np.random.default_rng(number))
        changed += path.read_bytes() != before
    assert changed > 30


@pytest.mark.parametrize(
    ("done", "outcome"),
    [
        (Done(0, "a table\n"), "accepted"),
        (Done(1, "rejected image 0: empty file\nError: none of 1 images\n"), "one line"),
        (Done(1, "Error: a\nError: b\n"), "several lines"),
        (Done(1, "Error: a\nand more\n"), "several lines"),
        (Done(1, "Error: a\n", stray=["libpng error"]), "stray line"),
        (Done(None, "", error="KeyError at a.py:1"), "traceback"),
    ],
)
def test_how_a_command_ended_is_judged(done, outcome):
    assert _judged(done, [], [])[0] == outcome
    assert _judged(done, [], ["open /etc/passwd"])[0] == "outside"


def test_files_outside_are_noticed(tmp_path):
    (tmp_path / "work" / "case").mkdir(parents=True)
    (tmp_path / "seeds").mkdir()
    code = (
        "import sys, os, pathlib\n"
        "from benchmarks.fuzzing.worker import Watch\n"
        "work, seeds = map(pathlib.Path, sys.argv[1:])\n"
        "watch = Watch(work, seeds)\n"
        "with watch.on():\n"
        "    open(work / 'case' / 'a', 'w').close()\n"
        "    open(work.parent / 'b', 'w').close()\n"
        "    os.remove(work.parent / 'b')\n"
        "    open(seeds / '..' / 'c', 'w').close()\n"
        "print('\\n'.join(watch.seen))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "work"), str(tmp_path / "seeds")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tiny.ROOT)})
    assert done.stdout.split("\n")[:-1] == [f"open {tmp_path}/b", f"os.remove {tmp_path}/b", f"open {tmp_path}/c"]


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [
        ("Error: the disk is full\n", 1, ""),
        ("training on: 1 core\nstopped; run the same command again to continue\n", 1, ""),
        ("Traceback (most recent call last)\nOSError\n", 1, "traceback: OSError"),
        ("Error: a\n", 2, "exit 2, not 1: Error: a"),
        ("Error: a\nmore\n", 1, "not one line: Error: a / more"),
        ("", 1, "not one line: "),
    ],
)
def test_a_stopped_command_must_say_one_line(text, code, fault):
    assert _not_one_line(text, code, 1) == fault
