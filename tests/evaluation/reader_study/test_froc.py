"""Which mark finds which lesion, and the analysis: by hand, and for readers whose ability is known."""

import csv
import json
import random

import cv2
import numpy as np
import pytest

from evaluation.image_set import EvaluationError
from evaluation.reader_study.build import Shown, write_study
from evaluation.reader_study.froc import AREA, analyse, area, as_json, curve, plot, table, told_apart
from evaluation.reader_study.key import COLUMNS, FIND, GENUINE, INSERTED, NORMAL, read_key, seal
from evaluation.reader_study.lesion_study import WORDS
from evaluation.reader_study.marks import SPARE, Mark, compared, read_marks
from evaluation.reader_study.results import write_files

BOX = [40, 60, 20, 10]
EVERY = np.ones(3)


def answers(*lesions: list[tuple[list[float], bool]]) -> list[dict]:
    return [{"lesions": [{"box": box, "inserted": inserted} for box, inserted in one]} for one in lesions]


# --- which mark finds which lesion --------------------------------------------------------------


@pytest.mark.parametrize(
    "x, y, found",
    [(50, 65, True), (40 - SPARE, 70 + SPARE, True), (39.9 - SPARE, 65, False), (50, 70.1 + SPARE, False)],
)
def test_a_mark_finds_a_lesion_in_its_box_and_a_little_beyond(x, y, found):
    result = compared(answers([(BOX, False)]), {0: [Mark(x, y, 4, 2)]})
    assert result.lesion.tolist() == [4 * found] and len(result.false_image) == (not found)


def test_a_mark_in_two_boxes_finds_the_nearer_lesion():
    two = answers([([40, 60, 20, 20], False), ([50, 60, 40, 20], True)])
    assert compared(two, {0: [Mark(54, 70, 3, 1)]}).lesion.tolist() == [3, 0]
    assert compared(two, {0: [Mark(64, 70, 3, 1)]}).lesion.tolist() == [0, 3]


def test_of_two_marks_on_a_lesion_the_surer_counts_and_none_is_false():
    result = compared(answers([(BOX, False)]), {0: [Mark(45, 65, 2, 5), Mark(50, 65, 4, 1)]})
    assert result.lesion.tolist() == [4] and result.real.tolist() == [1] and len(result.false_image) == 0


def test_a_mark_on_the_place_of_a_lesion_in_another_image_is_false():
    result = compared(answers([(BOX, False)], []), {0: [], 1: [Mark(50, 65, 4, 1)]})
    assert result.lesion.tolist() == [0] and result.false_image.tolist() == [1]


# --- by hand ------------------------------------------------------------------------------------


@pytest.fixture()
def by_hand():
    """Genuine lesions scored 4 and not found, an inserted one scored 2; false marks of 3 and 1 in the normal image."""
    three = answers([(BOX, False), ([100, 100, 20, 20], False)], [(BOX, True)], [])
    marks = {0: [Mark(50, 65, 4, 5)], 1: [Mark(50, 65, 2, 1)], 2: [Mark(5, 5, 3, 3), Mark(90, 90, 1, 3)]}
    return compared(three, marks)


def test_the_curve_by_hand(by_hand):
    false, sensitivity = curve(by_hand, False, EVERY)
    assert false.tolist() == pytest.approx([0, 0, 0, 1 / 3, 1 / 3, 2 / 3])
    assert sensitivity.tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5]
    assert curve(by_hand, True, EVERY)[1].tolist() == [0, 0, 0, 0, 1, 1]


def test_an_image_that_counts_twice_is_as_two(by_hand):
    false, sensitivity = curve(by_hand, False, np.array([2.0, 1, 1]))
    assert false[-1] == 2 / 4 and sensitivity[-1] == 0.5


def test_the_area_by_hand(by_hand):
    """The normal image's highest false mark is 3: 4 exceeds it; no mark, and 2, do not."""
    normal = np.array([False, False, True])
    assert area(by_hand, False, normal, EVERY) == 0.5
    assert area(by_hand, True, normal, EVERY) == 0


def test_lesions_and_normal_images_without_marks_are_ties():
    unmarked = compared(answers([(BOX, False)], []), {0: [], 1: []})
    assert area(unmarked, False, np.array([False, True]), np.ones(2)) == 0.5


def test_the_auc_by_hand():
    """Genuine 5 and 3 against inserted 3: one above, one tie."""
    boxes = [[0, 0, 20, 20], [60, 0, 20, 20], [120, 0, 20, 20], [180, 0, 20, 20]]
    four = answers([(box, inserted) for box, inserted in zip(boxes, (False, False, True, True))])
    marks = [Mark(box[0] + 10, 10, 4, real) for box, real in zip(boxes[:3], (5, 3, 3))]  # the last is not found
    assert told_apart(compared(four, {0: marks}), np.ones(1)) == 0.75


# --- readers of known ability -------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Forty images of each kind, one lesion in each that is not normal."""
    folder, rng, shown = tmp_path_factory.mktemp("study"), np.random.default_rng(0), []
    for kind in (NORMAL, GENUINE, INSERTED):
        for _ in range(40):
            box = [*rng.uniform(10, 30, 2).tolist(), 12, 10]
            lesions = [] if kind == NORMAL else [{"box": box, "inserted": kind == INSERTED}]
            shown.append(Shown(rng.random((64, 64)), {"kind": kind, "lesions": lesions}))
    files = folder / "page" / "study.html", folder / "key.json"
    with pytest.MonkeyPatch.context() as patch:  # another order would be another sample of guesses
        patch.setattr("secrets.SystemRandom", lambda: random.Random(0))
        write_study(shown, *files, task=FIND, words=WORDS, title="Lesions", of_patients=False)
    return folder


def write_marks(study, reader: str, sees, false=lambda rng: False, change=lambda rows: rows):
    """A reader's file. `sees` says the scores (lesion, real) of a lesion, or None; `false`, whether to mark nothing."""
    key = read_key(study / "key.json")
    rng, rows = np.random.default_rng(len(reader)), []
    for answer in key["answers"]:
        marks = []
        for lesion in answer["lesions"]:
            x, y, width, height = lesion["box"]
            if (scores := sees(rng, lesion["inserted"])) is not None:
                marks.append([x + width / 2, y + height / 2, *scores])
        if false(rng):
            marks.append([60, 60, 2, 3])
        rows += [[seal(key), reader, answer["image"], *mark] for mark in marks or [[""] * 4]]
    path = study / f"{reader}.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(change([COLUMNS[FIND], *rows]))
    return path


def analysed(study, *files):
    return analyse(read_marks(files, read_key(study / "key.json")))


def test_a_perfect_reader_finds_all_and_who_guesses_tells_nothing_apart(study):
    found = analysed(study, write_marks(study, "perfect", lambda rng, inserted: (5, int(rng.integers(1, 6)))))
    for kind in (GENUINE, INSERTED):
        assert {(one.value, one.low, one.high) for one in found.lesions[kind].values()} == {(1, 1, 1)}
    assert found.told_apart.low < 0.5 < found.told_apart.high and found.told_apart.count == 80


def test_a_reader_who_recognises_inserted_lesions_has_an_auc_of_one(study):
    found = analysed(study, write_marks(study, "expert", lambda rng, inserted: (4, 2 if inserted else 4)))
    assert found.told_apart.value == found.told_apart.low == 1


def test_a_reader_who_finds_half_of_the_inserted_lesions(study):
    """0.5 of them, and half of them tie with normal images, of which none is marked: an area of 0.75."""
    sees = lambda rng, inserted: None if inserted and rng.random() < 0.5 else (5, 3)
    found = analysed(study, write_marks(study, "half", sees))
    sensitivity, marked = found.lesions[INSERTED]["sensitivity at 0.125"], found.lesions[INSERTED][AREA]
    assert sensitivity.low < 0.5 < sensitivity.high and marked.low < 0.75 < marked.high
    assert found.lesions["genuine - inserted"][AREA].low > 0


def test_false_marks_cost_sensitivity_at_few_of_them(study):
    """Lesions and half of all images are marked alike: at 0.25 false marks per image half of the way is gone."""
    file = write_marks(study, "unsure", lambda rng, inserted: (2, 3), false=lambda rng: rng.random() < 0.5)
    one = analysed(study, file).lesions[GENUINE]["sensitivity at 0.25"]
    assert one.low < 0.5 < one.high and one.high - one.low < 0.3


def test_a_reader_who_marks_nothing_is_at_chance_and_tells_nothing(study):
    found = analysed(study, write_marks(study, "blind", lambda rng, inserted: None))
    assert found.lesions[GENUINE][AREA].value == 0.5
    assert found.lesions[GENUINE]["sensitivity at 1"].value == 0
    assert np.isnan(found.told_apart.value)


def test_measures_are_means_over_readers(study):
    perfect = write_marks(study, "perfect", lambda rng, inserted: (5, 3))
    blind = write_marks(study, "blind", lambda rng, inserted: None)
    found = analysed(study, perfect, blind)
    assert found.lesions[GENUINE][AREA].value == 0.75
    assert found.told_apart.value == 0.5  # of the one who found lesions


def test_the_table_the_plot_and_the_results(study, tmp_path):
    found = analysed(study, write_marks(study, "blind", lambda rng, inserted: None))
    assert [line.split()[0] for line in table(found).splitlines()[1:4]] == ["genuine", "inserted", "genuine"]
    assert "0 lesions found: cannot be measured" in table(found)
    write_files(tmp_path, table(found), as_json(found), plot(found))
    plot(found).savefig(tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    results = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["lesions"]["genuine"]["area"]["count"] == 40
    assert results["AUC of genuine against inserted"]["value"] is None


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column, value, words",
    [
        ("x", "left", "x 'left' is not a number of pixels"),
        ("y", "nan", "y 'nan' is not a number of pixels"),
        ("lesion", "6", "score '6' is not one of 1 to 5"),
        ("real", "", "score '' is not one of 1 to 5"),
        ("image", "121", "image '121' is not one of 1 to 120"),
    ],
)
def test_a_mark_that_is_wrong_is_named(study, column, value, words):
    def change(rows):
        place = COLUMNS[FIND].index(column)
        last = max(number for number, row in enumerate(rows) if row[3] != "")
        return [*rows[:last], [*rows[last][:place], value, *rows[last][place + 1 :]], *rows[last + 1 :]]

    file = write_marks(study, "A", lambda rng, inserted: (5, 3), change=change)
    with pytest.raises(EvaluationError, match=f"A.csv line .*{words}"):
        read_marks([file], read_key(study / "key.json"))


def test_a_mark_that_stands_there_twice_is_named(study):
    file = write_marks(study, "A", lambda rng, inserted: (5, 3), change=lambda rows: [*rows, *rows[-40:]])
    with pytest.raises(EvaluationError, match=r"A.csv line \d+: image \d+ is marked twice at [\d.]+, [\d.]+$"):
        read_marks([file], read_key(study / "key.json"))


def test_images_that_a_reader_has_not_seen_are_missing_or_do_not_count(study):
    sees = lambda rng, inserted: (5, 3)
    file = write_marks(study, "A", sees, change=lambda rows: rows[:-20])
    with pytest.raises(EvaluationError, match="no score for 20 of 120 images"):
        read_marks([file], read_key(study / "key.json"))
    found = analyse(read_marks([file], read_key(study / "key.json"), incomplete=True))
    assert found.lesions[GENUINE][AREA].value == 1


def test_a_key_whose_lesions_are_damaged_is_named(study):
    key = json.loads((study / "key.json").read_text())
    next(answer for answer in key["answers"] if answer["lesions"])["lesions"][0]["box"] = [1, 2, 3]
    (study / "damaged.json").write_text(json.dumps(key))
    with pytest.raises(EvaluationError, match="damaged.json: is not the answer key"):
        read_key(study / "damaged.json")
