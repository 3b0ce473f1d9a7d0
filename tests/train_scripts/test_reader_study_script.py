"""The command line of the reader study: a study from a generator and from a folder of images, and what it refuses."""

import csv
import json

import pytest
import tiny
import tiny_lesions
from click.testing import Result
from commands import command, refused

from evaluation.reader_study.key import COLUMNS, FIND, read_key, seal
from lesions.generate import insert_lesions
from preprocessing.shards import DATASET_FILE

call = command("reader_study")


@pytest.fixture()
def small(tmp_path):
    """Datasets of the same size for real and two methods."""
    return [tiny.write_dataset(tmp_path / name, 20).folder for name in ("real", "first", "second")]


def build(tmp_path, real, *methods: str, masks: int = 4) -> Result:
    files = ["--page", tmp_path / "page" / "study.html", "--key", tmp_path / "key.json"]
    return call("build", "--real", real, "--masks", masks, *files, *methods)


def test_another_level_is_that_of_every_image(tmp_path, small):
    files = ["--page", tmp_path / "page" / "study.html", "--key", tmp_path / "key.json"]
    methods = ["--images", f"first={small[1]}", "--level", "16x8", "--masks", 4]
    done = call("build", "--real", small[0], *files, *methods)
    assert done.exit_code == 0, done.output
    assert '"height": 16, "width": 8' in (tmp_path / "page" / "study.html").read_text()


def test_a_study_of_folders_is_built_and_analysed(tmp_path, small):
    done = build(tmp_path, small[0], "--images", f"first={small[1]}", "--images", f"second={small[2]}")
    assert done.exit_code == 0, done.output
    assert "12 images" in done.output
    key = read_key(tmp_path / "key.json")
    assert [answer["method"] for answer in key["answers"]].count("second") == 4
    with open(tmp_path / "a.csv", "w", newline="") as file:
        rows = [[seal(key), "A", a["image"], 1 + 4 * (a["method"] == "real")] for a in key["answers"]]
        csv.writer(file).writerows([["study", "reader", "image", "score"], *rows])
    done = call("analyse", "--key", tmp_path / "key.json", "--output", tmp_path / "out", tmp_path / "a.csv")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "results.json").read_text())["mean score"]["real"]["value"] == 5
    assert (tmp_path / "out" / "plot.png").exists()


@pytest.mark.parametrize(
    "of_real, of_method, patients",
    [
        ("make_phantoms", "generate_mammograms", False),
        ("make_phantoms", "insert_lesions", True),
        ("prepare_mammograms", "generate_mammograms", True),
    ],
)
def test_a_page_says_so_where_any_of_its_images_may_be_of_patients(tmp_path, small, of_real, of_method, patients):
    for folder, by in zip(small, (of_real, of_method)):
        meta = json.loads((folder / DATASET_FILE).read_text()) | {"made": {"by": by}, "synthetic": True}
        (folder / DATASET_FILE).write_text(json.dumps(meta))
    done = build(tmp_path, small[0], "--images", f"first={small[1]}")
    assert done.exit_code == 0, done.output
    assert f'"patients": {json.dumps(patients)}' in (tmp_path / "page" / "study.html").read_text()


def test_a_generator_of_another_size_is_named(tmp_path, tiny_run, tiny_dataset):
    done = build(tmp_path, tiny_dataset.folder, "--generator", f"ours={tiny_run.stage('phase-2').generator}")
    refused(done, "makes images of 16x8, real are 32x16")


def test_pix2pix_fills_texture_maps_of_the_drawn_real_images(tmp_path, tiny_pix2pix_run, tiny_dataset):
    generator = tiny_pix2pix_run.stage().generator
    done = build(tmp_path, tiny_dataset.folder, "--generator", f"pix2pix={generator}")
    assert done.exit_code == 0, done.output
    methods = [answer["method"] for answer in read_key(tmp_path / "key.json")["answers"]]
    assert methods.count("pix2pix") == methods.count("real") == 4


def test_what_build_refuses(tmp_path, small):
    refused(build(tmp_path, small[0]), "at least one --generator or --images", code=2)
    refused(build(tmp_path, small[0], "--images", "first"), "--images first: must be NAME=PATH", code=2)
    refused(build(tmp_path, small[0], "--images", f"real={small[1]}"), "'real' is taken", code=2)
    refused(build(tmp_path, small[0], "--images", f"a={small[1]}", masks=99), "holds 20 images, --masks asks for 99")
    refused(build(tmp_path, small[0], "--images", f"a={tmp_path / 'absent'}"), "absent: holds no dataset")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path, small):
    (tmp_path / "page").write_text("a file")
    refused(build(tmp_path, small[0], "--images", f"first={small[1]}"), "page: File exists; finished work is kept")


def test_what_analyse_refuses(tmp_path, small):
    build(tmp_path, small[0], "--images", f"first={small[1]}")
    (tmp_path / "a.csv").write_text("study,reader,image\n")
    refused(call("analyse", "--key", tmp_path / "key.json", tmp_path / "a.csv"), "a.csv: has no column 'score'")
    refused(call("analyse", "--key", tmp_path / "none.json", tmp_path / "a.csv"), "none.json: cannot be read")


# --- a study with lesions -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_lesions(tmp_path_factory):
    """Folders of six mammograms, three of them with lesions, and of the same with inserted lesions."""
    folder = tmp_path_factory.mktemp("lesions")
    genuine = tiny_lesions.write_mammograms(folder / "genuine").folder
    insert_lesions(genuine, tiny_lesions.write_masses(folder / "masses").folder, folder / "inserted", split="all")
    return genuine, folder / "inserted"


def build_lesions(tmp_path, genuine, inserted, *more: object, images: int = 2) -> Result:
    files = ["--page", tmp_path / "page" / "study.html", "--key", tmp_path / "key.json"]
    return call("build-lesions", "--genuine", genuine, "--inserted", inserted, "--images", images, *files, *more)


def test_a_study_with_lesions_is_built_and_analysed(tmp_path, with_lesions):
    done = build_lesions(tmp_path, *with_lesions)
    assert done.exit_code == 0 and "6 images" in done.output, done.output
    key = read_key(tmp_path / "key.json")
    kinds = [answer["kind"] for answer in key["answers"]]
    assert all(kinds.count(kind) == 2 for kind in ("normal", "genuine", "inserted"))
    rows = []
    for answer in key["answers"]:  # who finds all, and takes inserted lesions for real
        marks = [[box[0] + box[2] / 2, box[1] + box[3] / 2, 5, 5] for box in (one["box"] for one in answer["lesions"])]
        rows += [[seal(key), "A", answer["image"], *mark] for mark in marks or [[""] * 4]]
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS[FIND], *rows])
    done = call("analyse", "--key", tmp_path / "key.json", "--output", tmp_path / "out", tmp_path / "a.csv")
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["lesions"]["inserted"]["area"]["value"] == 1
    assert results["AUC of genuine against inserted"]["value"] == 0.5
    assert (tmp_path / "out" / "plot.png").exists()


def test_boxes_of_the_key_are_those_of_the_images(tmp_path, with_lesions):
    build_lesions(tmp_path, *with_lesions)
    for answer in read_key(tmp_path / "key.json")["answers"]:
        inserted = [lesion["inserted"] for lesion in answer["lesions"]]
        assert (answer["kind"] == "normal") == (not inserted) and (answer["kind"] == "inserted") == any(inserted)
        if answer["kind"] == "genuine":
            assert answer["lesions"] == [{"box": list(tiny_lesions.LESION), "inserted": False}]


def test_no_patient_is_in_a_study_twice(tmp_path, with_lesions):
    """All six patients have an inserted lesion as well; the six images of the study are of all of them."""
    refused(build_lesions(tmp_path, *with_lesions, images=3), "of 0 patients not yet in the study", "ask for fewer")


def test_other_mammograms_without_lesions_are_taken_where_given(tmp_path, with_lesions):
    normal = tiny_lesions.write_mammograms(tmp_path / "normal", lesions=False).folder
    done = build_lesions(tmp_path, *with_lesions, "--normal", normal)
    assert done.exit_code == 0, done.output
    small = tiny.write_dataset(tmp_path / "small", 20).folder
    refused(build_lesions(tmp_path, *with_lesions, "--normal", small), "--normal", "sizes would give the answer away")


def test_a_dataset_whose_lesions_are_not_known_is_named(tmp_path, with_lesions):
    genuine, inserted = with_lesions
    unknown = tiny_lesions.write_mammograms(tmp_path / "unknown", lesions=False).folder
    refused(build_lesions(tmp_path, unknown, inserted), "unknown: no lesions are known (lesions.json is missing)")
    refused(build_lesions(tmp_path, genuine, genuine), "--inserted", "has inserted images of 0 patients")


def test_help_lists_the_commands_in_the_order_of_their_use():
    listed = call("--help").output.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == ["build", "build-lesions", "analyse"]
