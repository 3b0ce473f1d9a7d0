"""One version, wherever it is written."""

import re
import subprocess
import sys

import tiny

from preprocessing.version import __version__


def test_version_of_the_package_is_that_of_the_code():
    done = subprocess.run([sys.executable, "setup.py", "--version"], cwd=tiny.ROOT, capture_output=True, text=True)
    assert done.stdout.split()[-1] == __version__


def test_citation_and_changelog_name_the_version():
    assert f"\nversion: {__version__}\n" in (tiny.ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^## {re.escape(__version__)}\b", (tiny.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_readme_is_one_page():
    assert len((tiny.ROOT / "README.md").read_text().splitlines()) <= 120
