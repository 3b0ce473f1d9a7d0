"""The shell commands that README, CONTRIBUTING and the documentation show."""

import re
import shlex
from dataclasses import dataclass

import click
import tiny

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "benchmarks/README.md")
LAUNCHERS = {"srun": "synthmammo"}  # what follows is a command of its own


@dataclass(frozen=True)
class Shown:
    """One command as a page shows it.

    Attributes:
        page: path below the repository.
        line: where its block begins.
        words: the words of the command, as a shell splits them, without settings of variables before it.
    """

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def arguments(self) -> list[str]:
        """The words after the program, and after the name of a Python file or a module."""
        return list(self.words[1:])


def shown() -> list[Shown]:
    """Every command on every page, in the order of the pages."""
    found = []
    for pattern in PAGES:
        for path in sorted(tiny.ROOT.glob(pattern)):
            found += commands_of(path.read_text(encoding="utf-8"), str(path.relative_to(tiny.ROOT)))
    return found


def commands_of(text: str, page: str) -> list[Shown]:
    """The commands in the `sh` blocks of a page."""
    found = []
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        for whole in block.group(1).replace("\\\n", " ").splitlines():
            words = shlex.split(whole, comments=True)
            while "&&" in words:
                cut = words.index("&&")
                found.append(Shown(page, line, tuple(_bare(words[:cut]))))
                words = words[cut + 1 :]
            if words:
                found.append(Shown(page, line, tuple(_bare(words))))
    return found


def _bare(words: list[str]) -> list[str]:
    """A command without settings of variables before it, and without what starts it on several hosts."""
    while "=" in words[0] and not words[0].startswith("-"):
        words = words[1:]
    if words[0] in LAUNCHERS:
        words = words[words.index(LAUNCHERS[words[0]]) :]
    return words


def check(command: click.Command, arguments: list[str]) -> None:
    """Raise a usage error unless a command line is one that a command takes; files need not exist."""
    context = click.Context(command, info_name=command.name)
    if isinstance(command, click.Group):
        name, *rest = arguments
        if name == "--version":
            return
        chosen = command.get_command(context, name)
        if chosen is None:
            raise click.UsageError(f"there is no command {name}")
        return check(chosen, rest)
    values, left, _ = command.make_parser(context).parse_args(list(arguments))
    if "help" in values:
        return None
    if left:
        raise click.UsageError(f"{left} are words too many")
    for parameter in command.params:
        value = values.get(parameter.name)
        if parameter.required and value in (None, (), []):
            raise click.UsageError(f"{parameter.opts[0]} is missing")
        if value is not None and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)
    return None
