"""Calling the commands of train_scripts in this process, and what a refusal looks like."""

import importlib.util
from collections.abc import Callable

import tiny
from click.testing import CliRunner, Result


def command(name: str) -> Callable[..., Result]:
    """`train_scripts/<name>.py` as a function of its arguments."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", tiny.ROOT / "train_scripts" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(script.main, list(map(str, arguments)))

    return call


def refused(result: Result, *words: str, code: int = 1) -> None:
    """One error line, the last, that holds the words; the right exit code, no traceback."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == code, result.output
    lines = result.output.strip().splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    assert len(errors) == 1 and lines[-1] == errors[0], result.output
    for word in words:
        assert word in errors[0], errors[0]
