"""A folder of single image files: what it holds is recorded, and it never holds images of two generators."""

import json
import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from preprocessing.atomic import remove_left_over, write_whole
from preprocessing.counted import counted
from preprocessing.errors import system_errors_as
from preprocessing.json_file import read_json
from preprocessing.shards import DataError
from preprocessing.version import SOFTWARE, made_by

RECORD = "provenance.json"
_PNG_HEAD = 8 + 25  # bytes of the signature and of the IHDR chunk, after which text may stand


def encoded_png(image: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """Encode an image in [0, 1] with 16 bits, or a bool mask as 0 and 255, with text chunks.

    Args:
        text: keyword → text (PNG 3rd edition, section 11.3.3: tEXt, or iTXt where it is not Latin-1).
    """
    pixels = image.astype(np.uint8) * 255 if image.dtype == bool else np.round(image * 65535).astype(np.uint16)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    chunks = b"".join(_text_chunk(keyword, value) for keyword, value in (text or {}).items())
    return content[:_PNG_HEAD] + chunks + content[_PNG_HEAD:]


def image_text(title: str, description: str, source: str, row: Mapping[str, object]) -> dict[str, str]:
    """Return the text chunks of a PNG of a synthetic image (predefined keywords: PNG 3rd edition, section 11.3.3.1).

    Args:
        title: what the image is, "mammogram 7".
        source: the network that drew it.
        row: what the manifest says of the image.
    """
    made = made_by()
    return {
        "Title": f"SYNTHETIC {title}",
        "Description": description,
        "Disclaimer": "Not for diagnosis.",
        "Software": f"{SOFTWARE} {made['version']}",
        "Source": source,
        "Comment": json.dumps({**row, "libraries": made["libraries"]}),
    }


def _text_chunk(keyword: str, value: str) -> bytes:
    try:
        kind, data = b"tEXt", keyword.encode("latin-1") + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        kind, data = b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + value.encode()
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def open_folder(folder: Path, plan: Mapping, count: int) -> dict:
    """Record in a folder what is written to it, or check that what is there was made in the same way.

    Args:
        folder: of the images, made and locked by `preprocessing.shards.lock_folder`.
        plan: what decides the images: generator, seed, masks, format.
        count: images to be written.

    Returns:
        The record: plan, count, when the folder was begun, and the software.

    Raises:
        DataError: the folder holds something else, more images than `count`, or cannot be written.
    """
    plan = json.loads(json.dumps(plan))
    path = folder / RECORD
    with system_errors_as(DataError, f"--output {folder}"):
        if path.exists():
            there = _read(path)
            _compare(folder, there, plan, count)
            remove_left_over(folder, below=True)
            begun = there["begun"]
        else:
            if any(not file.name.startswith(".") for file in folder.iterdir()):
                raise DataError(
                    f"--output {folder}: is not empty and holds no images of this command; choose another folder"
                )
            begun = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"format": 1, "plan": plan, "count": count, "begun": begun, **made_by()}
        write_whole(path, json.dumps(record, indent=1) + "\n")
    return record


def _read(path: Path) -> dict:
    try:
        content = read_json(path)
        if not isinstance(content["plan"], dict):
            raise TypeError
        int(content["count"]), datetime.fromisoformat(content["begun"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as the record of a folder; choose another output folder") from error
    return content


def _compare(folder: Path, there: Mapping, plan: Mapping, count: int) -> None:
    for name in (*plan, *there["plan"]):
        old, new = there["plan"].get(name), plan.get(name)
        if old != new:
            raise DataError(
                f"--output {folder}: holds images made with {name} {old}, not {new}; choose another folder, or empty it"
            )
    if there["count"] > count:
        raise DataError(
            f"--output {folder}: was begun for {counted(there['count'], 'image')}, not {count}; "
            "choose another folder, or empty it"
        )
