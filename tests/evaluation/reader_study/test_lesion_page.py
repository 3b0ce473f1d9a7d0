"""The page of a study with lesions in a real browser: marks by mouse, touch and keyboard, and what is saved."""

import numpy as np
import pytest
from browser import begin, open_browser, press, saved, text

from evaluation.reader_study.build import Shown, write_study
from evaluation.reader_study.key import FIND, read_key
from evaluation.reader_study.lesion_study import WORDS
from evaluation.reader_study.marks import read_marks
from evaluation.reader_study.readings import in_order

HEIGHT, WIDTH = 512, 256
BOX = {"box": [100, 200, 30, 24], "inserted": False}
DELETE, BACKSPACE, ENTER, LEFT, UP = "\ue017", "\ue003", "\ue007", "\ue012", "\ue013"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two images, one with a lesion."""
    folder = tmp_path_factory.mktemp("study")
    images = np.random.default_rng(0).random((2, HEIGHT, WIDTH))
    answers = {"kind": "genuine", "lesions": [BOX]}, {"kind": "normal", "lesions": []}
    shown = [Shown(image, answer) for image, answer in zip(images, answers)]
    files = folder / "page" / "study.html", folder / "key.json"
    write_study(shown, *files, task=FIND, words=WORDS, title="Lesions", of_patients=True)
    return folder


@pytest.fixture()
def driver(study):
    opened = open_browser(study)
    yield opened
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    opened.quit()


def read(driver, study, reader: str) -> None:
    begin(driver, study / "page" / "study.html", reader)


def place(driver, x: float, y: float) -> list[int]:
    """A place of the image in pixels of the window."""
    script = (
        "const box = document.getElementById('canvas').getBoundingClientRect(), [x, y] = seen(...arguments);"
        "return [Math.round(box.x + x), Math.round(box.y + y)]"
    )
    return driver.execute_script(script, x, y)


def click(driver, x: float, y: float, kind: str = "mouse") -> None:
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    actions = ActionBuilder(driver, mouse=PointerInput(kind, "one"), duration=0)
    actions.pointer_action.move_to_location(*place(driver, x, y)).click()
    actions.perform()


def marks(driver) -> list[dict]:
    return driver.execute_script("return current.marks")


def test_marks_are_kept_over_a_reload_and_saved_with_the_images_without(study, driver):
    read(driver, study, "Reader A")
    click(driver, 120, 210)
    assert text(driver, "question") == "Mark 1: Is it a lesion?"
    press(driver, "5")
    assert text(driver, "question") == "Mark 1: Is it real or inserted?"
    press(driver, "2")
    click(driver, 30, 400)
    press(driver, "1")
    read(driver, study, None)  # in the middle of the second mark
    assert text(driver, "question") == "Mark 2: Is it real or inserted?"
    press(driver, "n")  # not yet
    assert text(driver, "progress") == "0 of 2"
    press(driver, "14n")  # the mark is chosen anew, and both scores are given
    assert text(driver, "progress") == "1 of 2"
    press(driver, "n")
    assert "All images are scored" in text(driver, "done")
    key, number = read_key(study / "key.json"), driver.execute_script("return order[0] + 1")
    file = saved(driver, study)
    first, second, third = (line.split(",") for line in file.read_text().splitlines()[1:])
    assert [float(value) for value in first[3:5]] == pytest.approx([120, 210], abs=1) and first[5:7] == ["5", "2"]
    assert second[5:7] == ["1", "4"] and third[3:7] == [""] * 4
    found = read_marks([file], key).found["Reader A"]
    assert found.seen.all()
    has_lesion = bool(in_order(key)[number - 1]["lesions"])
    assert found.lesion.tolist() == [5 if has_lesion else 0]
    assert len(found.false_image) == (1 if has_lesion else 2)


def test_a_mark_is_chosen_removed_and_undone(study, driver):
    read(driver, study, "Reader B")
    click(driver, 120, 210)
    press(driver, "34")
    click(driver, 200, 300)
    press(driver, "12")
    click(driver, 121, 211)  # the first again
    assert text(driver, "question") == "Mark 1: Is it a lesion?" and len(marks(driver)) == 2
    press(driver, DELETE)
    assert [mark["lesion"] for mark in marks(driver)] == [1]
    press(driver, "n" + BACKSPACE)  # back to this image, with its mark
    assert text(driver, "progress") == "0 of 2" and len(marks(driver)) == 1
    press(driver, BACKSPACE)
    assert marks(driver) == []


def test_keys_alone_are_enough(study, driver):
    read(driver, study, "Reader C")
    press(driver, LEFT * 3 + UP * 2 + ENTER + "53")
    (mark,) = marks(driver)
    scale = driver.execute_script("return frame().scale / frame().dense")
    assert [mark["x"], mark["y"]] == pytest.approx([128 - 3 * 8 / scale, 256 - 2 * 8 / scale], abs=0.1)
    assert (mark["lesion"], mark["real"]) == (5, 3)
    press(driver, "m")
    assert text(driver, "question") == "Mark 1: Is it a lesion?"
    press(driver, "41nn")
    assert "All images are scored" in text(driver, "done")


def test_touch_marks_and_two_fingers_zoom(study, driver):
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.interaction import POINTER_TOUCH

    read(driver, study, "Reader D")
    click(driver, 60, 100, kind="touch")
    assert [marks(driver)[0][name] for name in "xy"] == pytest.approx([60, 100], abs=1)
    actions = ActionBuilder(driver, duration=50)
    x, y = place(driver, 128, 256)
    for name, side in (("one", -1), ("two", 1)):
        finger = actions.add_pointer_input(POINTER_TOUCH, name)
        finger.create_pointer_move(x=x + 40 * side, y=y, duration=0)
        finger.create_pointer_down(button=0)
        finger.create_pointer_move(x=x + 80 * side, y=y)
        finger.create_pointer_up(button=0)
    actions.perform()
    assert driver.execute_script("return view.zoom") == pytest.approx(2, rel=0.05)
    assert len(marks(driver)) == 1  # two fingers mark nothing


def test_a_place_keeps_its_pixel_when_the_view_moves(study, driver):
    read(driver, study, "Reader E")
    press(driver, "+++")
    driver.execute_script("move(-70, 55)")
    click(driver, 150, 220)
    assert [marks(driver)[0][name] for name in "xy"] == pytest.approx([150, 220], abs=1)


def test_a_drag_changes_the_window_and_marks_nothing(study, driver):
    from selenium.webdriver.common.action_chains import ActionChains

    read(driver, study, "Reader F")
    canvas = driver.find_element("id", "canvas")
    ActionChains(driver).move_to_element(canvas).click_and_hold().move_by_offset(-50, 20).release().perform()
    assert text(driver, "view").startswith("window 205 level 118")
    assert marks(driver) == []
