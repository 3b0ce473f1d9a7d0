"""The commands of README and tutorials, run one after the other as they stand, but for sizes: a world in miniature.

The presets are those of the tests, counts are small, and the folders under /data hold phantoms.
"""

import csv
import json
import re
from pathlib import Path

import pytest
import tiny
import tiny_masses
import tiny_pix2pix
from click.testing import CliRunner
from documented import Shown, shown

from synthmammo.command import main

PAGES = (
    "README.md",
    "docs/index.md",
    "docs/tutorials/mammograms.md",
    "docs/systems/pix2pix.md",
    "docs/tutorials/reader_study.md",
    "docs/tutorials/masses.md",
)
# Options whose input cannot be had here: archives of patients, and several hosts or devices.
ELSEWHERE = {"--cbis-csv", "--ddsm", "--hosts", "--scheduler", "--replicas", "--version"}
SMALLER = {"--phase": 3, "--count": 8, "--masks": 4, "--size": 32, "--images": 2}  # where the value is a number
PATIENTS, IMAGES = 12, 24
FULL_SIZE = "in/full-size"
READERS = ("scores-anna.csv", "scores-ben.csv")


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """A folder with images, tables and boxes, and presets that take seconds."""
    import feature2mass.presets
    import mask_embedding_gan.presets
    import pix2pix.presets

    monkeypatch.chdir(tmp_path)
    made = ((mask_embedding_gan, tiny.preset), (feature2mass, tiny_masses.preset), (pix2pix, tiny_pix2pix.preset))
    for package, preset in made:
        for name in package.presets.PRESETS:
            monkeypatch.setitem(package.presets.PRESETS, name, preset())
    for folder in ("in/dicoms", "in/films"):
        write_images(tmp_path / folder)
    boxes = [
        [f"{n:03d}.png", 40, 200, 40, 50, ("round", "irregular")[n % 2], "spiculated", f"p{n}"] for n in range(IMAGES)
    ]
    for place in ("boxes.csv", "in/boxes.csv"):
        write_table(tmp_path / place, ["image", "x", "y", "width", "height", "shape", "margin", "subject"], boxes)
    return tmp_path


def write_images(folder: Path) -> None:
    """Phantoms as PNG files of so many patients, with the table that says whose they are."""
    from preprocessing.images.png import write_image
    from preprocessing.phantoms.mammogram import mammogram_phantom

    folder.mkdir(parents=True)
    rows = []
    for number in range(IMAGES):
        image, _, view = mammogram_phantom(number)
        write_image(folder / f"{number:03d}.png", image)
        rows.append([f"{number:03d}.png", f"p{number % PATIENTS}", "L", view])
    write_table(folder / "films.csv", ["image", "subject", "laterality", "view"], rows)


def write_table(path: Path, columns: list[str], rows: list[list]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_scores(key: Path) -> None:
    """What two readers would have saved of a study: scores for all images."""
    from evaluation.reader_study.key import COLUMNS, RATE, read_key, seal, task_of

    answers = read_key(key)
    for place, file in enumerate(READERS):
        scores = [(one["image"], 1 + (one["image"] + place) % 5) for one in answers["answers"]]
        marks = task_of(answers) != RATE
        rows = [
            [seal(answers), file, image, *([50, 225, score, score] if marks else [score])] for image, score in scores
        ]
        write_table(Path(file), list(COLUMNS[task_of(answers)]), rows)


def in_miniature(command: Shown) -> list[str]:
    """The arguments of a command with smaller numbers, and folders of this world."""
    words = [word.replace("/data/", "in/").replace("phase-7", "phase-3") for word in command.arguments]
    for place, word in enumerate(words[:-1]):
        if word in SMALLER and words[place + 1].isdigit():
            words[place + 1] = str(min(SMALLER[word], int(words[place + 1])))
    if words[0] == "prepare-mammograms":
        words += ["--validation-fraction", "0.5", "--workers", "1"]
    if words[0] == "prepare-masses":
        words += ["--workers", "1"]
    if words[0] == "generate-masses" and "--shape" in words:  # the boxes have two categories
        words[words.index("--margin") + 1] = "spiculated"
    if words[0] == "insert-lesions":  # lesions need mammograms of full size, and this world's generator stops at 32x16
        words[words.index("--mammograms") + 1] = FULL_SIZE
    if words[:2] == ["reader-study", "build"] or (words[0] == "evaluate" and "data/mine" in words):
        words += ["--level", "32x16"]
    return words


def prepare_for(words: list[str], world: Path) -> None:
    """Lay out what a page takes for granted before a command."""
    for name in re.findall(r"=(data/synthetic-[a-z0-9-]+)", " ".join(words)):
        if not (world / name).exists():
            (world / name).symlink_to(world / "data/synthetic")
    if FULL_SIZE in words and not (world / FULL_SIZE).exists():
        done = CliRunner().invoke(main, ["generate-mammograms", "--count", "4", "--output", FULL_SIZE])
        assert done.exit_code == 0, done.output
    if words[:2] == ["reader-study", "analyse"]:
        write_scores(Path(words[words.index("--key") + 1]))


@pytest.mark.slow
def test_commands_run_as_shown(world):
    ran = {}
    for page in PAGES:
        for command in shown():
            if command.page != page or command.program != "synthmammo" or ELSEWHERE & set(command.arguments):
                continue
            words = in_miniature(command)
            if tuple(words) in ran:
                continue
            prepare_for(words, world)
            done = CliRunner().invoke(main, words)
            assert done.exit_code == 0, f"{command}\nrun as {words}\n{done.output}\n{done.exception!r}"
            ran[tuple(words)] = done.output
    assert {words[0] for words in ran} >= {
        "prepare-mammograms",
        "train-mask-embed",
        "generate-mammograms",
        "prepare-masses",
        "train-feature2mass",
        "generate-masses",
        "train-pix2pix",
        "evaluate",
        "reader-study",
    }
    assert json.loads((world / "data/synthetic/dataset.json").read_text())["synthetic"]
    assert (world / "report/report.html").stat().st_size > 10_000
    assert (world / "runs/mine/figure.png").exists()
