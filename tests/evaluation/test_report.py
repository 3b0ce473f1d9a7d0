"""What the report says of methods whose order is known, and that its page needs nothing from outside."""

import json
import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from browser import open_browser

from evaluation.evaluate import Evaluation, evaluate
from evaluation.image_set import EvaluationError, Samples
from evaluation.intervals import Estimate
from evaluation.metrics.memorisation import MEMORISATION, TrainingIndex, audit
from evaluation.metrics.metric import Row
from evaluation.report import Report, as_html, as_json, best, table, write

METRICS = [
    "swd_7x7",
    "msssim_pairs",
    "fine_energy_64px",
    "histogram_w1_64bins",
    "kid_radiomic_z",
    "fid_radiomic_z",
]


def noise(count: int, seed: int, contrast: float = 0.1) -> Samples:
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.4, 0.6, (count, 1, 1)) + contrast * rng.standard_normal((count, 64, 64))
    return Samples(np.clip(images, 0, 1), name=f"noise {seed}")


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """A method as good as real whose images hold three training images, and one of half the contrast."""
    real = noise(60, 0)
    index = TrainingIndex(real)
    control = index.matches(noise(30, 1))
    copies = np.concatenate([noise(40, 2).read(range(40))[0], real.read(range(3))[0]])
    found = {}
    for name, fake in {"good <b>": Samples(copies), "flat": noise(43, 3, 0.05)}.items():
        evaluation = evaluate(real, fake, METRICS)
        judged = Row(MEMORISATION.name, "t", "low", detail=audit(index, control, fake))
        evaluation.rows.append(judged)
        found[name] = Report(evaluation)
    return found


def row(good: str, value: float, reach: float, real: float = 0.0) -> Row:
    return Row("m", "m", good, Estimate(value, value - reach, value + reach, 9), Estimate(real, real, real, 9))


def best_of(**runs: Row) -> str:
    """Of reports with one row each; runs of a method are a1, a2 …, a single one is a."""
    samples = Samples(np.zeros((2, 8, 8)))
    evaluations = {name: Evaluation(samples, samples, [one], {}, {}, "") for name, one in runs.items()}
    return best({name: Report(found, method=name.rstrip("12")) for name, found in evaluations.items()}, "m")


def test_the_best_is_named_only_where_intervals_are_apart():
    assert best_of(a=row("low", 1, 0.4), b=row("low", 2, 0.4)) == "a"
    assert best_of(a=row("low", 1, 0.6), b=row("low", 2, 0.6)) == "undecided"
    assert best_of(a=row("high", 1, 0.1), b=row("high", 2, 0.1)) == "b"
    assert best_of(a=row("as real", 1, 0.1, 3), b=row("as real", 4, 0.1, 3)) == "b"
    assert best_of(a=row("low", 1, 0.1), b=Row("m", "m", "low", problem="too few")) == ""


def test_a_method_is_best_only_if_all_its_runs_are():
    good, fair, bad = (row("low", value, 0.1) for value in (1, 2, 3))
    assert best_of(a1=good, a2=fair, b1=bad, b2=bad) == "a"
    assert best_of(a1=good, a2=bad, b1=fair, b2=bad) == "undecided"
    assert best_of(a1=good, a2=row("low", 2.95, 0.1), b=bad) == "undecided"  # the second run's interval touches b's


def test_runs_of_one_method_do_not_compete():
    assert best_of(a1=row("low", 1, 0.1), a2=row("low", 2, 0.1)) == ""


def test_the_table_has_a_line_a_metric_and_marks_what_differs(reports):
    lines = table(reports).splitlines()
    fine = next(line for line in lines if line.startswith("fine_energy_64px"))
    assert fine.count("*") == 1 and fine.endswith("good <b>")
    assert lines[0].split()[:2] == ["metric", "wanted"] and lines[0].endswith("best")


def test_the_chance_of_a_value_stands_next_to_it():
    samples, found = Samples(np.zeros((2, 8, 8))), replace(row("high", 1, 0.1), chance={"generated": 0.4, "real": 0.3})
    reports = {"a": Report(Evaluation(samples, samples, [found], {}, {}, ""))}
    assert re.search(r"0 \[0, 0\] \(chance 0.30\) +1 \[0.9, 1.1\] \(chance 0.40\)", table(reports))
    page = as_html(reports)
    assert page.index("(chance 0.30)") < page.index("(chance 0.40)")


def test_a_method_with_another_floor_than_the_one_shown_says_so():
    samples = Samples(np.zeros((2, 8, 8)))
    rows = {
        name: replace(row("low", 1, 0.1), real=Estimate(value, 0, value, 2)) for name, value in (("a", 2), ("b", 0.5))
    }
    reports = {name: Report(Evaluation(samples, samples, [one], {}, {}, "")) for name, one in rows.items()}
    assert re.search(r"2 \[0, 2\] +1 \[0.9, 1.1\] +1 \[0.9, 1.1\] \* \(real 0.5 \[0, 0.5\]\)", table(reports))
    assert as_html(reports).count("<small>real: ") == 1


def test_a_metric_without_enough_images_tells_so_in_the_table(reports):
    problem = "fid_radiomic_z needs at least 128 real images (two halves) and 64 generated ones; there are 60 and 43"
    assert problem in table(reports)


def test_a_reason_is_told_once_for_all_that_it_holds_for(reports):
    told = [line for line in table(reports).splitlines() if "fid_radiomic_z needs" in line]
    assert len(told) == 1 and told[0].startswith("no fid_radiomic_z of good <b>, flat: fid_radiomic_z needs")


def test_the_audit_is_told_in_a_line(reports):
    lines = table(reports).splitlines()
    assert lines[-2].startswith("good <b>: 3 of 43 images suspiciously near to a training image")
    assert lines[-1].startswith("flat: 0 of 43 images")


def test_json_holds_numbers_intervals_and_counts(reports):
    found = json.loads(json.dumps(as_json(reports), allow_nan=False))
    method = found["methods"]["good <b>"]
    swd = next(row for row in method["metrics"] if row["name"] == "swd_7x7 mean")
    assert swd["generated"]["low"] < swd["generated"]["value"] < swd["generated"]["high"]
    assert swd["generated"]["count"] == 30  # half of sixty real images
    assert method["memorisation"]["suspicious"] and method["seconds per 1000 images"]["kid_radiomic_z"] >= 0
    assert {pair["generated"] for pair in method["memorisation"]["nearest"][:3]} == {40, 41, 42}


def as_items(samples: Samples, items: np.ndarray) -> Samples:
    """The first images of a set, as these items of a larger one."""
    larger = np.zeros((items[-1] + 1, *samples.size), np.float32)
    larger[items] = samples.read(np.arange(len(items)))[0]
    return Samples(larger, name=samples.name).subset(items)


def test_the_audit_names_items_of_both_datasets_and_no_places_in_a_part_of_them(reports):
    """Images 40, 41, 42 repeat training images 0, 1, 2; here they are items 120, 123, 126 and 10, 12, 14."""
    report = reports["good <b>"]
    fake = as_items(report.evaluation.fake, 3 * np.arange(43))
    training = as_items(report.audit.training, 10 + 2 * np.arange(60))
    row = Row(MEMORISATION.name, "t", "low", detail=replace(report.audit, training=training))
    some = {"a": Report(replace(report.evaluation, fake=fake, rows=[*report.evaluation.rows[:-1], row]))}
    found = as_json(some)["methods"]["a"]["memorisation"]
    copies = [(120, 10), (123, 12), (126, 14)]
    assert sorted(found["suspicious"]) == [generated for generated, _ in copies]
    assert sorted((pair["generated"], pair["training"]) for pair in found["nearest"][:3]) == copies
    page = as_html(some)
    assert all(f"item {generated}, training item {training}: score" in page for generated, training in copies)


def test_the_page_asks_for_nothing_and_escapes_names(reports):
    page = as_html(reports)
    assert "good &lt;b&gt;" in page and "good <b>" not in page
    assert not re.search(r"https?://|<script|<link|url\(", page)
    assert all(source.startswith("data:image/png") for source in re.findall(r'src="([^"]+)"', page))
    assert "default-src 'none'" in page


def test_the_page_shows_sets_plots_and_pairs(reports):
    page = as_html(reports)
    assert page.count("<img") == 1 + 2 + 1 + 2  # real, two methods, the histograms, their nearest pairs
    assert page.count("exact copy") == 3


def test_the_page_opens_without_a_network(reports, tmp_path):
    write(reports, tmp_path / "report")
    driver = open_browser(tmp_path)
    try:
        driver.get((tmp_path / "report" / "report.html").as_uri())
        time.sleep(0.3)
        widths = driver.execute_script("return [...document.images].map(i => i.naturalWidth)")
        assert len(widths) == 6 and min(widths) > 100
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if not url.startswith(("file:", "data:", "chrome:"))] == []
    finally:
        driver.quit()


def test_three_files_are_written(reports, tmp_path):
    write(reports, tmp_path / "report", {"seed": 3})
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.html", "report.json", "table.txt"}
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["seed"] == 3 and found["made_by"]["version"]


def test_a_page_that_cannot_be_made_leaves_no_other_file(reports, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.report.as_html", lambda reports: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(reports, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_is_named(reports, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="--output .*file: cannot be written"):
        write(reports, tmp_path / "file")


def test_a_page_with_patients_images_says_so_on_its_face(reports, tiny_dataset):
    assert "This page contains real images, of patients." in as_html(reports)
    real = Samples.of_dataset(tiny_dataset)
    assert "real images, of patients" in as_html({"a": Report(evaluate(real, real, ["leakage"]))})
    found = evaluate(real, real, ["leakage"])

    def page(of_real: str, of_fake: str) -> str:
        sets = []
        for by in (of_real, of_fake):
            sets.append(Samples(real.read(np.arange(len(real)))[0]))
            sets[-1].dataset = SimpleNamespace(meta={"made": {"by": by}, "synthetic": True}, fingerprint="")
        return as_html({"a": Report(replace(found, real=sets[0], fake=sets[1]))})

    drawn = page("make_phantoms", "generate_mammograms")
    assert "real images, of patients" not in drawn and "it shows no patient" in drawn
    for pair in (("prepare_mammograms", "generate_mammograms"), ("make_phantoms", "insert_lesions")):
        assert "real images, of patients" in page(*pair)


def test_a_report_says_which_software_and_which_data(tiny_dataset):
    real = Samples.of_dataset(tiny_dataset)
    found = as_json({"a": Report(evaluate(real, real, ["leakage"]))})
    assert found["real"]["dataset"] == found["methods"]["a"]["dataset"] == tiny_dataset.fingerprint
