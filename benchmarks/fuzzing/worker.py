"""The process in which many mutations are tried one after the other, watched for what it opens, prints and needs."""

import os
import resource
import shutil
import sys
import sysconfig
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.fuzzing import mutations
from benchmarks.fuzzing.commands import ROOT, Done, call, command
from benchmarks.fuzzing.targets import TARGETS

OUTCOMES = (
    "accepted", "one line", "several lines", "traceback", "stray line", "outside", "crash", "hang", "memory", "mutation"
)  # fmt: skip
_WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree",
           "os.chmod", "os.chown", "os.utime", "shutil.move")  # fmt: skip
_READABLE = ("/proc", "/sys", "/dev", "/etc/localtime", "/etc/mime.types", "/usr/share", "/usr/lib", "/lib")


def serve(connection: Connection, work: Path, seeds: Path, seed: int, heavy: bool) -> None:
    """Answer (target, number) with (outcome, detail) until there is no more."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    (work / "temporary").mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(work / "temporary")
    terminal = open(work / "terminal", "w+b", buffering=0)
    os.dup2(terminal.fileno(), 1)
    os.dup2(terminal.fileno(), 2)
    if heavy:
        command("train_mask_embed")  # TensorFlow's own words while it is imported are not those of a mutation
    watch = Watch(work, seeds)
    try:
        while (job := connection.recv()) is not None:
            connection.send(_tried(*job, work, seeds, seed, watch, terminal))
    except EOFError:
        return


def _tried(target, number, work: Path, seeds: Path, seed: int, watch: "Watch", terminal) -> tuple[str, str]:
    case = work / "case"
    shutil.rmtree(case, ignore_errors=True)
    case.mkdir()
    shutil.copytree(seeds / "outside", work / "outside", dirs_exist_ok=True)
    mutations.whole = number < 0
    rng = np.random.default_rng([seed, zlib.crc32(target.encode()), abs(number)])
    try:
        name, arguments, path, said = TARGETS[target].prepare(seeds, case, rng)
    except Exception as error:  # noqa: BLE001, the damage itself failed
        return "mutation", f"{type(error).__name__}: {error}"
    shutil.copy(path, work / "damaged")
    os.chdir(case)
    terminal.seek(0)
    terminal.truncate()  # what was said while the damage was done
    with watch.on():
        done = call(name, *arguments)
    terminal.seek(0)
    beneath = terminal.read().decode("utf-8", "replace").splitlines()
    outcome, detail = _judged(done, [line for line in beneath if line.strip()], watch.seen + _changed(work, seeds))
    return outcome, f"{said} | {path.name} | {name} | {detail}"


def _judged(done: Done, beneath: list[str], outside: list[str]) -> tuple[str, str]:
    if outside:
        return "outside", "; ".join(outside[:3])
    if done.error:
        return "traceback", done.error
    stray = [*done.stray, *beneath]
    if stray:
        return "stray line", stray[0][:160]
    lines = done.text.strip().splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    if done.code in (0, 3):
        return "accepted", "rejected" if done.code == 3 else ""
    if len(errors) == 1 and lines[-1] == errors[0] and done.code in (1, 2):
        return "one line", errors[0][:240]
    return "several lines", f"exit {done.code}: {' / '.join(lines[-4:])[:240]}"


def _changed(work: Path, seeds: Path) -> list[str]:
    """List files outside the case's folder that are not as they were."""
    found = {p.name: p.read_bytes() for p in (work / "outside").iterdir() if p.is_file()}
    before = {p.name: p.read_bytes() for p in (seeds / "outside").iterdir()}
    return [f"changed {name}" for name in before | found if before.get(name) != found.get(name)]


class Watch:
    """Notes files that are opened, made, renamed or removed outside the folders where that is right."""

    def __init__(self, work: Path, seeds: Path):
        self.seen: list[str] = []
        self._active = False
        written = (work / "case", work / "temporary", Path("/dev"))
        libraries = {Path(p) for p in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())}
        mounted = {p.resolve() for p in libraries} | libraries | {ROOT, ROOT.resolve()}
        self._write = tuple(f"{p}{os.sep}" for p in written)
        self._read = (*self._write, *(f"{p}{os.sep}" for p in (seeds, *mounted)), *_READABLE, *_caches())
        self._folders = (str(work / "case"), str(work / "temporary"))
        sys.addaudithook(self._hook)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Note what happens within."""
        self.seen, self._active = [], True
        try:
            yield
        finally:
            self._active = False

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self._active or (event != "open" and event not in _WRITES):
            return
        self._active = False  # what follows may open files itself
        try:
            for given in arguments[: 2 if event in ("os.rename", "os.link", "shutil.move") else 1]:
                if isinstance(given, str | bytes | os.PathLike):
                    self._check(event, os.path.realpath(os.path.abspath(os.fsdecode(given))), arguments)
        except (ValueError, OSError):  # a name that is none
            return
        finally:
            self._active = True

    def _check(self, event: str, path: str, arguments: tuple) -> None:
        flags = arguments[2] if event == "open" and len(arguments) > 2 and isinstance(arguments[2], int) else 0
        writes = event != "open" or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes and ("__pycache__" in path or path.startswith(_caches())):
            return
        if not path.startswith(self._write if writes else self._read) and path not in self._folders:
            self.seen.append(f"{event} {path}")


def _caches() -> tuple[str, ...]:
    """Folders in which libraries keep what they compile, draw or pass between processes."""
    home = os.path.expanduser("~")
    return (f"{home}/.cache", f"{home}/.config", f"{home}/.keras")
