"""The figures of the documentation show the networks as they are."""

import pytest
import tiny
from programs import program

draw = program("docs/figures/draw.py")


@pytest.mark.parametrize("name", draw.DIAGRAMS)
def test_figure_is_what_the_code_says(name):
    path = tiny.ROOT / "docs" / "figures" / f"{name}.png"
    assert draw.drawn(path) == draw.DIAGRAMS[name]().content, f"run python docs/figures/draw.py {name}"


def test_a_figure_says_what_was_drawn(tmp_path):
    diagram = draw.Diagram((draw.Box("a", "text", 1, 1, 1),), (), 2, 2)
    draw.render(diagram, tmp_path / "one.png")
    assert draw.drawn(tmp_path / "one.png") == diagram.content
