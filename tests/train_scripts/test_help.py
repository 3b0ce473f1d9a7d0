"""`--help` answers at once: nothing heavy is imported to parse a command line."""

import subprocess
import sys
import time

import pytest
import tiny
from commands import command

SCRIPTS = sorted((tiny.ROOT / "train_scripts").glob("[a-z]*.py"))
LIMIT = 1.0  # seconds


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_answers_within_a_second(script):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage:")
        if seconds[-1] < LIMIT:
            return
    assert min(seconds) < LIMIT


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_says_what_each_option_is_for(script):
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True)
    options = [line for line in done.stdout.split("Options:")[1].splitlines() if line.startswith("  --")]
    assert options
    following = done.stdout.split("Options:")[1].splitlines()
    for number, line in enumerate(following):
        if line.startswith("  --"):
            told = len(line.split()) > 2 or following[number + 1].startswith(" " * 10)
            assert told, line


@pytest.mark.parametrize("script", ["make_phantoms", "generate_mammograms", "generate_masses", "insert_lesions"])
@pytest.mark.parametrize("count", [0, 10**20])
def test_a_count_that_nobody_can_mean_is_refused_before_anything_is_made(script, count, tmp_path):
    needed = ["--mammograms", tmp_path] if script == "insert_lesions" else []
    done = command(script)("--count", count, "--output", tmp_path / "out", *needed)
    assert done.exit_code == 2 and "is not in the range 1<=x<=10000000" in done.output
    assert not (tmp_path / "out").exists()


def test_there_are_scripts():
    assert {"train_mask_embed", "generate_mammograms", "make_phantoms"} <= {path.stem for path in SCRIPTS}
