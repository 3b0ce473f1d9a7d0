"""Each command that README and documentation show is one that exists: its options, targets and files."""

import ast
import re

import click
import pytest
import tiny
from documented import check, commands_of, shown
from programs import program

from synthmammo.command import main

FOREIGN = {".", "eval", "tensorboard", "pre-commit"}  # programs whose options are not ours to check
MAKEFILE = (tiny.ROOT / "Makefile").read_text()
SETUP = (tiny.ROOT / "setup.py").read_text()


def extras() -> set[str]:
    for node in ast.walk(ast.parse(SETUP)):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            return {key.value for key in node.value.keys}
    raise AssertionError("setup.py has no extras")


def check_pip(arguments: list[str]) -> None:
    wanted = {name for word in arguments for name in re.findall(r"\.\[(.+)\]", word)}
    assert wanted <= extras()


def check_make(arguments: list[str]) -> None:
    for target in arguments:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), f"Makefile has no {target}"


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert arguments[1] in ("venv", "synthmammo", "pytest")
        return
    assert (tiny.ROOT / arguments[0]).is_file()
    check(program(arguments[0]).main, arguments[1:])


def check_pytest(arguments: list[str]) -> None:
    for word in arguments:
        assert not word.startswith("tests") or (tiny.ROOT / word).exists(), word


CHECKS = {
    "synthmammo": lambda arguments: check(main, arguments),
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
    "python": check_python,
}


@pytest.mark.parametrize("command", shown(), ids=str)
def test_documented_command_exists(command):
    if command.program in FOREIGN:
        return
    assert command.program in CHECKS, f"{command}: this test does not know {command.program}"
    CHECKS[command.program](command.arguments)
    for word in command.arguments:
        if word.startswith(("docs/", "benchmarks/", "train_scripts/", "tests/")):
            assert (tiny.ROOT / word).exists(), f"{command}: there is no {word}"


def test_commands_are_found():
    found = shown()
    assert len(found) > 30
    assert {"README.md", "CONTRIBUTING.md", "docs/tutorials/masses.md"} <= {command.page for command in found}
    assert {command.words[1] for command in found if command.program == "synthmammo"} > {"evaluate", "reader-study"}


def test_a_block_is_split_as_a_shell_does():
    text = (
        "words\n```sh\nA=1 synthmammo evaluate --real 'a b' \\\n    --fake c   # comment\nmake demo && make docs\n```\n"
    )
    assert [command.words for command in commands_of(text, "page")] == [
        ("synthmammo", "evaluate", "--real", "a b", "--fake", "c"),
        ("make", "demo"),
        ("make", "docs"),
    ]


@pytest.mark.parametrize(
    "line, problem",
    [
        ("make-phantoms --count 3 --output data --colour", "No such option"),
        ("make-phantoms --count 0 --output data", "is not in the range"),
        ("make-phantoms --count 3", "--output is missing"),
        ("make-phantoms --count 3 --output data --kind ct", "is not one of"),
        ("draw", "no command draw"),
    ],
)
def test_a_wrong_command_is_found(line, problem):
    with pytest.raises(click.UsageError, match=problem):
        check(main, line.split())


def options(command: click.Command) -> set[str]:
    """Every option of a command and of its sub-commands."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    children = command.list_commands(None) if isinstance(command, click.Group) else []
    return own.union({"--help"}, *(options(command.get_command(None, child)) for child in children))


def test_options_named_in_the_text_exist():
    known = options(main)
    pages = [tiny.ROOT / "README.md", *sorted((tiny.ROOT / "docs").rglob("*.md"))]
    named = {(page.name, name) for page in pages for name in re.findall(r"`(--[a-z-]+)", page.read_text())}
    assert len(named) > 20
    assert {(page, name) for page, name in named if name not in known} == set()
