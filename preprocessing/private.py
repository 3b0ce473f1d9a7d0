"""What keeps patients out of a dataset: the key of their hashes, and files only their owner may read.

The key and the lists that undo the anonymity lie beside a dataset, never in it.
"""

import csv
import errno
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from preprocessing.shards import DATASET_FILE, DataError


def make_writable(output: Path) -> None:
    """Create the folder of a dataset. Raises DataError when it cannot be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise DataError(f"--output {output}: cannot be written ({error.strerror}); choose another folder") from error


def outside(key_file: Path, output: Path) -> Path:
    """The path of a key. Raises DataError when it lies in the dataset."""
    if output == key_file or output in key_file.parents:
        raise DataError(f"--key {key_file}: must lie outside --output, it undoes the anonymity")
    return key_file


def read_key(path: Path, output: Path) -> bytes:
    """The key of the subjects' hashes; made, readable by its owner only, when it is not there."""
    try:
        if not path.exists():
            if (output / DATASET_FILE).exists():
                raise DataError(
                    f"{path}: the key of the dataset in {output} is not there; "
                    "name it with --key, or choose another output folder"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_hex(32) + "\n")
        secret = path.read_bytes().strip()
    except OSError as error:
        raise DataError(
            f"{path}: the key can neither be read nor made ({error.strerror}); choose another place with --key"
        ) from error
    if len(secret) < 16:
        raise DataError(f"--key {path}: must hold at least 16 characters")
    return secret


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def keyed_hash(key: bytes, text: str) -> str:
    """Sixteen hexadecimal digits that stand for a patient."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]


def write_csv(path: Path, rows: Sequence[Sequence]) -> None:
    """Write rows as a CSV file."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
