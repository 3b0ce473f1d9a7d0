"""Docstrings name only arguments that exist, and public modules say what they are for."""

import ast
import re
from pathlib import Path

import pytest
import tiny

PACKAGES = [path.parent for path in sorted(tiny.ROOT.glob("*/__init__.py"))]
FILES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
SECTION = re.compile(r"^Args:\n((?:    .*\n|\n)*)", re.MULTILINE)
NAMES = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", re.MULTILINE)


def named_arguments(docstring: str) -> list[str]:
    """Arguments that the `Args` section describes; "height, width: ..." describes two."""
    section = SECTION.search(docstring + "\n")
    if not section:
        return []
    return [name.strip("* ") for names in NAMES.findall(section.group(1)) for name in names.split(",")]


def arguments(function: ast.FunctionDef) -> set[str]:
    every = function.args
    listed = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
    return {argument.arg for argument in listed if argument}


def wrong_names(path: Path) -> list[str]:
    """Functions whose docstring describes an argument that they do not have; of a class, its `__init__` counts."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        docstring = ast.get_docstring(node) or ""
        functions = (
            [node]
            if isinstance(node, ast.FunctionDef)
            else [
                member
                for member in node.body
                if isinstance(member, ast.FunctionDef) and member.name in ("__init__", "call")
            ]
        )
        known = set().union(*(arguments(function) for function in functions))
        if isinstance(node, ast.ClassDef) and not functions:
            continue
        found += [f"{node.name}: {name}" for name in named_arguments(docstring) if name not in known]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(tiny.ROOT)))
def test_docstrings_describe_arguments_that_exist(path):
    assert wrong_names(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(tiny.ROOT)))
def test_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_a_wrong_name_is_found(tmp_path):
    lines = ["def f(height, width, *rest):", '    """Do.', "", "    Args:"]
    lines += ["        height, depth: of it.", "        rest: more.", '    """']
    text = "\n".join(lines) + "\n"
    (tmp_path / "m.py").write_text(text)
    assert wrong_names(tmp_path / "m.py") == ["f: depth"]
