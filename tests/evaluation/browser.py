"""A headless Chromium for the tests of pages, where there is one."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def open_browser(folder: Path):
    """A Chromium with its profile in a folder, no network, and a log of all that it asks for.

    Skips the test where selenium, Chromium or its driver is not installed.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium (extra `test`) is not installed")
    browser, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no Chromium with its chromedriver is on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1200,900",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))


def press(driver, keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver, duration=0).send_keys(keys).perform()


def text(driver, name: str) -> str:
    return driver.find_element("id", name).text


def wait(ready: Callable[[], object], what: str) -> object:
    """What is awaited, once it is true."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := ready():
            return found
        time.sleep(0.05)
    raise AssertionError(what)


def begin(driver, page: Path, reader: str | None) -> None:
    """Open the page of a reader study and begin; None takes the name that the page remembers."""
    driver.get(page.as_uri())
    wait(lambda: text(driver, "begin") == "Begin", "the images were not loaded")
    if reader is not None:
        driver.find_element("id", "reader").clear()
        driver.find_element("id", "reader").send_keys(reader)
    driver.find_element("id", "begin").click()


def saved(driver, folder: Path) -> Path:
    """Save the scores; the file."""
    driver.find_element("id", "export").click()
    return wait(lambda: next((folder / "downloads").glob("*.csv"), None), "no CSV file was saved")
