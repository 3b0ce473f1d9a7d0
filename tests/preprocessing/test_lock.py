"""One writer per folder; a lock that nobody holds any more is no obstacle."""

import json
import os
import subprocess
import sys

import pytest

from preprocessing import lock
from preprocessing.lock import LOCK_FILE, FolderLock, LockError

HOLD = (
    "import sys, time, pathlib; from preprocessing.lock import FolderLock\nl = FolderLock(pathlib.Path(sys.argv[1]))\n"
)


def other_process(folder, then: str):
    process = subprocess.Popen([sys.executable, "-c", HOLD + then, str(folder)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_another_process_waits_its_turn(tmp_path):
    process = other_process(tmp_path, "print('held', flush=True); sys.stdin.read() if False else time.sleep(60)")
    try:
        with pytest.raises(LockError, match=f"process {process.pid} on .* has been writing here since"):
            FolderLock(tmp_path)
    finally:
        process.kill()
        process.wait()
    FolderLock(tmp_path).release()  # the killed one left its lock file


def test_a_lock_ends_with_its_process(tmp_path):
    other_process(tmp_path, "print('held', flush=True)").wait()
    assert not (tmp_path / LOCK_FILE).exists()


def test_objects_of_one_process_share_a_lock(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.release()
    first.release()
    assert (tmp_path / LOCK_FILE).exists()
    second.release()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_lock_of_another_host_counts_until_nobody_touches_it(tmp_path):
    holder = {"process": 1, "started": "1", "host": "elsewhere", "system": "", "since": 0.0}
    file = tmp_path / LOCK_FILE
    file.write_text(json.dumps(holder))
    with pytest.raises(LockError, match="process 1 on elsewhere"):
        FolderLock(tmp_path)
    past = file.stat().st_mtime - lock.ABANDONED_AFTER - 5
    os.utime(file, (past, past))
    FolderLock(tmp_path).release()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": "x"}'])
def test_a_damaged_lock_file_is_one_that_is_being_written(tmp_path, content):
    (tmp_path / LOCK_FILE).write_text(content)
    with pytest.raises(LockError, match="beginning to write"):
        FolderLock(tmp_path)


def test_a_holder_that_lost_its_lock_learns_of_it(tmp_path):
    held = FolderLock(tmp_path)
    (tmp_path / LOCK_FILE).write_text(json.dumps({**lock._myself(), "process": 1}))
    with pytest.raises(LockError, match="took this folder over"):
        held.check()
