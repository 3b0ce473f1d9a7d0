"""The commands that are disturbed, all at tiny size, and what whole results they give."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pydicom

from benchmarks.interrupting.forked import Forked

ROOT = Path(__file__).parents[2]
PASSED_OVER = (".jsonl", ".key", ".log")  # logs hold times
TIMES = ("seconds", "seconds per 1000 images", "begun", "date")  # in descriptions


@dataclass(frozen=True)
class Command:
    """A command and its arguments; `{inputs}` is the folder of what it reads.

    Args:
        output: Arguments that say what it writes; `{output}` is the folder of its result.
        once: Whether it refuses to write a result again.
    """

    name: str
    arguments: Sequence[str]
    output: Sequence[str] = ("--output", "{output}")
    once: bool = False

    def words(self, inputs: Path, output: Path) -> list[str]:
        """Return the module's name and the arguments."""
        given = [argument.format(inputs=inputs, output=output) for argument in (*self.arguments, *self.output)]
        return [self.name, *given]


_TRAINED = ("--preset", "quick", "--precision", "float32", "--data")
_RUN = ("--run", "{output}")
_NETWORKS = ("--output", "{output}/networks.h5")
_STUDY = ("--page", "{output}/readers/page.html", "--key", "{output}/kept/key.json")
COMMANDS = {
    "make-phantoms": Command("make_phantoms", ("--count", "150", "--workers", "2")),
    "make-mass-phantoms": Command("make_phantoms", ("--kind", "mass", "--count", "150", "--workers", "1")),
    "prepare-mammograms": Command(
        "prepare_mammograms", ("--input", "{inputs}/films", "--key", "{inputs}/key", "--workers", "2")
    ),
    "prepare-masses": Command(
        "prepare_masses",
        ("--rois", "{inputs}/rois.csv", "--images", "{inputs}/films", "--key", "{inputs}/key", "--workers", "1"),
    ),
    "train-mask-embed": Command("train_mask_embed", ("--phase", "2", *_TRAINED, "{inputs}/tiny"), _RUN),
    "train-pix2pix": Command("train_pix2pix", ("--size", "32", *_TRAINED, "{inputs}/tiny"), _RUN),
    "train-feature2mass": Command("train_feature2mass", (*_TRAINED, "{inputs}/masses"), _RUN),
    "generate-shards": Command("generate_mammograms", ("--masks", "{inputs}/phantoms", "--count", "40")),
    "generate-png": Command(
        "generate_mammograms", ("--masks", "{inputs}/phantoms", "--count", "40", "--format", "png")
    ),
    "generate-dicom": Command(
        "generate_mammograms", ("--masks", "{inputs}/phantoms", "--count", "20", "--format", "dicom")
    ),
    "generate-masses": Command("generate_masses", ("--count", "40")),
    "generate-masses-png": Command(
        "generate_masses", ("--run", "{inputs}/run-of-masses", "--count", "20", "--format", "png")
    ),
    **{
        f"insert-lesions-{form}": Command(
            "insert_lesions", ("--mammograms", "{inputs}/phantoms", "--count", "20", "--format", form)
        )
        for form in ("h5", "png", "dicom", "coco", "yolo")
    },
    "save-networks": Command("save_networks", ("--run", "{inputs}/run"), _NETWORKS),
    "save-networks-of-masses": Command("save_networks", ("--run", "{inputs}/run-of-masses"), _NETWORKS),
    "evaluate": Command(
        "evaluate", ("--real", "{inputs}/tiny", "--fake", "{inputs}/tiny", "--metrics", "histogram_w1_64bins")
    ),
    "reader-study-build": Command(
        "reader_study",
        ("build", "--real", "{inputs}/tiny", "--images", "other={inputs}/tiny", "--masks", "5"),
        _STUDY,
        once=True,
    ),
    "reader-study-analyse": Command(
        "reader_study", ("analyse", "--key", "{inputs}/study/kept/key.json", "{inputs}/scores.csv")
    ),
}


def start(command: Command, inputs: Path, output: Path, limit: int | None = None) -> Forked:
    """Start a command; `limit` is the largest file that it may write, in bytes."""
    return Forked(command.words(inputs, output), limit)


def make_inputs(folder: Path) -> None:
    """Make what the commands read, once: films, a table of boxes, datasets."""
    if (folder / "done").exists():
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import tiny
    import tiny_masses

    from evaluation.reader_study.key import seal
    from preprocessing.phantoms.mammogram import make_phantoms, mammogram_phantom

    (folder / "films").mkdir(parents=True, exist_ok=True)
    rows = ["image,x,y,width,height,shape,margin,subject"]
    for number in range(70):
        image = mammogram_phantom(number, 256, 128)[0]
        cv2.imwrite(str(folder / "films" / f"p{number // 2:02d}_{number % 2}.png"), np.uint8(np.round(image * 255)))
        rows += [
            f"p{number // 2:02d}_{number % 2}.png,{10 + n},90,40,40,OVAL,SPICULATED,p{number // 2}" for n in (0, 1, 2)
        ]
    (folder / "rois.csv").write_text("\n".join(rows))
    (folder / "key").write_text("a key for tests only, no secret\n")
    tiny.write_dataset(folder / "tiny")
    tiny_masses.write_dataset(folder / "masses")
    make_phantoms(folder / "phantoms", 20, workers=1)
    for name, output in {
        "train-mask-embed": "run",
        "train-feature2mass": "run-of-masses",
        "reader-study-build": "study",
    }.items():
        text = (process := start(COMMANDS[name], folder, folder / output)).communicate()
        assert process.returncode == 0, text
    key = json.loads((folder / "study/kept/key.json").read_text())
    scores = [f"{seal(key)},A,{answer['image']},{1 + answer['image'] % 5}" for answer in key["answers"]]
    (folder / "scores.csv").write_text("\n".join(["study,reader,image,score", *scores]))
    (folder / "done").touch()


def digest(output: Path) -> dict[str, str]:
    """Digest of every file of a result by its path, without logs, which hold times, and hidden files."""
    found = {}
    for folder in (output, output.with_name(f"{output.name}.contact-sheet")):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            name = str(path.relative_to(output.parent))
            whole = path.is_file() and not path.name.startswith(".")
            if whole and path.suffix not in PASSED_OVER and "tensorboard" not in path.parts:
                found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def left_over(output: Path) -> list[str]:
    """List files that a command should have renamed or removed."""
    hidden = [path for path in output.rglob("*") if path.name.startswith(".") or path.suffix in (".part", ".partial")]
    return [str(path.relative_to(output)) for path in hidden]


def _content(path: Path) -> bytes:
    if path.parts[-2:] in (("readers", "page.html"), ("kept", "key.json")):  # the order of a study is random
        return _of_study(path.parents[1])
    if path.suffix == ".keras":  # an archive holds times
        with zipfile.ZipFile(path) as archive:
            return repr(
                [(name, hashlib.sha256(archive.read(name)).hexdigest()) for name in archive.namelist()]
            ).encode()
    if path.suffix == ".json":
        return json.dumps(_without_times(json.loads(path.read_text())), sort_keys=True).encode()
    if path.suffix == ".dcm":
        return _without_hours(pydicom.dcmread(path)).to_json().encode()
    return path.read_bytes()


def _without_hours(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Clear dates and times, which say when the folder was begun."""
    for element in dataset.iterall():
        if element.VR in ("DA", "TM"):
            element.value = ""
    return dataset


def _of_study(output: Path) -> bytes:
    from evaluation.reader_study.key import seal

    page, kept = output / "readers/page.html", output / "kept/key.json"
    if not (page.exists() and kept.exists()):
        return b"not whole"
    key = json.loads(kept.read_text())
    fits = seal(key) in page.read_text()
    return repr((fits, sorted(answer["method"] for answer in key["answers"]))).encode()


def _without_times(node: object) -> object:
    if isinstance(node, dict):
        return {k: _without_times(v) for k, v in node.items() if k not in TIMES}
    return [_without_times(value) for value in node] if isinstance(node, list) else node
