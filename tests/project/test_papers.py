"""Every place in the code that docs/papers.md names exists."""

import ast
import re
from pathlib import Path

import pytest
import tiny

PAGE = tiny.ROOT / "docs" / "papers.md"
TARGET = re.compile(r"`([a-z_0-9.]+):([A-Za-z_0-9.]+)`")


def targets() -> list[tuple[str, str]]:
    return sorted(set(TARGET.findall(PAGE.read_text(encoding="utf-8"))))


def defined(path: Path) -> set[str]:
    """Names that a module defines at its top level, and `Class.member` of its classes."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = (member for member in node.body if isinstance(member, ast.FunctionDef | ast.AnnAssign))
            names |= {f"{node.name}.{getattr(one, 'name', None) or one.target.id}" for one in members}
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                names.add(target.id)
    return names


def test_the_page_names_places():
    assert len(targets()) > 40


@pytest.mark.parametrize("module, name", targets(), ids=lambda part: part)
def test_place_exists(module, name):
    path = tiny.ROOT / (module.replace(".", "/") + ".py")
    assert path.is_file(), f"docs/papers.md: there is no module {module}"
    assert name in defined(path), f"docs/papers.md: {module} defines no {name}"


def test_every_row_says_where_or_why_not():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    unexplained = [
        row
        for row in rows
        if not TARGET.search(row) and not re.search(r"nothing to build|not (built|repeated), because|where it is", row)
    ]
    assert unexplained == []
