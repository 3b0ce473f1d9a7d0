"""What each entry of a work list was made from, so that a rerun sees every correction and converts nothing twice.

`work.jsonl` in a dataset has a line for each shard: of each entry, rejected ones included, a keyed hash of its name, of
what else decided its item (its row in a table, which mask), of its files' sizes and times, and of their content. Nobody
without the key can tell a name or a file from it. Files whose size and times are as before are not read again.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from preprocessing.json_file import parse_json
from preprocessing.shards.format import WORK_FILE
from preprocessing.shards.pseudonyms import Key

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a work list, as a rerun tells it from others.

    Attributes:
        name: What it is called; no two entries share a name.
        settings: What decides its item besides its files and the options of the command; as JSON can write it.
        files: What is read for it.
    """

    name: str
    settings: Sequence
    files: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Made:
    """What is kept of an entry that was converted: hashes, and how its patient was told from others."""

    name: str
    settings: str
    stamp: str
    content: str
    told_by: str = ""


class Sources:
    """The entries of a work list, in its order, hashed."""

    def __init__(self, key: Key, entries: Sequence[Entry]):
        self.key, self.files = key, [entry.files for entry in entries]
        self.made = [
            Made(
                key.pseudonym(f"name {entry.name}"),
                key.pseudonym(f"settings {json.dumps(entry.settings)}"),
                key.pseudonym(f"stamp {[_stamp(file) for file in entry.files]}"),
                "",
            )
            for entry in entries
        ]

    def converted(self, number: int, digest: str, told_by: str) -> Made:
        """Return what to keep of an entry.

        Args:
            number: In the work list.
            digest: Of its files, from `digest_of`.
            told_by: How its patient was told from others; "" where that is not known.
        """
        return replace(self.made[number], content=self.key.pseudonym(f"content {digest}"), told_by=told_by)

    def unchanged(self, former: Mapping[int, Made]) -> set[int]:
        """Find the entries that are as they were; files that look touched are read.

        Args:
            former: What was kept of each entry, by its number now.
        """
        alike = [n for n, made in former.items() if made.settings == self.made[n].settings]
        same = {n for n in alike if former[n].stamp == self.made[n].stamp}
        touched = [n for n in alike if n not in same]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            digests = threads.map(lambda n: digest_of(self.files[n]), touched)
            contents = [self.converted(n, digest, "").content for n, digest in zip(touched, digests, strict=True)]
        return same | {n for n, content in zip(touched, contents, strict=True) if content == former[n].content}


def digest_of(files: Sequence[Path]) -> str:
    """Hash the content of files; one that cannot be read has a hash as well."""
    whole = hashlib.sha256()
    for path in files:
        try:
            whole.update(_content(path))
        except OSError as error:
            whole.update(f"unreadable {error.errno}".encode())
        except ValueError:  # a name that no file can have
            whole.update(b"unreadable")
    return whole.hexdigest()


def _content(path: Path) -> bytes:
    """Length and CRC-32: they tell an edit from a touch at a third of the cost of SHA-256."""
    from imagecodecs import deflate_crc32  # six times as fast as that of zlib

    if not stat.S_ISREG(path.stat().st_mode):
        return b"no file"
    checksum = length = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_CHUNK):
            checksum = deflate_crc32(block, checksum)
            length += len(block)
    return f"{length} {checksum}".encode()


def size_of(path: Path) -> int:
    """Return the size of a file; −1 where there is none."""
    return _stamp(path)[0]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (-1, error.errno or 0)
    except ValueError:  # a name that no file can have
        return (-1, 0)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


# ------------------------------------------------------------------------------------------ the log


def append_to_log(folder: Path, first: int, made: Sequence[Made]) -> None:
    """Note what the entries of a shard were made from, before the shard is written.

    Args:
        first: Number of the first of them in the work list.

    Raises:
        OSError: The log cannot be written.
    """
    entries = [astuple(one) for one in made]
    with open(folder / WORK_FILE, "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:  # what a kill or a full disk cut short must not join this line
            file.seek(size - 1)
            file.write(b"" if file.read(1) == b"\n" else b"\n")
        file.write(json.dumps({"first": first, "entries": entries}).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_log(folder: Path) -> dict[int, Made]:
    """Read what entries were made from, by number; of several notes the last counts. Damaged lines are passed over."""
    path = folder / WORK_FILE
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    found: dict[int, Made] = {}
    for line in lines:
        with suppress(ValueError):
            found.update(_entries_of(parse_json(line)))
    return found


def _entries_of(line: Any) -> Iterator[tuple[int, Made]]:
    if not isinstance(line, dict) or type(line.get("first")) is not int or not isinstance(line.get("entries"), list):
        return
    for number, entry in enumerate(line["entries"], start=line["first"]):
        if isinstance(entry, list) and len(entry) == 5 and all(isinstance(text, str) for text in entry):
            yield number, Made(*entry)
