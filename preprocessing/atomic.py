"""Files that are whole or not there: written under a temporary name, then renamed."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path to write; rename it to `path` at the end, or remove it if that fails.

    The temporary name holds process and host, so that two commands never write to the same one, and keeps the ending
    of `path`, by which some writers choose a format.

    Args:
        path: final name; its folder is created.

    Yields:
        A path in the same folder. Whatever is written there replaces `path` in one step.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{socket.gethostname()}-{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: str | os.PathLike, content: bytes | str) -> None:
    """Write a file, text as UTF-8, in one step: a kill or a full disk leaves the former file or none.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
