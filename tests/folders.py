"""Looking into run directories and other folders."""

import json
from pathlib import Path

from preprocessing.lock import LOCK_FILE


def quiet(line: str) -> None:
    """An `echo` that says nothing."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def hold(folder: Path) -> None:
    """Lock a folder as a command on another machine does."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = {"process": 1, "started": "1", "host": "elsewhere", "system": "", "since": 0.0}
    (folder / LOCK_FILE).write_text(json.dumps(holder))


def flip_a_byte(path: Path, at: int = -100) -> None:
    """Damage a file, by one bit of the byte at `at`."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def records(run: Path) -> list[dict]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def without_times(run: Path) -> list[dict]:
    """The lines of a run's log, less what no two runs share."""
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in r.items() if name not in timed} for r in records(run)]
