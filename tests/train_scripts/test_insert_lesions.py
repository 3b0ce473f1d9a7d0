import csv
import hashlib
import json

import pytest
import tiny_lesions
from commands import command, refused

from feature2mass.mixing import PRETRAINED

insert = command("insert_lesions")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lesions")
    tiny_lesions.write_mammograms(folder / "mammograms")
    tiny_lesions.write_masses(folder / "masses")
    return folder


def test_coco_and_a_figure_by_one_command(data, tmp_path):
    result = insert(
        "--mammograms", data / "mammograms", "--masses", data / "masses", "--output", tmp_path / "coco",
        "--format", "coco", "--count", 3, "--shape", "oval", "--figure", tmp_path / "pairs.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "3 lesions inserted" in result.output and (tmp_path / "pairs.png").stat().st_size > 10_000
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert len(content["images"]) == 3 and {row["shape"] for row in content["annotations"]} == {"oval"}


def test_a_placement_model_of_the_users_own_boxes(data, tmp_path):
    model = tmp_path / "placement.json"
    result = insert(
        "--mammograms", data / "mammograms", "--masses", data / "masses", "--output", tmp_path / "out",
        "--save-placement", model, "--count", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(json.loads(model.read_text())["depth"]) == 3


def test_without_masses_it_says_what_it_uses(data, tmp_path):
    result = insert("--mammograms", data / "mammograms", "--output", tmp_path / "out", "--count", 1)
    assert result.exit_code == 0 and "masses: of the included generator" in result.output
    with open(tmp_path / "out" / "manifest.csv", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["synthetic_lesion"] == "True")
    digest = hashlib.sha256(PRETRAINED.read_bytes()).hexdigest()
    assert row["masses"] == row["masses_generator"] == digest and row["mass"] == "generated mass 0"


def test_phantoms_are_drawn_where_they_are_asked_for(data, tmp_path):
    out = tmp_path / "out"
    result = insert("--mammograms", data / "mammograms", "--masses", "phantoms", "--output", out, "--count", 1)
    assert result.exit_code == 0 and ",phantom " in (out / "manifest.csv").read_text()


def test_an_unknown_shape_is_refused(data, tmp_path):
    arguments = ("--mammograms", data / "mammograms", "--masses", data / "masses", "--output", tmp_path / "out")
    refused(insert(*arguments, "--shape", "square"), "--shape square", "round")


def test_masses_that_are_none_are_refused(data, tmp_path):
    arguments = ("--mammograms", data / "mammograms", "--masses", tmp_path, "--output", tmp_path / "out")
    refused(insert(*arguments), "holds no dataset")


@pytest.mark.parametrize(("split", "advice"), [("train", "--split all makes"), ("all", "mammograms of one split")])
def test_yolo_says_where_val_is_train(data, tmp_path, split, advice):
    result = insert(
        "--mammograms", data / "mammograms", "--masses", data / "masses", "--output", tmp_path / "out",
        "--format", "yolo", "--count", 1, "--split", split,
    )  # fmt: skip
    assert result.exit_code == 0 and "--format yolo: data.yaml will name the same images" in result.output
    assert advice in result.output
