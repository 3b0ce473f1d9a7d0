"""The command that makes datasets of masses: its three kinds of input, its table, exit codes, one clear line."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import command

from preprocessing.shards import open_dataset

call = command("prepare_masses")
COLUMNS = "image,x,y,width,height,shape,margin,subject"


def run(*arguments):
    return call(*arguments, "--workers", 1)


@pytest.fixture
def rois(tmp_path) -> Path:
    """Three good boxes of two patients on one film."""
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 65535, (90, 90), np.uint16))
    rows = [
        "a.png,0,0,40,40,ROUND,OBSCURED,p1",
        "a.png,9,9,40,40,OVAL,ILL_DEFINED,p1",
        "a.png,5,5,9,9,OVAL,SPICULATED,p2",
    ]
    (tmp_path / "rois.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    return tmp_path / "rois.csv"


def test_boxes_go_in_and_a_table_comes_last(rois, tmp_path):
    done = run("--rois", rois, "--images", tmp_path, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    table, last = done.stdout.splitlines()[:-1], done.stdout.splitlines()[-1]
    assert table[0].split() == ["circumscribed", "microlobulated", "obscured", "ill-defined", "spiculated", "all"]
    assert table[2].split() == ["oval", "0", "0", "0", "1", "1", "2"]
    assert "3 of 3 masses, 0 rejected; training " in last and " of 1 patient, validation " in last
    assert open_dataset(tmp_path / "out", kind="mass").count == 3


def test_second_run_says_that_there_is_nothing_to_do(rois, tmp_path):
    arguments = ("--rois", rois, "--images", tmp_path, "--output", tmp_path / "out")
    run(*arguments)
    again = run(*arguments)
    assert again.exit_code == 0 and "already there, nothing to do" in again.stdout
    assert "circumscribed" in again.stdout


def test_rejected_masses_are_told_the_rare_reasons_first(rois, tmp_path):
    with open(rois, "a") as file:
        file.writelines("a.png,0,0,40,40,LYMPH_NODE,OBSCURED,p1\n" for _ in range(30))
        file.write("gone.png,0,0,40,40,OVAL,OBSCURED,p1\n")
    done = run("--rois", rois, "--images", tmp_path, "--output", tmp_path / "out")
    assert done.exit_code == 3
    lines = [line for line in done.stderr.splitlines() if line.startswith("rejected")]
    assert lines[0].endswith("rois.csv row 34: film missing: no such file in --images")
    assert lines[-1] == "rejected 11 more"
    assert "30   shape of no class" in done.stdout


def test_first_policy_takes_several_words(rois, tmp_path):
    rois.write_text(f"{COLUMNS}\na.png,0,0,40,40,OVAL-LOBULATED,OBSCURED,p1\n")
    arguments = ("--rois", rois, "--images", tmp_path)
    assert run(*arguments, "--output", tmp_path / "no").exit_code == 1
    assert run(*arguments, "--output", tmp_path / "yes", "--label-policy", "first").exit_code == 0
    assert open_dataset(tmp_path / "yes").field("shape").tolist() == [1]


@pytest.mark.parametrize(("asked", "low"), [([], False), (["--contrast", "original"], True)])
def test_contrast_is_normalised_unless_the_original_is_asked_for(rois, tmp_path, asked, low):
    run("--rois", rois, "--images", tmp_path, "--output", tmp_path / "out", *asked)
    assert (open_dataset(tmp_path / "out").field("low") == 0).all() == low


def test_nothing_usable_is_an_error(rois, tmp_path):
    rois.write_text(f"{COLUMNS}\ngone.png,0,0,40,40,OVAL,OBSCURED,p1\n")
    done = run("--rois", rois, "--images", tmp_path, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert "Error: no mass could be used, of 1 given" in done.stderr


def write_cbis(path: Path) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerow(["patient_id", "mass shape"])
        csv.writer(file).writerow(["P_00001", "OVAL"])
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rois", "{rois}"], 2, "--images"),
        (["--images", "{folder}"], 2, "give one of --cbis-csv, --ddsm and --rois"),
        (["--rois", "{rois}", "--cbis-csv", "{cbis}", "--images", "{folder}"], 2, "give one of"),
        (["--ddsm", "{folder}", "--images", "{folder}"], 2, "--images"),
        (["--rois", "{rois}", "--images", "{folder}", "--digitizer", "HOWTEK"], 2, "--digitizer"),
        (["--ddsm", "{folder}", "--digitizer", "960"], 2, "--digitizer"),
        (["--ddsm", "{folder}"], 1, "no .ics files here"),
        (["--cbis-csv", "{cbis}", "--images", "{folder}"], 1, "has no column mass margins"),
        (["--rois", "{cbis}", "--images", "{folder}"], 1, "has no column image"),
        (["--rois", "{rois}", "--images", "{folder}", "--context", "0.5"], 2, "--context"),
        (["--rois", "{rois}", "--images", "{folder}", "--scheduler", "tcp://a:1"], 2, "--workers and --scheduler"),
    ],
)
def test_wrong_use_is_told_in_one_line(rois, tmp_path, arguments, code, said):
    places = {"rois": rois, "folder": tmp_path, "cbis": write_cbis(tmp_path / "cbis.csv")}
    done = run(*(argument.format(**places) for argument in arguments), "--output", tmp_path / "out")
    assert done.exit_code == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and said in errors[0]
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
