"""Call commands in this process, and tell what they print themselves from what libraries print past them."""

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
os.environ.update(QUIET)


@dataclass
class Done:
    """What became of a command.

    Attributes:
        code: Exit status; None where an exception left it.
        text: What it printed through click.
        stray: Lines that others printed.
        error: Last line of a traceback and where in the project it arose; "" for none.
    """

    code: int | None
    text: str
    stray: list[str] = field(default_factory=list)
    error: str = ""


class _Stream:
    """Stands for standard output or error: keeps what click writes apart from all else."""

    encoding, errors = "utf-8", "strict"

    def __init__(self):
        self.told: list[str] = []
        self.stray: list[str] = []

    def write(self, text: str) -> int:
        text.encode()  # as a terminal would: a lone surrogate is an error
        (self.told if _is_ours(sys._getframe(1).f_code.co_filename) else self.stray).append(text)
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return False


@cache
def command(name: str):
    """Return the click command of a module of `train_scripts`."""
    sys.path.insert(0, str(ROOT / "tests"))
    _use_tiny_presets(name)
    return importlib.import_module(f"train_scripts.{name}").main


def _use_tiny_presets(name: str) -> None:
    """Let `--preset quick` train the smallest networks of the tests."""
    if name in ("train_mask_embed", "train_feature2mass"):
        import training.run

        system, preset = {
            "train_mask_embed": ("mask_embedding_gan", "tiny"),
            "train_feature2mass": ("feature2mass", "tiny_masses"),
        }[name]
        presets = importlib.import_module(f"{system}.presets").PRESETS
        presets["quick"] = importlib.import_module(preset).preset()
        training.run.configure_tensorflow()
        training.run.configure_tensorflow = lambda *_, **__: None  # once per process


def call(name: str, *arguments: object) -> Done:
    """Run a command as the command line does, in this process.

    Args:
        name: Of its module in `train_scripts`.
        arguments: Of the command line.
    """
    script = command(name)
    out, err = _Stream(), _Stream()
    code, error = None, ""
    with _streams(out, err):
        try:
            script.main([str(argument) for argument in arguments], prog_name=name)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as fault:  # noqa: BLE001, whatever leaves a command is a traceback to its user
            error = _described(fault)
    stray = "".join(out.stray + err.stray).splitlines()
    return Done(code, "".join(out.told + err.told), [line for line in stray if line.strip()], error)


@contextmanager
def _streams(out: _Stream, err: _Stream) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _is_ours(file: str) -> bool:
    """Tell whether a file prints for the project: its own, click or rich."""
    parts = _parts(file)
    return "/click/" in parts or "/rich/" in parts or (file.startswith(str(ROOT)) and "/.venv/" not in parts)


def _parts(path: str) -> list[str]:
    return [f"/{part}/" for part in Path(path).parts]


def _described(fault: BaseException) -> str:
    frames = [
        f for f in traceback.extract_tb(fault.__traceback__) if str(ROOT) in f.filename and ".venv" not in f.filename
    ]
    own = [f for f in frames if "/benchmarks/" not in f.filename]
    place = f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "?"
    return f"{type(fault).__name__} at {place}: {str(fault).splitlines()[0][:160] if str(fault) else ''}"
