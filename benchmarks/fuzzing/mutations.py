"""Damage: to bytes, and to what a format's own structure says."""

import csv
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import h5py
import numpy as np
import pydicom
from numpy.random import Generator
from pydicom.datadict import dictionary_VR, tag_for_keyword

OUTSIDE = "../outside/secret.txt"
NUMBERS = (0, -1, 1, 2, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30, 1e-300, 1e308)
TEXTS = ("", " ", "\0", "é", "\ud800", "x" * 100_000, OUTSIDE, "/etc/passwd", "..", "nan", "inf", "-1", "1e999", "0x10")
TEXTS += ("\n\n", '"', ",,,", "=1+1", "<script>", "%s%n", "[red]", "None", "\u202e", "𝟙")
VALUES = (None, True, False, [], {}, [[]], float("nan"), float("inf"), *NUMBERS, *TEXTS)

Mutate = Callable[[Path, Generator], str]  # damages a file in place; says how
whole = False  # whether files stay as they are: then every command must accept them


def _unless_whole(mutate: Mutate) -> Mutate:
    @wraps(mutate)
    def mutated(path: Path, rng: Generator) -> str:
        return "whole" if whole else mutate(path, rng)

    return mutated


def pick(rng: Generator, options):
    """Choose one of a sequence."""
    return options[int(rng.integers(len(options)))]


# ------------------------------------------------------------------------------------------ bytes


_BYTES = ("flip", "flips", "head", "cut", "clear", "noise", "insert", "delete", "repeat", "extreme", "swap")


@_unless_whole
def mutate_bytes(path: Path, rng: Generator) -> str:
    """Flip, cut, repeat, insert or clear bytes."""
    content = bytearray(path.read_bytes())
    size = len(content)
    kind = pick(
        rng, ("flip", "flips", "head", "cut", "clear", "noise", "insert", "delete", "repeat", "extreme", "swap")
    )
    # Headers are at the beginning: half of all damage is there.
    at = int(rng.integers(max(1, min(size, 512) if rng.random() < 0.5 else size)))
    length = int(rng.integers(1, 1 + min(4096, max(1, size // 4))))
    if kind in ("flip", "flips", "head"):
        for _ in range({"flip": 1, "flips": 16, "head": 4}[kind]):
            place = int(rng.integers(max(1, min(size, 256) if kind == "head" else size)))
            if size:
                content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        content = content[:at]
    elif kind == "clear":
        content[at : at + length] = bytes(min(length, size - at))
    elif kind == "noise":
        content[at : at + length] = rng.bytes(min(length, size - at))
    elif kind == "insert":
        content[at:at] = rng.bytes(length)
    elif kind == "delete":
        del content[at : at + length]
    elif kind == "repeat":
        content[at:at] = content[at : at + length] * 3
    elif kind == "extreme":
        value = pick(rng, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        content[at : at + 4] = value
    else:
        other = int(rng.integers(max(1, size)))
        content[at : at + length], content[other : other + length] = (
            content[other : other + length],
            content[at : at + length],
        )
    path.write_bytes(bytes(content))
    return f"bytes {kind} at {at}"


# ------------------------------------------------------------------------------------------ DICOM

_ELEMENTS = (
    "Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation "
    "NumberOfFrames WindowCenter WindowWidth WindowCenterWidthExplanation VOILUTFunction RescaleSlope RescaleIntercept "
    "PixelPaddingValue PixelPaddingRangeLimit PatientID PatientOrientation ImageLaterality ViewPosition Modality "
    "SOPClassUID ImageType SeriesDescription PresentationIntentType PresentationLUTShape StudyInstanceUID "
    "PixelIntensityRelationshipSign BodyPartExamined SpecificCharacterSet BreastImplantPresent PartialView "
    "EstimatedRadiographicMagnificationFactor PixelAspectRatio PlanarConfiguration"
).split()
_WORDS = ("", "X", "MONOCHROME1", "RGB", "SIGMOID", "L", "R\\P", "1.2.3", "\\", "é", "A" * 500, "\\ISO 2022 IR 87")


@_unless_whole
def mutate_dicom(path: Path, rng: Generator) -> str:
    """Give elements of a header values that nobody expects, or take them away; or damage the bytes."""
    if rng.random() < 0.5:
        return mutate_bytes(path, rng)
    target, said = io.BytesIO(), []
    try:
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(path, force=True)
            for _ in range(int(rng.integers(1, 4))):
                said.append(_spoil_element(dataset, pick(rng, _ELEMENTS), rng))
            if rng.random() < 0.1 and "PixelData" in dataset:
                dataset.PixelData = dataset.PixelData[: int(rng.integers(0, 64)) * 2]
                said.append("PixelData short")
            dataset.save_as(target, enforce_file_format=False)
    except Exception:  # noqa: BLE001, not everything can be written
        return mutate_bytes(path, rng)
    path.write_bytes(target.getvalue())
    return "dicom " + ", ".join(said)


def _spoil_element(dataset: pydicom.Dataset, keyword: str, rng: Generator) -> str:
    tag, vr = tag_for_keyword(keyword), dictionary_VR(keyword)
    if rng.random() < 0.25:
        dataset.pop(tag, None)
        return f"{keyword} gone"
    if vr in ("US", "SS", "US or SS"):
        vr, value = "US", int(pick(rng, (0, 1, 2, 7, 8, 12, 15, 16, 17, 32, 255, 4096, 65535)))
    elif vr in ("DS", "IS"):
        value = pick(rng, ("", "0", "-1", "1e308", "nan", "abc", "1\\2\\3", "99999999999", "0.0000001", "1e-308"))
    else:
        value = pick(
            rng,
            ("", "X", "MONOCHROME1", "RGB", "SIGMOID", "L", "R\\P", "1.2.3", "\\", "é", "A" * 500, "\\ISO 2022 IR 87"),
        )
    if rng.random() < 0.2:
        dataset[tag] = pydicom.DataElement(tag, "SQ", [pydicom.Dataset()])
    elif rng.random() < 0.2:
        dataset[tag] = pydicom.DataElement(tag, "UN", bytes(rng.bytes(int(rng.integers(0, 64)))))
    else:
        dataset[tag] = pydicom.DataElement(tag, vr, value)
    return f"{keyword}={str(value)[:20]!r}"


# ----------------------------------------------------------------------------------------- images


@_unless_whole
def mutate_image(path: Path, rng: Generator) -> str:
    """Damage an image file; of a PNG also what its header says of its size, with a right checksum."""
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG") or rng.random() < 0.7:
        return mutate_bytes(path, rng)
    width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
    sizes = (0, 1, 2**16, 2**20, 2**31 - 1, 2**32 - 1, width, height)
    header = struct.pack(
        ">IIBB", pick(rng, sizes), pick(rng, sizes), pick(rng, (1, 8, 16, bits)), pick(rng, (0, 2, 3, 4, 6, colour))
    )
    body = b"IHDR" + header + content[26:29]
    path.write_bytes(content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:])
    return f"png header {struct.unpack('>IIBB', header)}"


# ------------------------------------------------------------------------------------------ texts


@_unless_whole
def mutate_json(path: Path, rng: Generator) -> str:
    """Replace, remove or repeat a node of a JSON file, or of a line of one."""
    if rng.random() < 0.25:
        return mutate_bytes(path, rng)
    text = path.read_text(errors="replace")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    at = int(rng.integers(len(lines)))
    try:
        root = [json.loads(lines[at])]
    except (ValueError, IndexError):
        return mutate_bytes(path, rng)
    said = [_spoil_node(root, rng) for _ in range(int(rng.integers(1, 3)))]
    lines[at] = json.dumps(root[0])
    if rng.random() < 0.05:
        lines[at] = "[" * 100_000
        said.append("deep")
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return "json " + ", ".join(said)


def _spoil_node(root: list, rng: Generator) -> str:
    places = [(root, 0)]
    for holder, key in places:  # grows while it is walked
        value = holder[key]
        if isinstance(value, dict | list) and len(places) < 5000:
            places += [(value, name) for name in (value if isinstance(value, dict) else range(len(value)))]
    holder, key = pick(rng, places)
    if isinstance(holder, dict) and rng.random() < 0.25:
        del holder[key]
        return f"{key} gone"
    holder[key] = pick(rng, VALUES)
    return f"{key}={str(holder[key])[:20]!r}"


_TABLES = ("cell", "cell", "cells", "drop column", "double column", "drop row", "double row", "empty", "header")


@_unless_whole
def mutate_table(path: Path, rng: Generator) -> str:
    """Spoil cells, columns or lines of a CSV file."""
    if rng.random() < 0.25:
        return mutate_bytes(path, rng)
    rows = list(csv.reader(io.StringIO(path.read_text(errors="replace"))))
    kind = pick(
        rng, ("cell", "cell", "cells", "drop column", "double column", "drop row", "double row", "empty", "header")
    )
    row, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
    if kind.startswith("cell"):
        for _ in range(1 if kind == "cell" else 5):
            row, column = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
            rows[row][column] = str(pick(rng, VALUES))
    elif kind == "drop column":
        rows = [cells[:column] + cells[column + 1 :] for cells in rows]
    elif kind == "double column":
        rows = [[*cells, cells[column]] for cells in rows]
    elif kind == "drop row":
        del rows[row]
    elif kind == "double row":
        rows.append([*rows[row][:-1], "other"])
    elif kind == "header":
        rows[0] = [name.upper() for name in rows[0]]
    else:
        rows = []
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    encoding = pick(rng, ("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig"))
    path.write_bytes(text.getvalue().encode(encoding, "surrogatepass" if encoding != "utf-8" else "replace"))
    return f"table {kind} in {encoding}"


@_unless_whole
def mutate_text(path: Path, rng: Generator) -> str:
    """Spoil words of a text file."""
    if rng.random() < 0.3:
        return mutate_bytes(path, rng)
    words = path.read_text().split(" ")
    for _ in range(int(rng.integers(1, 4))):
        words[int(rng.integers(len(words)))] = str(pick(rng, VALUES))
    path.write_bytes(" ".join(words).encode("utf-8", "replace"))
    return "words"


# ------------------------------------------------------------------------------------------- HDF5


_ARRAYS = ("gone", "type", "shape", "external link", "soft link", "external storage", "virtual", "chunks", "values")
_ARRAYS += ("attribute", "loop")


@_unless_whole
def mutate_hdf5(path: Path, rng: Generator) -> str:
    """Replace, remove or link away arrays and attributes of an HDF5 file; or damage its bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(path, rng)
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        name = pick(rng, names)
        kind = pick(rng, _ARRAYS)
        return f"hdf5 {name} {_spoil_array(file, name, kind, rng)}"


def _spoil_array(file: h5py.File, name: str, kind: str, rng: Generator) -> str:
    old = file[name][()]
    shape, dtype = np.shape(old), np.asarray(old).dtype
    if kind == "values" and dtype.kind in "iuf" and shape:
        value = pick(rng, (np.nan, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max))
        file[name][...] = value
        return f"is {value}"
    if kind == "attribute":
        node = pick(rng, (file, file[name], file[name].parent))
        keys = list(node.attrs)
        key = pick(rng, keys) if keys else "classes"
        value = pick(
            rng,
            [
                v
                for v in VALUES
                if isinstance(v, int | float | str)
                and not isinstance(v, bool)
                and abs(v if not isinstance(v, str) else 0) < 2**63
                and "\0" not in str(v)
                and "\ud800" not in str(v)
                and len(str(v)) < 9999
            ],
        )
        node.attrs[key] = value
        return f"attribute {key}={str(value)[:20]!r}"
    spoiled = None
    if kind == "type" and dtype.kind != "O":
        of_type = pick(rng, ("S3", "<f8", "<i8", "|i1"))  # of text no number can be made
        spoiled = np.zeros(shape, of_type) if dtype.kind == "S" else np.asarray(old).astype(of_type, casting="unsafe")
    elif kind == "shape":
        spoiled = np.zeros(pick(rng, ((), (0,), (1,), (2**20,), (3, 3, 3, 3))), dtype if dtype.kind != "O" else "u1")
    del file[name]
    if kind == "external link":
        file[name] = h5py.ExternalLink(pick(rng, ("../outside/secret.h5", "/etc/passwd")), "/x")
    elif kind == "soft link":
        file[name] = h5py.SoftLink(pick(rng, ("/nothing", "/" + name)))
    elif kind == "loop":
        file[name] = file["/"]
    elif kind == "external storage":
        size = max(1, int(np.prod(shape, dtype=object)) * dtype.itemsize)
        file.create_dataset(name, shape or (1,), dtype, external=[(pick(rng, (OUTSIDE, "/etc/passwd")), 0, size)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape or (1,), dtype)
        layout[...] = h5py.VirtualSource("../outside/secret.h5", "x", shape or (1,), dtype)
        file.create_virtual_dataset(name, layout)
    elif kind == "chunks" and shape:
        file.create_dataset(name, data=old, chunks=True, compression="gzip")
    elif kind in ("type", "shape") and spoiled is not None:
        file.create_dataset(name, data=spoiled)
    return kind


# ------------------------------------------------------------------------------------------ .keras


@_unless_whole
def mutate_keras(path: Path, rng: Generator) -> str:
    """Spoil a member of a saved model: its configuration, its weights, or the archive."""
    if rng.random() < 0.3:
        return mutate_bytes(path, rng)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = pick(rng, [*members, "config.json", "config.json"])
    draft = path.with_name("member" + (os.path.splitext(name)[1] or ".bin"))
    draft.write_bytes(members[name])
    said = (mutate_json if name.endswith(".json") else mutate_hdf5)(draft, rng)
    members[name] = draft.read_bytes()
    draft.unlink()
    if rng.random() < 0.1:
        members["../outside/written.txt"] = b"written"
        said += ", leaves the archive"
    if name == "config.json" and rng.random() < 0.2:
        lambda_layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "function": "x"}}
        members[name] = members[name].replace(b'"class_name": "LeakyReLU"', json.dumps(lambda_layer)[1:-1].encode(), 1)
        said += ", Lambda"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return f"keras {name}: {said}"
