"""What is damaged, and which command then meets it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.random import Generator

from benchmarks.fuzzing import mutations
from benchmarks.fuzzing.mutations import pick

Arguments = Sequence[object]


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        share: Of all mutations, relative to those of the others.
        heavy: Whether it needs TensorFlow: such targets have a process of their own.
        prepare: Copies originals into an empty folder and damages one; returns the command, its arguments, what was
            damaged and how.
    """

    share: int
    heavy: bool
    prepare: Callable[[Path, Path, Generator], tuple[str, Arguments, Path, str]]


def _prepare_mammograms(case: Path, *more: object) -> tuple[str, Arguments]:
    out = ("--output", case / "out" / "data", "--workers", 1, "--no-contact-sheet")
    return "prepare_mammograms", ("--input", case / "in", *out, *more)


def _dicom(seeds: Path, case: Path, rng: Generator):
    path = _copied(pick(rng, sorted((seeds / "dicom").iterdir())), case / "in")
    return *_prepare_mammograms(case), path, mutations.mutate_dicom(path, rng)


def _image(seeds: Path, case: Path, rng: Generator):
    path = _copied(pick(rng, sorted((seeds / "images").iterdir())), case / "in")
    return *_prepare_mammograms(case), path, mutations.mutate_image(path, rng)


def _mask(seeds: Path, case: Path, rng: Generator):
    _copied(seeds / "images" / "a.png", case / "in")
    path = _copied(seeds / "images" / "a.png", case / "masks")
    return *_prepare_mammograms(case, "--masks", case / "masks"), path, mutations.mutate_image(path, rng)


def _shard(seeds: Path, case: Path, rng: Generator):
    return _dataset(seeds, case, rng, lambda data: pick(rng, sorted(data.glob("shard*.h5"))), mutations.mutate_hdf5)


def _description(seeds: Path, case: Path, rng: Generator):
    names = ("dataset.json", "dataset.json", "dataset.json", "work.jsonl", "rejected.csv")
    return _dataset(seeds, case, rng, lambda data: data / pick(rng, names), mutations.mutate_json)


def _dataset(seeds: Path, case: Path, rng: Generator, choose: Callable[[Path], Path], mutate: mutations.Mutate):
    """Damage a prepared dataset, then prepare it again, or insert lesions into it."""
    shutil.copytree(seeds / "images", case / "in")
    shutil.copytree(seeds / "prepared", case / "out" / "data")
    for name in ("prepared.key", "prepared.films.csv"):
        (case / "out" / name.replace("prepared", "data")).write_bytes((seeds / name).read_bytes())
    path = choose(case / "out" / "data")
    if not path.exists():
        path = case / "out" / "data" / "dataset.json"
    said = mutate(path, rng)
    if rng.random() < 0.5:
        return *_prepare_mammograms(case), path, said
    arguments = ("--mammograms", case / "out" / "data", "--masses", "phantoms", "--output", case / "lesions")
    return "insert_lesions", (*arguments, "--format", "png", "--count", 1), path, said


def _table(seeds: Path, case: Path, rng: Generator):
    name = pick(rng, ("films.csv", "films.csv", "rois.csv", "cbis.csv"))
    shutil.copytree(seeds / ("cbis" if name == "cbis.csv" else "images"), case / "in")
    path = _copied(seeds / "tables" / name, case)
    said = mutations.mutate_table(path, rng)
    if name == "films.csv":
        return *_prepare_mammograms(case, "--table", path), path, said
    flag = "--rois" if name == "rois.csv" else "--cbis-csv"
    out = ("--output", case / "out" / "data", "--workers", 1)
    return "prepare_masses", (flag, path, "--images", case / "in", *out), path, said


def _case(seeds: Path, case: Path, rng: Generator):
    shutil.copytree(seeds / "case", case / "in")
    path = pick(rng, sorted((case / "in").iterdir()))
    binary = path.suffix == ".LJPEG"
    said = mutations.mutate_bytes(path, rng) if binary else mutations.mutate_text(path, rng)
    return "prepare_masses", ("--ddsm", case / "in", "--output", case / "out" / "data", "--workers", 1), path, said


def _score(seeds: Path, case: Path, rng: Generator):
    shutil.copytree(seeds / "study", case / "in")
    path = case / "in" / pick(rng, ("scores.csv", "key.json"))
    said = (mutations.mutate_table if path.suffix == ".csv" else mutations.mutate_json)(path, rng)
    arguments = ("analyse", "--key", case / "in" / "key.json", "--output", case / "out", case / "in" / "scores.csv")
    return "reader_study", arguments, path, said


def _checkpoint(seeds: Path, case: Path, rng: Generator):
    shutil.copytree(seeds / "stopped", case / "run")
    path = sorted((case / "run" / "phase-1").glob("checkpoint-*.h5"))[-1]
    return *_train(seeds, case), path, mutations.mutate_hdf5(path, rng)


def _log(seeds: Path, case: Path, rng: Generator):
    shutil.copytree(seeds / pick(rng, ("run", "stopped")), case / "run")
    path = pick(rng, sorted(p for p in (case / "run").iterdir() if p.suffix in (".json", ".jsonl")))
    return *_train(seeds, case), path, mutations.mutate_json(path, rng)


def _train(seeds: Path, case: Path) -> tuple[str, Arguments]:
    data = ("--data", seeds / "tiny", "--preset", "quick")
    return "train_mask_embed", ("--phase", 1, *data, "--run", case / "run")


def _keras(seeds: Path, case: Path, rng: Generator):
    path = _copied(seeds / "run" / "phase-1" / "generator.keras", case / "in")
    said = mutations.mutate_keras(path, rng)
    out = ("--count", 1, "--format", "png", "--output", case / "out")
    return "generate_mammograms", ("--generator", path, "--masks", seeds / "tiny", *out), path, said


def _masses(seeds: Path, case: Path, rng: Generator):
    shutil.copytree(seeds / "mass-run", case / "in", ignore=shutil.ignore_patterns("*.h5", "*.png", "tensorboard"))
    path = case / "in" / pick(rng, ("config.json", "source.json", "encoder.keras", "decoder.keras"))
    said = (mutations.mutate_json if path.suffix == ".json" else mutations.mutate_keras)(path, rng)
    out = ("--count", 1, "--format", "png", "--output", case / "out")
    return "generate_masses", ("--run", case / "in", *out), path, said


def _copied(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, folder))


TARGETS = {  # those that need TensorFlow take ten times as long
    "dicom": Target(24, False, _dicom),
    "image": Target(16, False, _image),
    "mask": Target(6, False, _mask),
    "shard": Target(10, False, _shard),
    "description": Target(12, False, _description),
    "table": Target(12, False, _table),
    "case": Target(7, False, _case),
    "score": Target(7, False, _score),
    "checkpoint": Target(2, True, _checkpoint),
    "log": Target(2, True, _log),
    "keras": Target(2, True, _keras),
    "masses": Target(1, True, _masses),
}
