"""What keeps patients out of a dataset: the key of their hashes, and files only their owner may read.

The key and the lists that undo the pseudonyms lie next to a dataset, never in it.
"""

import csv
import errno
import hashlib
import hmac
import io
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.atomic import write_whole
from preprocessing.errors import system_errors_as
from preprocessing.shards.format import DATASET_FILE, DOUBTFUL_FILE, REJECTED_FILE, DataError


@dataclass(frozen=True)
class Key:
    """The key of the hashes that stand for patients.

    Attributes:
        file: Path. The file that holds it.
        secret: bytes. Left out of `repr`.
    """

    file: Path
    secret: bytes = field(repr=False)

    def pseudonym(self, identity: str) -> str:
        """Return sixteen hexadecimal digits that stand for a patient."""
        return keyed_hash(self.secret, identity)

    def fingerprint(self, work: Sequence) -> str:
        """Hash a work list, which may name patients, so that a rerun can compare it."""
        return hmac.new(self.secret, json.dumps(work).encode(), hashlib.sha256).hexdigest()


def keyed_hash(secret: bytes, text: str) -> str:
    """Return the first sixteen hexadecimal digits of an HMAC-SHA-256."""
    return hmac.new(secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:16]


def open_output(output: Path, key: str | os.PathLike | None) -> Key:
    """Create the folder of a dataset and read the key of its subjects' hashes.

    Args:
        output: Absolute path of the folder.
        key: File with the key; made when absent. None: `<output>.key`.

    Raises:
        DataError: The folder cannot be written, or the key neither read nor made.
    """
    _make_writable(output)
    path = _key_file(output, key)
    if output == path or output in path.parents:
        raise DataError(f"--key {path}: must lie outside --output, because it links images to patients")
    return Key(path, _read_secret(path, output))


def private_list(output: Path, noun: str, key: str | os.PathLike | None) -> Path:
    """Find the list that tells where the entries of a dataset come from, `<output>.<noun>s.csv` next to its key.

    Args:
        output: Absolute path of the dataset's folder.
        noun: What an entry is, as of `Origins`.
        key: As of `open_output`.
    """
    return _key_file(output, key).with_name(f"{output.name}.{noun}s.csv")


def _key_file(output: Path, key: str | os.PathLike | None) -> Path:
    return Path(key).resolve() if key else output.with_name(output.name + ".key")


def _make_writable(output: Path) -> None:
    with system_errors_as(DataError, f"--output {output}", cure="choose another folder"):
        output.mkdir(parents=True, exist_ok=True)
        if not os.access(output, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _read_secret(path: Path, output: Path) -> bytes:
    """Read the key; a new one, readable by its owner only, is made when it is not there."""
    with system_errors_as(
        DataError, path, "the key can be neither read nor created", "choose another place with --key"
    ):
        if not path.exists():
            if (output / DATASET_FILE).exists():
                raise DataError(
                    f"{path}: the key of the dataset in {output} is not there; "
                    "name it with --key, or choose another output folder"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_hex(32) + "\n")
        secret = path.read_bytes().strip()
    if len(secret) < 16:
        raise DataError(f"--key {path}: must hold at least 16 characters")
    return secret


@dataclass(frozen=True)
class Origins:
    """Where the entries of a work list come from.

    Attributes:
        key: Key. The private list of origins is written next to its file, as `private_list` names it.
        noun: str. What an entry is: "film", "lesion".
        column: str. Name of the list's column that says where an entry comes from: "file", "place".
        places: sequence. Where each entry comes from, in the order of the work list.
    """

    key: Key
    noun: str
    column: str
    places: Sequence

    def write_lists(self, output: Path, rejected: Mapping[int, str], doubtful: Sequence[tuple[int, str]] = ()) -> None:
        """Write `rejected.csv` and, where something is doubtful, `doubtful.csv`, by number, into the dataset.

        Which number is which is written privately, next to the key.

        Args:
            rejected: Reasons by number in the work list.
            doubtful: (number in the work list, reason) of what was used.

        Raises:
            DataError: A list cannot be written.
        """
        used = [number for number in range(len(self.places)) if number not in rejected]
        item = {number: index for index, number in enumerate(used)}
        rows: list[tuple[object, ...]] = [(self.noun, "item", self.column)]
        rows += [(number, item.get(number, ""), place) for number, place in enumerate(self.places)]
        private = private_list(output, self.noun, self.key.file)
        with system_errors_as(DataError, output, f"its lists of {self.noun}s cannot be written"):
            write_whole(output / REJECTED_FILE, _csv_of([(self.noun, "reason"), *sorted(rejected.items())]))
            if doubtful:
                write_whole(output / DOUBTFUL_FILE, _csv_of([(self.noun, "reason"), *doubtful]))
            else:
                (output / DOUBTFUL_FILE).unlink(missing_ok=True)
            write_private(private, _csv_of(rows))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; bytes of names that are not UTF-8 are kept."""
    write_whole(path, text.encode("utf-8", "surrogateescape"), private=True)


def _csv_of(rows: Sequence[Sequence]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
