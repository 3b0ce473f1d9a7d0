"""The command line of new masses: what it writes, and one clear line for what it cannot."""

import cv2
import pytest
import tiny_masses
from commands import command, refused

from preprocessing.shards import open_dataset

call = command("generate_masses")


def test_shards_of_a_wanted_category_are_the_default(tmp_path, tiny_mass_run):
    wanted = ["--shape", "irregular", "--margin", "spiculated"]
    result = call("--run", tiny_mass_run.path, *wanted, "--count", 3, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.output.strip() == f"{tmp_path / 'out'}: 3 synthetic masses"
    dataset = open_dataset(tmp_path / "out", kind="mass", verify=True)
    assert dataset.meta["synthetic"] and set(dataset.field("shape")) == {2} and set(dataset.field("margin")) == {1}


def test_png_files_and_figures(tmp_path, tiny_mass_run):
    arguments = ["--count", 2, "--output", tmp_path / "out", "--format", "png", "--figure", tmp_path / "figure.png"]
    result = call("--run", tiny_mass_run.path, *arguments)
    names = ["000000.png", "000001.png", "manifest.csv", "provenance.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    lines = result.output.splitlines()[-3:]
    assert lines == [f"figure: {tmp_path}/figure-{name}.png" for name in ("two", "three", "category")]
    assert all(cv2.imread(line.removeprefix("figure: ")) is not None for line in lines)


def test_a_class_with_no_seeds_is_one_line_and_nothing_is_written(tmp_path, tiny_mass_run):
    wanted = ["--shape", "oval", "--margin", "spiculated"]
    result = call("--run", tiny_mass_run.path, *wanted, "--count", 3, "--output", tmp_path / "out")
    refused(result, "--shape oval, --margin spiculated", "no labelled mass")
    assert not (tmp_path / "out").exists()


def test_a_run_of_other_classes_is_one_line(tmp_path, tiny_mass_run):
    classes = {**tiny_masses.CLASSES, "shape": ("round", "oval", "lobulated")}
    other = tiny_masses.write_dataset(tmp_path / "other", {(0, 0): 3}, classes)
    result = call("--run", tiny_mass_run.path, "--data", other.folder, "--count", 1, "--output", tmp_path / "out")
    refused(result, f"--data {other.folder}", "round, oval, lobulated", "round, oval, irregular")


def test_a_run_that_is_not_there_is_named(tmp_path):
    refused(call("--run", tmp_path / "absent", "--count", 1, "--output", tmp_path / "out"), f"--run {tmp_path}/absent")


@pytest.mark.parametrize("flag, value", [("--count", 0), ("--seed", -1), ("--format", "dicom")])
def test_a_value_that_cannot_be_names_the_flag(tmp_path, tiny_mass_run, flag, value):
    needed = {"--run": tiny_mass_run.path, "--count": 1, "--output": tmp_path / "out", flag: value}
    refused(call(*(part for pair in needed.items() for part in pair)), flag, code=2)
