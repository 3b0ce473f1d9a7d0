"""The wheel, built from the tracked files, installed into an empty environment and run from an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import tiny

from preprocessing.version import __version__
from synthmammo.command import COMMANDS

pytestmark = pytest.mark.slow
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "data", "runs", "*.egg-info", "__pycache__")


def run(*words: object, cwd: Path) -> str:
    """Run a program without this repository on its path; returns what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(tiny.ROOT, folder / "source", ignore=NOT_SOURCE)
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """An environment that holds the wheel and, by a path file, the libraries that it needs."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    run(sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", wheel, cwd=folder)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def installed(environment, tmp_path_factory):
    """`synthmammo` of the environment, run in an empty folder."""
    folder = tmp_path_factory.mktemp("empty")
    return lambda *words: run(environment / "bin" / "synthmammo", *words, cwd=folder)


def test_wheel_holds_packages_and_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if not name.startswith("synthetic_mammography-")}
    assert tops == {path.parent.name for path in tiny.ROOT.glob("*/__init__.py")}
    assert any(name.endswith(".keras") for name in names)
    assert any(name.endswith(".html") for name in names)
    assert all(f"train_scripts/{name.replace('-', '_')}.py" in names for name in COMMANDS)


def test_metadata_has_readme_licence_and_version(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    text = archive.read(metadata).decode()
    assert f"\nVersion: {__version__}\n" in text
    assert "Description-Content-Type: text/markdown" in text
    assert text.endswith((tiny.ROOT / "README.md").read_text())
    assert any(name.endswith("LICENSE") for name in archive.namelist())


def test_packages_come_from_the_wheel(environment, tmp_path):
    code = "import preprocessing, synthmammo; print(preprocessing.__file__, synthmammo.__version__)"
    file, version = run(environment / "bin" / "python", "-c", code, cwd=tmp_path).split()
    assert file.startswith(str(environment)) and version == __version__


def test_version_and_help(installed):
    assert installed("--version") == f"synthmammo {__version__}\n"
    for name in COMMANDS:
        assert installed(name, "--help").startswith(f"Usage: synthmammo {name}")


def test_phantoms_then_mammograms_then_a_reader_study(installed):
    installed("make-phantoms", "--count", 3, "--output", "phantoms", "--workers", 1)
    installed("generate-mammograms", "--count", 2, "--masks", "phantoms", "--output", "synthetic")
    printed = installed(
        *("reader-study", "build", "--real", "phantoms", "--images", "ours=synthetic", "--masks", 2),
        *("--page", "study/page.html", "--key", "key.json"),
    )
    assert "4 images" in printed
