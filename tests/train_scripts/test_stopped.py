"""Commands that are killed, interrupted, run twice at once or run out of disk: one line, and nothing is lost."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from preprocessing.phantoms.mammogram import make_phantoms
from preprocessing.shards import open_dataset

COUNT = 200


def command(name: str, *arguments: object, limit: int | None = None) -> subprocess.Popen:
    """Start a command as a shell does; `limit` is the largest file that it may write, in bytes."""

    def before() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = [sys.executable, str(tiny.ROOT / "train_scripts" / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(tiny.ROOT), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=before, env=environment,
        start_new_session=True,
    )  # fmt: skip


def phantoms(folder: Path, **options) -> subprocess.Popen:
    return command("make_phantoms", "--count", COUNT, "--output", folder, "--workers", 2, **options)


def wait_for(found, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not found() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def begun(folder: Path):
    return lambda: any(folder.glob("shard-*.h5")) or any(folder.glob(".shard-*"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "data"
    return make_phantoms(folder, COUNT, workers=1).fingerprint


def test_a_killed_command_is_continued(tmp_path, expected):
    process = phantoms(tmp_path / "data")
    wait_for(begun(tmp_path / "data"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = phantoms(tmp_path / "data")
    assert again.communicate()[1] is None and again.returncode == 0
    assert open_dataset(tmp_path / "data", verify=True).fingerprint == expected
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]


def test_ctrl_c_ends_in_one_line(tmp_path):
    process = phantoms(tmp_path / "data")
    wait_for(lambda: (tmp_path / "data" / "dataset.json").exists(), process)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    text = process.communicate()[0]
    assert process.returncode == 130
    assert text.strip().splitlines() == ["stopped; run the same command again to continue"]


def test_a_full_disk_ends_in_one_line(tmp_path):
    process = phantoms(tmp_path / "data", limit=2**20)
    text = process.communicate()[0].strip()
    assert process.returncode == 1
    assert len(text.splitlines()) == 1 and "cannot be written (File too large); finished work is kept" in text


def test_two_commands_in_one_folder_do_not_mix(tmp_path, expected):
    first = phantoms(tmp_path / "data")
    wait_for(lambda: (tmp_path / "data" / "dataset.json").exists(), first)
    second = phantoms(tmp_path / "data")
    text = second.communicate()[0].strip()
    assert second.returncode == 1 and len(text.splitlines()) == 1 and f"process {first.pid} on" in text
    first.communicate()
    assert first.returncode == 0
    assert open_dataset(tmp_path / "data", verify=True).fingerprint == expected
