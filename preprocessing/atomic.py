"""Files that are whole or not there: written under a temporary name, flushed to disk, then renamed."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEFT_OVER = re.compile(
    r"\..+-\d+\.part(\.\w+)?|(shard-\d{5,}-of-\d{5,}\.h5|dataset\.json)\.part|checkpoint-\d+\.partial"
)


@contextmanager
def whole_file(path: str | os.PathLike, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; rename it to `path` at the end, or remove it if that fails.

    The temporary name holds process and host, so that two commands never write to the same one, and keeps the ending
    of `path`, by which some writers choose a format. What was written is on disk before it is renamed: after a power
    cut the file is the former one or the new one.

    Args:
        path: final name; its folder is created.
        private: whether only the owner may read the file.

    Yields:
        A path in the same folder. Whatever is written there replaces `path` in one step.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem[:100]}.{socket.gethostname()[:64]}-{os.getpid()}.part{path.suffix}")
    try:
        if private:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.filename is None:  # a full disk is noticed by a write, which knows no name
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, content: bytes | str, *, private: bool = False) -> None:
    """Write a file, text as UTF-8, in one step: a kill or a full disk leaves the former file or none.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path, private=private) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def is_left_over(path: Path) -> bool:
    """Tell whether a file is a temporary one that a killed command left, by its name."""
    return _LEFT_OVER.fullmatch(path.name) is not None


def remove_left_over(folder: Path, *, below: bool = False) -> None:
    """Remove the temporary files that killed commands left in a folder, with `below` in its subfolders too.

    No other command may be writing there.
    """
    for path in list(folder.rglob("*") if below else folder.iterdir()):
        if is_left_over(path) and not path.is_dir():
            path.unlink(missing_ok=True)
