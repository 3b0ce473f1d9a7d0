"""The page in a real browser: scored by keyboard, undone, closed and opened again, saved, with nothing sent."""

import json

import numpy as np
import pytest
from browser import begin, open_browser, press, saved, text

from evaluation.reader_study.build import build
from evaluation.reader_study.key import read_key
from evaluation.reader_study.readings import read_scores

METHODS = ("real", "embedding", "no embedding", "pix2pix")
HEIGHT, WIDTH = 64, 32


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Fifty images of each method; an image's mean grey tells the test which one it is."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    images = {
        name: np.clip(rng.uniform(0.1, 0.9, (50, 1, 1)) + 0.05 * rng.standard_normal((50, HEIGHT, WIDTH)), 0, 1)
        for name in METHODS
    }
    (folder / "page").mkdir()
    build(images, folder / "page" / "study.html", folder / "key.json", title="Study of breasts")
    return folder


def requests(driver) -> list[str]:
    """Addresses of all that the browser has asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def test_two_hundred_images_by_keyboard_with_an_undo_and_the_tab_closed_midway(study, tmp_path):
    given = np.random.default_rng(1).integers(1, 6, 200)
    keys = "".join(map(str, given))
    driver = open_browser(study)
    try:
        begin(driver, study / "page" / "study.html", "Reader A")
        assert text(driver, "progress") == "0 of 200"
        press(driver, keys[:80])
        press(driver, "1")  # a slip
        assert text(driver, "progress") == "81 of 200"
        press(driver, "\ue003")  # Backspace
        assert text(driver, "progress") == "80 of 200"
    finally:
        driver.quit()

    driver = open_browser(study)
    try:
        begin(driver, study / "page" / "study.html", None)  # the page remembers who was reading
        assert text(driver, "progress") == "80 of 200"
        press(driver, keys[80:120])
        driver.switch_to.new_window("tab")  # and once more, the tab alone
        fresh = driver.current_window_handle
        driver.switch_to.window(next(handle for handle in driver.window_handles if handle != fresh))
        driver.close()
        driver.switch_to.window(fresh)
        begin(driver, study / "page" / "study.html", None)
        assert text(driver, "progress") == "120 of 200"
        press(driver, keys[120:])
        assert "All images are scored" in text(driver, "done")
        press(driver, "5")  # no more than there are
        file = saved(driver, study)
        outside = [url for url in requests(driver) if not url.startswith(("file:", "data:", "blob:", "chrome"))]
        assert outside == []
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()

    rows = [line.split(",") for line in file.read_text().splitlines()]
    assert rows[0] == ["study", "reader", "image", "score", "position", "seconds"]
    assert [int(row[3]) for row in rows[1:]] == given.tolist()
    readings = read_scores([file], read_key(study / "key.json"))
    by_image = {int(row[2]): int(row[3]) for row in rows[1:]}
    assert readings.scores["Reader A"].tolist() == [by_image[image] for image in range(1, 201)]
    shown = [int(row[2]) for row in rows[1:]]
    assert sorted(shown) == list(range(1, 201)) and shown != sorted(shown)


def test_window_zoom_and_reset_change_what_is_seen(study):
    from selenium.webdriver.common.action_chains import ActionChains

    driver = open_browser(study)
    try:
        begin(driver, study / "page" / "study.html", "Reader B")
        canvas = driver.find_element("id", "canvas")
        pixels = (
            "const c = document.getElementById('canvas'), x = c.width / 2 - 60, y = c.height / 2 - 60;"
            "return [...c.getContext('2d').getImageData(x, y, 120, 120).data]"
        )
        grey = lambda: np.array(driver.execute_script(pixels))
        first = grey()
        assert text(driver, "view") == "window 255 level 128 zoom 1.0"
        ActionChains(driver).move_to_element(canvas).click_and_hold().move_by_offset(-100, 40).release().perform()
        assert text(driver, "view") == "window 155 level 108 zoom 1.0"
        assert not (grey() == first).all()
        press(driver, "+")
        assert text(driver, "view").endswith("zoom 1.3")
        press(driver, "0")
        assert (grey() == first).all()
        assert text(driver, "progress") == "0 of 200"
    finally:
        driver.quit()


def test_what_is_seen_is_the_image_of_that_number(study):
    """The first image on the screen has the mean grey that the key's image of its number was built with."""
    driver = open_browser(study)
    try:
        begin(driver, study / "page" / "study.html", "Reader C")
        number = driver.execute_script("return order[0]")
        inside = driver.execute_script(
            "const c=document.getElementById('canvas'), w=c.height*0.4;"
            "return [...c.getContext('2d').getImageData((c.width-w/2)/2,c.height*0.3,w/2,w).data]"
        )
        seen = np.array(inside).reshape(-1, 4)[:, 0].mean()
        stored = driver.execute_script(f"return [...pixels.subarray({number}*2048,({number}+1)*2048)]")
        assert seen == pytest.approx(np.mean(stored), abs=3)
    finally:
        driver.quit()
