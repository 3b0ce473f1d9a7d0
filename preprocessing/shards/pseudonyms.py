"""What keeps patients out of a dataset: the key of their hashes, and files only their owner may read.

The key and the lists that undo the anonymity lie beside a dataset, never in it.
"""

import csv
import errno
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocessing.shards.dataset import DATASET_FILE, DataError

REJECTED_FILE = "rejected.csv"


def open_output(output: Path, key: str | os.PathLike | None) -> tuple[Path, bytes]:
    """Create the folder of a dataset and read the key of its subjects' hashes.

    output: absolute.
    key: file with the key; made when absent. None: `<output>.key`.

    Returns the file of the key, and the key. Raises DataError when one of them cannot be used.
    """
    _make_writable(output)
    path = _outside(Path(key).resolve() if key else output.with_name(output.name + ".key"), output)
    return path, _read_key(path, output)


def _make_writable(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise DataError(f"--output {output}: cannot be written ({error.strerror}); choose another folder") from error


def _outside(key_file: Path, output: Path) -> Path:
    if output == key_file or output in key_file.parents:
        raise DataError(f"--key {key_file}: must lie outside --output, it undoes the anonymity")
    return key_file


def _read_key(path: Path, output: Path) -> bytes:
    """The key; made, readable by its owner only, when it is not there."""
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


def keyed_fingerprint(key: bytes, work: Sequence) -> str:
    """What a rerun compares: the work list, which may name patients, hashed with the key."""
    return hmac.new(key, json.dumps(work).encode(), hashlib.sha256).hexdigest()


def write_lists(
    output: Path, beside: Path, kind: str, column: str, places: Sequence, rejected: Mapping[int, str]
) -> None:
    """`rejected.csv` by number in the work list, in the dataset; which number is which, privately, beside the key.

    beside: the file of the key; the private list is `<output>.<kind>s.csv` in its folder.
    kind: what the work list is of: "film", "lesion".
    column, places: name of the private list's column that tells which is which, and its values.
    rejected: reason by number.

    Raises DataError when they cannot be written.
    """
    used = [number for number in range(len(places)) if number not in rejected]
    item = {number: index for index, number in enumerate(used)}
    rows = [(kind, "item", column), *((n, item.get(n, ""), place) for n, place in enumerate(places))]
    private = beside.with_name(f"{output.name}.{kind}s.csv")
    try:
        _write_csv(output / REJECTED_FILE, [(kind, "reason"), *sorted(rejected.items())])
        write_private(private, "")
        _write_csv(private, rows)
    except OSError as error:
        raise DataError(f"{output}: its lists of {kind}s cannot be written ({error.strerror})") from error


def _write_csv(path: Path, rows: Sequence[Sequence]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
