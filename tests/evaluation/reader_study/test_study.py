"""The page gives nothing away, the analysis recovers what scores were drawn from, and bad files are named."""

import base64
import csv
import gzip
import json
import re
import stat

import cv2
import numpy as np
import pytest
from folders import hold

from evaluation.image_set import EvaluationError
from evaluation.reader_study.analyse import (
    analyse,
    as_json,
    mean_kappa,
    plot,
    roc_points,
    table,
    weighted_kappa,
)
from evaluation.reader_study.build import build
from evaluation.reader_study.key import REAL, read_key, seal
from evaluation.reader_study.readings import read_scores
from evaluation.reader_study.results import write_files
from preprocessing.lock import LockError

MEANS = {"real": 3.8, "embedding": 2.4, "no-embedding": 1.5}


def pictures(count: int = 50, height: int = 16, width: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random((count, height, width)) for name in MEANS}


@pytest.fixture()
def study(tmp_path):
    """Folder of a study of three methods, fifty masks each."""
    masks = {name: range(50) for name in MEANS}
    build(pictures(), tmp_path / "page" / "study.html", tmp_path / "key.json", masks=masks)
    return tmp_path


def write_scores(study, reader: str, seed: int, *, skip: int = 0, change=lambda rows: rows):
    """A reader who scores each method around its mean: a CSV file as the page saves it.

    A score depends on reader, method and mask alone, not on the order, which no seed repeats.
    """
    key = read_key(study / "key.json")
    draws = {name: np.random.default_rng([seed, number]).random(50) for number, name in enumerate(MEANS)}
    rows = []
    for position, answer in enumerate(key["answers"][skip:], 1):
        low = int(MEANS[answer["method"]])
        score = low + int(draws[answer["method"]][answer["mask"]] < MEANS[answer["method"]] - low)  # of this mean
        rows.append([seal(key), reader, answer["image"], score, position, 1.5])
    path = study / f"{reader}.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(change([["study", "reader", "image", "score", "position", "seconds"], *rows]))
    return path


# --- blinding -----------------------------------------------------------------------------------


def test_the_page_names_no_method_and_no_file(study):
    page = (study / "page" / "study.html").read_text()
    page = re.sub(r'<script type="text/plain" id="pixels">.*?</script>', "", page, flags=re.DOTALL)
    assert not any(word in page for word in ("embedding", "pix2pix", ".keras", ".h5", str(study), '"mask"', "salt"))
    described = json.loads(re.search(r'id="study">(.*?)</script>', page)[1])
    assert set(described) == {"id", "title", "count", "height", "width", "words", "patients"}


def test_pixels_are_one_stream_of_8_bit_greys_in_the_key_s_order(study):
    page, key = (study / "page" / "study.html").read_text(), read_key(study / "key.json")
    packed = re.search(r'id="pixels">(.*?)</script>', page)[1]
    stream = np.frombuffer(gzip.decompress(base64.b64decode(packed)), np.uint8).reshape(150, 16, 8)
    images, seen = pictures(), dict.fromkeys(MEANS, 0)
    for answer, grey in zip(key["answers"], stream):
        assert (grey == np.round(images[answer["method"]][answer["mask"]] * 255)).all()
        seen[answer["method"]] += 1
    assert set(seen.values()) == {50}


def test_the_gzip_header_holds_no_name_and_no_time(study):
    packed = re.search(r'id="pixels">(.*?)</script>', (study / "page" / "study.html").read_text())[1]
    header = base64.b64decode(packed)[:10]
    assert header[3] == 0 and header[4:8] == bytes(4)


def test_the_order_is_shuffled_and_never_the_same(tmp_path):
    orders = []
    for number in range(2):
        build(pictures(), tmp_path / "page" / "study.html", tmp_path / f"key-{number}.json")
        orders.append([answer["method"] for answer in read_key(tmp_path / f"key-{number}.json")["answers"]])
    assert orders[0] != orders[1]


def test_nothing_can_be_sent_or_fetched(study):
    page = (study / "page" / "study.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|<link|<img|src=|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", page)


def test_the_key_is_private_and_apart(study):
    assert stat.S_IMODE((study / "key.json").stat().st_mode) == 0o600
    for key in ("key.json", "keys/key.json", "../page/keys/key.json"):
        with pytest.raises(EvaluationError, match="lies in the page's folder"):
            build(pictures(), study / "page" / "study.html", study / "page" / key)
    assert not (study / "page" / "keys").exists()


def test_a_key_that_scores_may_need_is_never_overwritten(study):
    before = (study / "key.json").read_bytes()
    with pytest.raises(EvaluationError, match="key.json: is there already"):
        build(pictures(), study / "page" / "study.html", study / "key.json")
    assert (study / "key.json").read_bytes() == before


def test_of_two_commands_that_build_a_study_one_is_refused(tmp_path):
    """They would leave the page of one and the key of the other."""
    hold(tmp_path / "keys")
    with pytest.raises(LockError, match="has been writing here since"):
        build(pictures(), tmp_path / "page" / "study.html", tmp_path / "keys" / "key.json")
    assert not any((tmp_path / "page").iterdir())


def test_a_page_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        build(pictures(), tmp_path / "file" / "study.html", tmp_path / "keys" / "key.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_the_page_is_sealed_to_the_key(study):
    page = (study / "page" / "study.html").read_text()
    key = read_key(study / "key.json")
    assert f'"id": "{seal(key)}"' in page
    key["answers"][0]["method"] = "real" if key["answers"][0]["method"] != "real" else "embedding"
    assert f'"id": "{seal(key)}"' not in page


def test_images_that_would_give_the_answer_away_are_refused(tmp_path):
    files = tmp_path / "page" / "study.html", tmp_path / "key.json"
    with pytest.raises(EvaluationError, match="embedding has images of 8x8, real of 16x8"):
        build({"real": np.zeros((2, 16, 8)), "embedding": np.zeros((2, 8, 8))}, *files)
    with pytest.raises(EvaluationError, match="needs 'real' images"):
        build({"embedding": np.zeros((2, 16, 8)), "other": np.zeros((2, 16, 8))}, *files)
    with pytest.raises(EvaluationError, match="embedding: an image holds NaN"):
        build({"real": np.zeros((2, 16, 8)), "embedding": np.full((2, 16, 8), np.nan)}, *files)


def test_the_words_are_those_of_the_paper(study):
    """Ren et al. 2019, section 6.5."""
    described = json.loads(re.search(r'id="study">(.*?)</script>', (study / "page" / "study.html").read_text())[1])
    assert described["words"] == ["definitely fake", "fake", "neutral", "realistic", "definitely realistic"]


def test_a_page_says_whether_it_contains_patients_images(study, tmp_path):
    page = (study / "page" / "study.html").read_text()
    assert "This page contains real images, of patients." in page and '"patients": true' in page
    build(pictures(2), tmp_path / "other" / "study.html", tmp_path / "other-key.json", of_patients=False)
    assert '"patients": false' in (tmp_path / "other" / "study.html").read_text()


def test_a_title_cannot_break_out_of_the_page(tmp_path):
    build(pictures(2), tmp_path / "p" / "s.html", tmp_path / "key.json", title="</script><script>alert(1)</script>")
    assert "<script>alert" not in (tmp_path / "p" / "s.html").read_text()


# --- analysis -----------------------------------------------------------------------------------


@pytest.fixture()
def analysis(study):
    files = [write_scores(study, f"reader {seed}", seed) for seed in range(3)]
    return analyse(read_scores(files, read_key(study / "key.json")))


def test_the_means_that_scores_were_drawn_from_are_recovered(analysis):
    for name, mean in MEANS.items():
        estimate = analysis.means[name]
        assert estimate.low <= mean <= estimate.high
        assert estimate.high - estimate.low < 0.3
    assert list(analysis.means)[0] == REAL


def test_methods_are_compared_mask_by_mask_and_differ(analysis):
    assert len(analysis.tests) == 3 and all(test.paired for test in analysis.tests)
    found = {(test.first, test.second): test for test in analysis.tests}
    assert found["real", "embedding"].difference == pytest.approx(1.4, abs=0.25)
    assert all(test.p < 1e-6 for test in analysis.tests)


def test_methods_without_a_difference_do_not_differ(study):
    """Every method has the scores 1 … 5 ten times, mask by mask others."""
    answers = {answer["image"]: answer for answer in read_key(study / "key.json")["answers"]}
    orders = {name: np.random.default_rng(number).permutation(50) for number, name in enumerate(MEANS)}

    def same(rows):
        drawn = ((row, answers[row[2]]) for row in rows[1:])
        return [rows[0], *([*row[:3], orders[a["method"]][a["mask"]] % 5 + 1, *row[4:]] for row, a in drawn)]

    file = write_scores(study, "A", 0, change=same)
    found = analyse(read_scores([file], read_key(study / "key.json")))
    assert all(test.difference == 0 and test.p > 0.5 for test in found.tests)
    assert all(auc.value == 0.5 and auc.low < 0.5 < auc.high for auc in found.auc.values())


def test_real_is_told_from_fake(analysis):
    assert set(analysis.auc) == {"embedding", "no-embedding", "all fakes"}
    assert analysis.auc["embedding"].value > 0.95


def test_kappa_by_hand():
    """Scores 1, 2, 3 against 1, 2, 5: disagreement 4/3; by chance, over all nine pairs, 32/9."""
    first, second = np.array([1.0, 2, 3]), np.array([1.0, 2, 5])
    chance = np.mean([(a - b) ** 2 for a in first for b in second])
    assert weighted_kappa(first, second) == pytest.approx(1 - (4 / 3) / chance)
    assert weighted_kappa(first, first) == 1
    assert np.isnan(weighted_kappa(np.ones(3), np.ones(3)))
    assert np.isnan(mean_kappa([first]))
    assert mean_kappa([first, first, second]) == pytest.approx((1 + 2 * weighted_kappa(first, second)) / 3)


def test_a_pair_of_readers_whose_kappa_cannot_be_measured_does_not_count():
    """Both give one score throughout, or have scored no image in common."""
    first, second, constant = np.array([1.0, 2, 3]), np.array([1.0, 2, 5]), np.full(3, np.nan)
    assert mean_kappa([first, second, constant]) == weighted_kappa(first, second)
    assert np.isnan(mean_kappa([np.ones(3), np.ones(3)]))


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_measured_is_said_and_null_in_the_results(study, tmp_path):
    """Two readers with no image in common, one of whom has seen no real image."""
    key = read_key(study / "key.json")
    of = {answer["image"]: answer["method"] for answer in key["answers"]}
    halves = {
        "A": lambda image: of[image] == REAL or image % 2 == 0,
        "B": lambda image: of[image] != REAL and image % 2,
    }
    files = [
        write_scores(study, reader, 0, change=lambda rows, kept=kept: [rows[0], *(r for r in rows[1:] if kept(r[2]))])
        for reader, kept in halves.items()
    ]
    found = analyse(read_scores(files, key, incomplete=True))
    assert np.isnan(found.kappa) and np.isnan(found.by_reader["B"][REAL])
    lines = table(found).splitlines()
    assert lines[1].split()[0] == REAL and lines[1].split()[-1] == "-"
    assert lines[-1] == "agreement of 2 readers (quadratically weighted kappa): cannot be measured"
    write_files(tmp_path / "out", table(found), as_json(found), plot(found))
    results = json.loads((tmp_path / "out" / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["weighted kappa"] is None and results["by reader"]["B"][REAL] is None


def test_kappa_is_scikit_learn_s():
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = np.random.default_rng(0).integers(1, 6, (2, 100))
    wanted = metrics.cohen_kappa_score(a, b, weights="quadratic")
    assert weighted_kappa(a.astype(float), b.astype(float)) == pytest.approx(wanted)


def test_roc_points_by_hand():
    false, true = roc_points(np.array([5.0, 3]), np.array([3.0, 1]))
    assert false.tolist() == [0, 0, 0.5, 1] and true.tolist() == [0, 0.5, 1, 1]


def test_the_table_the_plot_and_the_results(analysis, tmp_path):
    lines = table(analysis).splitlines()
    assert lines[1].split()[0] == "real" and "Wilcoxon" in table(analysis)
    plot(analysis).savefig(tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    write_files(tmp_path / "out", table(analysis), as_json(analysis), plot(analysis))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["mean score"]["real"]["count"] == 50


# --- what it refuses ----------------------------------------------------------------------------


def refused(study, file, *words: str, **options) -> None:
    with pytest.raises(EvaluationError) as error:
        read_scores([file] if not isinstance(file, list) else file, read_key(study / "key.json"), **options)
    for word in words:
        assert word in str(error.value)


def test_the_key_of_another_study_is_refused(study, tmp_path):
    file = write_scores(study, "A", 0)
    build(pictures(), tmp_path / "other" / "study.html", tmp_path / "other-key.json")
    with pytest.raises(EvaluationError, match="A.csv line 2: belongs to study .* the key to"):
        read_scores([file], read_key(tmp_path / "other-key.json"))


def test_a_missing_score_is_named(study):
    file = write_scores(
        study, "A", 0, change=lambda rows: [row[:3] + [""] + row[4:] if row[2] == 7 else row for row in rows]
    )
    refused(study, file, "A.csv: no score for 1 of 150 images (image 7)", "--incomplete")


def test_an_unfinished_study_is_refused_or_taken_as_it_is(study):
    file = write_scores(study, "A", 0, skip=100)
    refused(study, file, "no score for 100 of 150 images")
    readings = read_scores([file], read_key(study / "key.json"), incomplete=True)
    assert analyse(readings).means["real"].count <= 50


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda rows: [[*rows[0][:3], "note", *rows[0][4:]], *rows[1:]], "has no column 'score'"),
        (lambda rows: [*rows[:-1], [*rows[-1][:3], 6, *rows[-1][4:]]], "line 151: score '6' is not one of 1 to 5"),
        (lambda rows: [*rows[:-1], [*rows[-1][:2], 999, *rows[-1][3:]]], "image '999' is not one of 1 to 150"),
        (lambda rows: [*rows, rows[-1]], "is scored twice"),
        (lambda rows: rows[:1], "holds no scores"),
        (lambda rows: [], "has no column"),
        (lambda rows: [*rows[:-1], [rows[-1][0], "B", *rows[-1][2:]]], "scores of 2 readers"),
    ],
)
def test_a_file_that_is_wrong_is_named(study, change, words):
    refused(study, write_scores(study, "A", 0, change=change), "A.csv", words)


def test_scores_that_excel_saved_again_are_the_same(study):
    file = write_scores(study, "A", 0)
    before = read_scores([file], read_key(study / "key.json")).scores["A"]
    file.write_text(file.read_text().replace(",", ";"), encoding="utf-16")
    assert read_scores([file], read_key(study / "key.json")).scores["A"].tolist() == before.tolist()


def test_two_files_of_one_reader_are_refused(study):
    file = write_scores(study, "A", 0)
    refused(study, [file, file], "reader 'A' is in another file already")


def test_a_study_of_the_former_words_is_refused(study):
    """Its scores 2 to 4 had other meanings."""
    file, key = write_scores(study, "A", 0), json.loads((study / "key.json").read_text())
    (study / "key.json").write_text(json.dumps({**key, "format": 1}))
    with pytest.raises(EvaluationError, match="key.json: is of a study with other words for the scores"):
        read_scores([file], read_key(study / "key.json"))


def test_a_key_whose_answers_are_damaged_is_named(study):
    key = json.loads((study / "key.json").read_text())
    key["answers"][0]["image"] = "1"
    (study / "damaged.json").write_text(json.dumps(key))
    with pytest.raises(EvaluationError, match="damaged.json: is not the answer key"):
        read_key(study / "damaged.json")


def test_a_key_that_is_none_is_named(tmp_path):
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(EvaluationError, match="key.json: is not the answer key"):
        read_key(tmp_path / "key.json")
    with pytest.raises(EvaluationError, match="absent.json: cannot be read"):
        read_key(tmp_path / "absent.json")
