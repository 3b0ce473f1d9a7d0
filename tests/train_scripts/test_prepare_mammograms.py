"""The command that makes datasets of mammograms: exit codes, and one clear line."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import command

from lesions.annotations import read_annotations
from preprocessing.phantoms.mammogram import mammogram_phantom
from preprocessing.shards import open_dataset

run = command("prepare_mammograms")


@pytest.fixture
def films(tmp_path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(3):
        image, _, _ = mammogram_phantom(number, 256, 128)
        cv2.imwrite(str(folder / f"film{number}.png"), np.uint8(np.round(image * 255)))
    return folder


def test_films_go_in_and_the_last_line_counts_them(films, tmp_path):
    (films / "notes.dcm").write_text("not a film")
    done = run("--input", films, "--output", tmp_path / "data", "--workers", 1)
    assert done.exit_code == 3, done.output
    assert "3 of 4 images, 1 rejected; training 2 images of 2 patients, validation 1 of 1" in done.stdout
    assert (
        "rejected image 3: the DICOM file is damaged" in done.stderr or "rejected image 3: not a DICOM" in done.stderr
    )
    assert open_dataset(tmp_path / "data").count == 3


def test_second_run_says_that_there_is_nothing_to_do(films, tmp_path):
    arguments = ("--input", films, "--output", tmp_path / "data", "--workers", 1)
    run(*arguments)
    again = run(*arguments)
    assert again.exit_code == 0 and "already there, nothing to do" in again.stdout


def test_several_inputs_may_follow_one_flag(films, tmp_path):
    paths = sorted(films.iterdir())
    done = run("--input", *paths, "--output", tmp_path / "data", "--workers", 1)
    assert done.exit_code == 0 and "3 of 3 images" in done.stdout


@pytest.mark.parametrize("more", [(), ("--key", "elsewhere/key")])
def test_boxes_are_kept_wherever_the_key_lies(films, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    rows = ("image,x,y,width,height,shape,margin,subject", "film0.png,10,90,40,40,OVAL,SPICULATED,p")
    Path("boxes.csv").write_text("\n".join(rows))
    done = run("--input", films, "--boxes", "boxes.csv", "--output", "data", "--workers", 1, *more)
    assert done.exit_code == 0 and "data: 1 lesion\n" in done.stdout
    assert [one.shape for one in read_annotations(open_dataset("data"))] == ["oval"]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "notes.dcm").write_text("not a film")
    done = run("--input", tmp_path / "notes.dcm", "--output", tmp_path / "data")
    assert done.exit_code == 1
    assert "Error: no image could be used, of 1 given" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--input", "{empty}", "--output", "{new}"], 1, "no images here"),
        (["--input", "{films}", "--output", "{file}"], 1, "cannot be written"),
        (["--input", "{films}", "--output", "{new}", "--scheduler", "tcp://x:1", "--workers", 2], 2, "exclude"),
        (["--input", "{films}", "--output", "{new}", "--mask-method", "magic"], 2, "--mask-method"),
        (["--input", "{films}", "--output", "{new}", "--validation-fraction", 1.0], 2, "--validation-fraction"),
        (["--input", "{new}", "--output", "{new}"], 2, "--input"),
        (["--output", "{new}"], 2, "--input"),
    ],
)
def test_wrong_use_is_told_in_one_line(films, tmp_path, arguments, code, said):
    places = {"films": films, "new": tmp_path / "new", "empty": tmp_path / "empty", "file": tmp_path / "file"}
    places["empty"].mkdir()
    places["file"].write_text("")
    done = run(*(str(argument).format(**places) for argument in arguments))
    assert done.exit_code == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and said in errors[0]
    assert "Traceback" not in done.output
