"""The command line of evaluation: one method, several, and one clear line for what it cannot measure."""

import json
import re

import numpy as np
import pytest
import tiny
import tiny_masses
from commands import command, refused

from evaluation.metrics import labels
from preprocessing.shards import DatasetWriter

call = command("evaluate")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return [tiny.write_dataset(folder / name, count).folder for name, count in (("real", 40), ("fake", 24))]


def test_one_method(data, tmp_path):
    done = call("--real", data[0], "--fake", data[1], "--output", tmp_path, "--metrics", "swd_7x7,leakage")
    assert done.exit_code == 0, done.output
    assert "share of brightness outside the mask" in done.output and "no audit" in done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["methods"]) == ["fake"]
    assert (report["real"]["images"], report["real"]["size"]) == (40, [32, 16])


def test_blanks_around_names_of_metrics_and_a_comma_too_many_do_no_harm(data, tmp_path):
    done = call("--real", data[0], "--fake", data[1], "--output", tmp_path, "--metrics", "leakage, mask_iou_film,")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "report.json").read_text())["methods"]["fake"]["metrics"]
    assert [row["name"] for row in rows] == ["leakage", "mask_iou_film"]


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        ("generate_mammograms", "prepare_mammograms", "are --real and --fake exchanged"),
        ("prepare_mammograms", "prepare_mammograms", "holds real images"),
        ("prepare_mammograms", "generate_mammograms", None),
        ("make_phantoms", "generate_mammograms", None),
        ("prepare_mammograms", None, "holds the same images"),
    ],
)
def test_datasets_that_may_be_exchanged_are_told(tmp_path, real, fake, said):
    folders = [
        tiny.write_dataset(tmp_path / name, count, by=by).folder
        for name, count, by in (("a", 10, real), ("b", 12, fake))
        if by
    ]
    done = call("--real", folders[0], "--fake", folders[-1], "--output", tmp_path / "out", "--metrics", "leakage")
    assert done.exit_code == 0, done.output
    assert (said in done.output) if said else ("warning" not in done.output)


def test_several_methods_stand_side_by_side(data, tmp_path):
    fakes = ["--fake", f"a={data[1]}", "--fake", f"b={data[1]}"]
    done = call("--real", data[0], *fakes, "--output", tmp_path, "--metrics", "histogram_w1_64bins", "--count", 10)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].split()[-3:] == ["a", "b", "best"]
    assert "undecided" in done.output
    assert json.loads((tmp_path / "report.json").read_text())["real"]["images"] == 10


def test_folders_of_one_name_are_runs_of_one_method(data, tmp_path):
    again = tiny.write_dataset(tmp_path / "again", 20).folder
    fakes = ["--fake", f"a={data[1]}", "--fake", f"a={again}", "--fake", f"b={data[1]}"]
    done = call("--real", data[0], *fakes, "--output", tmp_path / "out", "--metrics", "histogram_w1_64bins")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].split()[-6:] == ["a", "1", "a", "2", "b", "best"]
    methods = json.loads((tmp_path / "out" / "report.json").read_text())["methods"]
    assert {run: found.get("method") for run, found in methods.items()} == {"a 1": "a", "a 2": "a", "b": None}


def test_one_folder_cannot_be_two_runs(data, tmp_path):
    done = call("--real", data[0], *(2 * ["--fake", f"a={data[1]}"]), "--output", tmp_path)
    refused(done, "--fake a=", "is given twice", code=2)


def test_labels_of_masses_are_judged(tmp_path, monkeypatch):
    train = labels.train_classifier
    monkeypatch.setattr(labels, "train_classifier", lambda *a, **k: train(*a, **k, steps=2))
    real, fake = (tiny_masses.write_dataset(tmp_path / name).folder for name in ("real", "fake"))
    done = call("--real", real, "--fake", fake, "--output", tmp_path / "out", "--metrics", "histogram,labels")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["methods"]["fake"]["metrics"]
    heads = [f"labels_{how}_cnn {head}" for how in ("read", "learned") for head in ("shape", "margin")]
    assert [row["name"] for row in rows][1:] == heads
    assert all(0 <= row["generated"]["value"] <= 1 for row in rows[1:])


def test_mammograms_have_no_labels_to_judge(data, tmp_path):
    done = call("--real", data[0], "--fake", data[1], "--output", tmp_path / "out", "--metrics", "labels")
    refused(done, "holds mammogram data, but mass data is needed")


def test_privacy_uses_the_held_out_split(tmp_path, data):
    real = tiny.write_dataset(tmp_path / "real", 120).folder  # 24 held out
    done = call("--real", real, "--fake", data[1], "--output", tmp_path / "out", "--metrics", "privacy")
    assert done.exit_code == 0, done.output
    assert "of 24 images suspiciously near" in done.output
    assert "--metrics privacy: is now called memorisation_texture" in done.output


def test_without_enough_held_out_images_the_report_says_why_there_is_no_audit(data, tmp_path):
    done = call("--real", data[0], "--fake", data[1], "--output", tmp_path, "--metrics", "leakage,memorisation_texture")
    assert "needs a training split and 20 held-out images, there are 8" in done.output


def test_another_level(data, tmp_path):
    levels = ["--level", "16x8", "--metrics", "leakage"]
    assert call("--real", data[0], "--fake", data[1], "--output", tmp_path, *levels).exit_code == 0
    assert json.loads((tmp_path / "report.json").read_text())["real"]["size"] == [16, 8]


@pytest.mark.parametrize(
    "level, small, audit",
    [
        ("16x8", ["MS-SSIM", "texture"], "training item"),
        ("8x4", ["SWD", "MS-SSIM", "texture"], "no audit of memorisation (images of 8x4 are too small"),
    ],
)
def test_images_too_small_for_a_metric_cost_that_metric_and_no_report(data, tmp_path, level, small, audit):
    real = tiny.write_dataset(tmp_path / "real", 120).folder
    done = call("--real", real, "--fake", data[1], "--output", tmp_path / "out", "--level", level)
    assert done.exit_code == 0, done.output
    assert re.findall(r": (\S+) needs images of at least \S+ pixels, these are " + level, done.output) == small
    page = (tmp_path / "out" / "report.html").read_text()
    assert audit in page and "MS-SSIM 0" not in page


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metrics, said",
    [
        ((), "swd_7x7 needs at least 8 real images (two halves) and 4 generated ones; there are 1 and 24"),
        (("--metrics", "kid_radiomic_z,fid_radiomic_z"), "kid_radiomic_z needs at least 8 real images"),
        (("--metrics", "memorisation_texture"), "needs a training split"),
    ],
)
def test_too_few_images_for_any_metric(data, tmp_path, metrics, said):
    real = tiny.write_dataset(tmp_path / "real", 1).folder
    done = call("--real", real, "--fake", data[1], "--output", tmp_path / "out", *metrics)
    refused(done, "no metric can be measured (1 real image, 24 of fake): ", said)
    assert not (tmp_path / "out").exists()


def test_images_of_another_size(data, tmp_path):
    small = DatasetWriter(tmp_path / "small", count=1, made={}, levels=[(8, 4)])
    pixels = {"image/8x4": np.zeros((8, 4)), "mask/8x4": np.ones((8, 4))}
    items = [{**pixels, "subject": "a", "laterality": "", "view": ""}]
    small.write(0, items)
    small.finish()
    done = call("--real", data[0], "--fake", tmp_path / "small", "--output", tmp_path / "out")
    refused(done, "32x16", "8x4", "compare at a --level that both have")


@pytest.mark.parametrize(
    "change, words, code",
    [
        (["--metrics", "swd,inception"], ["unknown metric 'inception'"], 1),
        (["--metrics", " ,"], ["--metrics", "names no metric"], 2),
        (["--extractor", "absent.keras"], ["absent.keras: no such file"], 1),
        (["--level", "99x99"], ["has no 99x99 images"], 1),
        (["--level", "large"], ["--level", "large: must be HEIGHTxWIDTH"], 2),
        (["--fake", "real=somewhere"], ["'real' is taken"], 2),
        (["--fake", "x=absent"], ["absent: holds no dataset"], 1),
        (["--count", "1"], ["--count"], 2),
    ],
)
def test_what_cannot_be_is_named(data, tmp_path, change, words, code):
    given = ["--real", data[0], "--fake", data[1], "--output", tmp_path / "out", *change]
    refused(call(*given), *words, code=code)
