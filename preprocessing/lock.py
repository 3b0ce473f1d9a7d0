"""One writer per folder: a lock file that needs nothing of the file system but the exclusive creation of files.

The file says which process on which host holds the lock and since when, and its holder touches it every few seconds.
A lock whose process is gone, or which has not been touched for a while, is taken over. Locks of the operating system
(`flock`) do not work on many network file systems, and are not used.
"""

import json
import os
import socket
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path

from preprocessing.atomic import write_whole
from preprocessing.errors import UserError
from preprocessing.json_file import read_json

LOCK_FILE = ".lock"
TOUCHED_EVERY = 10.0  # seconds
ABANDONED_AFTER = 120.0  # seconds without a touch, by the clock of the file system

_held: Counter[Path] = Counter()  # locks of this process, and by how many of its objects each is held
_guard = threading.RLock()


class LockError(UserError):
    """Another process writes to a folder; the text is one line that names it and says what to do."""


class FolderLock:
    """The right to write to a folder, which one process at a time has; it ends with `release`, or with the object.

    Several objects of one process may hold it.

    Args:
        folder: an existing folder.

    Raises:
        LockError: another process holds it.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.file = folder.resolve() / LOCK_FILE
        with _guard:
            if not _held[self.file]:
                _acquire(self.file)
            _held[self.file] += 1
        _touch_from_now_on()
        self._release = weakref.finalize(self, _give_back, self.file)

    def release(self) -> None:
        """Give the folder to others; calling it again changes nothing."""
        self._release()

    def check(self) -> None:
        """Check that the lock is still this process's: one that slept for minutes may have lost it.

        Raises:
            LockError: another process has taken it over.
        """
        if self._release.alive and not _is_mine(_read(self.file)):
            raise LockError(f"{self.file.parent}: another command took this folder over; {_WAIT}")


_WAIT = "let one of them end, then run this one again"


def _acquire(file: Path) -> None:
    """Create the lock file, or take over one that is abandoned."""
    for _ in range(20):
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            holder = _read(file)
            if _is_mine(holder):
                return
            if not file.exists():
                continue
            if not _is_abandoned(holder, file):
                raise LockError(_busy(holder, file)) from None
            if _take_over(file):
                return
            continue
        with open(descriptor, "w") as opened:
            opened.write(json.dumps(_myself()))
        return
    raise LockError(f"{file.parent}: several commands started to write here at the same time; {_WAIT}")


def _take_over(file: Path) -> bool:
    """Replace an abandoned lock; of several processes that do so at once the last one wins."""
    write_whole(file, json.dumps(_myself()))
    time.sleep(0.3)
    return _is_mine(_read(file))


def _busy(holder: dict, file: Path) -> str:
    if not holder:
        return f"{file.parent}: another command is beginning to write here; {_WAIT}"
    began = datetime.fromtimestamp(holder["since"]).strftime("%Y-%m-%d %H:%M")
    return (
        f"{file.parent}: process {holder['process']} on {holder['host']} has been writing here since {began}; "
        f"wait until it ends, or stop it, and run this command again"
    )


def _myself() -> dict:
    return {**_identity(), "since": time.time()}


def _identity() -> dict:
    """Tell this process from every other one: its number, when it started, and the host, boot and container."""
    process = os.getpid()
    return {"process": process, "started": _start_of(process), "host": socket.gethostname(), "system": _system()}


def _system() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _start_of(process: int) -> str:
    """Return when a process started, in ticks since the boot; "" where it is not known or there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _read(file: Path) -> dict:
    """Read who holds a lock; empty where the file is gone, is just being written or is damaged."""
    kinds = {"process": int, "started": str, "host": str, "system": str}
    with suppress(OSError, ValueError, TypeError, KeyError):
        holder = read_json(file)
        if all(type(holder.get(name)) is kind for name, kind in kinds.items()):
            return {**holder, "since": float(holder["since"])}
    return {}


def _is_mine(holder: dict) -> bool:
    return all(holder.get(name) == value for name, value in _identity().items())


def _is_abandoned(holder: dict, file: Path) -> bool:
    if holder and holder["host"] == socket.gethostname() and holder["system"] == _system():
        return not _runs(holder["process"]) or holder["started"] != _start_of(holder["process"])
    return _age(file) > ABANDONED_AFTER


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(file: Path) -> float:
    """Return for how long a file was not touched, seconds, by the clock of its own file system."""
    clock = file.with_name(f"{LOCK_FILE}.{socket.gethostname()[:64]}-{os.getpid()}.part")
    try:
        clock.write_bytes(b"")
        return clock.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:  # released meanwhile
        return 0.0
    finally:
        clock.unlink(missing_ok=True)


def _give_back(file: Path) -> None:
    with _guard:
        _held[file] -= 1
        if _held[file] <= 0:
            del _held[file]
            if _is_mine(_read(file)):
                file.unlink(missing_ok=True)


@cache
def _touch_from_now_on() -> None:
    threading.Thread(target=_touch, daemon=True, name="lock").start()


def _touch() -> None:
    while True:
        time.sleep(TOUCHED_EVERY)
        with _guard:
            files = list(_held)
        for file in files:
            try:
                if _is_mine(_read(file)):
                    os.utime(file)
            except OSError:  # its holder learns of it when it writes
                continue
