"""The two commands that make datasets of mammograms: exit codes, one clear line, and instant help."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from preprocessing.phantoms import mammogram_phantom
from preprocessing.shards import open_dataset

SCRIPTS = Path(__file__).parents[2] / "train_scripts"


def command(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def run(name: str, *arguments):
    return CliRunner().invoke(command(name), [str(argument) for argument in arguments])


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
    done = run("prepare_mammograms", "--input", films, "--output", tmp_path / "data", "--workers", 1)
    assert done.exit_code == 3, done.output
    assert "3 of 4 films, 1 rejected; training 2 films of 2 patients, validation 1 of 1" in done.stdout
    assert "notes.dcm: " in done.stderr
    assert open_dataset(tmp_path / "data").count == 3


def test_second_run_says_that_there_is_nothing_to_do(films, tmp_path):
    arguments = ("prepare_mammograms", "--input", films, "--output", tmp_path / "data", "--workers", 1)
    run(*arguments)
    again = run(*arguments)
    assert again.exit_code == 0 and "already there, nothing to do" in again.stdout


def test_several_inputs_may_follow_one_flag(films, tmp_path):
    paths = sorted(films.iterdir())
    done = run("prepare_mammograms", "--input", *paths, "--output", tmp_path / "data", "--workers", 1)
    assert done.exit_code == 0 and "3 of 3 films" in done.stdout


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "notes.dcm").write_text("not a film")
    done = run("prepare_mammograms", "--input", tmp_path / "notes.dcm", "--output", tmp_path / "data")
    assert done.exit_code == 1
    assert "Error: none of 1 films could be used" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--input", "{empty}", "--output", "{new}"], 1, "no films here"),
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
    done = run("prepare_mammograms", *(str(argument).format(**places) for argument in arguments))
    assert done.exit_code == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and said in errors[0]
    assert "Traceback" not in done.output


def test_phantoms_are_written(tmp_path):
    done = run("make_phantoms", "--kind", "mammogram", "--count", 4, "--output", tmp_path / "data", "--seed", 1)
    assert done.exit_code == 0, done.output
    assert "4 mammogram phantoms, 3 for training, 1 for validation" in done.stdout
    assert open_dataset(tmp_path / "data").count == 4


@pytest.mark.parametrize("name", ["prepare_mammograms", "make_phantoms"])
def test_help_is_instant(name):
    took = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, SCRIPTS / f"{name}.py", "--help"], capture_output=True, text=True)
        took.append(time.perf_counter() - start)
    assert done.returncode == 0 and "--output" in done.stdout
    assert min(took) < 1
