"""The console command: which sub-commands it has, that they are the scripts', its version and its completion."""

import os
import subprocess
import sys
import time
from importlib import import_module

import pytest
import tiny
from click.testing import CliRunner

from preprocessing.version import __version__
from synthmammo.command import COMMANDS, main


def synthmammo(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The console command in a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "synthmammo", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tiny.ROOT), **environment},
    )


def test_every_script_is_a_sub_command():
    scripts = {path.stem for path in (tiny.ROOT / "train_scripts").glob("[a-z]*.py")}
    assert {name.replace("-", "_") for name in COMMANDS} == scripts


@pytest.mark.parametrize("name", COMMANDS)
def test_sub_command_is_the_function_of_its_script(name):
    command = main.get_command(None, name)
    assert command is import_module(f"train_scripts.{name.replace('-', '_')}").main


def test_help_lists_every_command_in_the_order_of_the_work():
    output = CliRunner().invoke(main, ["--help"]).output
    places = [output.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_help_is_instant_and_imports_neither_tensorflow_nor_numpy():
    code = (
        "import sys, time; began = time.perf_counter(); from synthmammo.command import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(time.perf_counter() - began, [n for n in ('tensorflow', 'keras', 'numpy', 'h5py') if n in sys.modules])"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tiny.ROOT)
        assert done.returncode == 0, done.stderr
        took, heavy = done.stdout.splitlines()[-1].split(" ", 1)
        assert heavy == "[]"
        seconds.append(float(took))
        if seconds[-1] < 0.5:
            return
        time.sleep(1)
    assert min(seconds) < 0.5


def test_version():
    done = synthmammo("--version")
    assert (done.returncode, done.stdout) == (0, f"synthmammo {__version__}\n")


def test_unknown_command_is_one_line_and_a_pointer():
    done = synthmammo("trian")
    assert done.returncode == 2
    assert "No such command 'trian'" in done.stderr and "Traceback" not in done.stderr


def test_shell_completes_commands_and_options():
    words = {"_SYNTHMAMMO_COMPLETE": "bash_complete", "COMP_WORDS": "synthmammo prep", "COMP_CWORD": "1"}
    assert "plain,prepare-mammograms" in synthmammo(**words).stdout
    words |= {"COMP_WORDS": "synthmammo train-mask-embed --pha", "COMP_CWORD": "2"}
    assert "plain,--phase" in synthmammo(**words).stdout
