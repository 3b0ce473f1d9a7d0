"""Imports between the packages point downwards and close no circle."""

from pathlib import Path

import pytest
import tiny
from programs import program

graph = program("benchmarks/import_graph.py")


@pytest.fixture(scope="module")
def found():
    return graph.imports(tiny.ROOT)


def written(root: Path, **files: str) -> Path:
    """A checkout with these modules: `preprocessing__a` is preprocessing/a.py."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return root


def test_every_package_of_ours_has_a_layer():
    packages = {path.parent.name for path in tiny.ROOT.glob("*/__init__.py")}
    assert packages <= set(graph.RANK)


def test_no_import_points_upwards(found):
    assert len(found) > 200
    assert [str(one) for one in graph.upward(found)] == []


def test_no_circle_among_modules(found):
    assert graph.circles({(one.importer, one.imported) for one in found}) == []


def test_no_circle_among_folders_next_to_each_other(found):
    """A folder and the one that it lies in may import each other's modules; two of one folder may not."""
    files = graph.modules(tiny.ROOT)
    folders = {(graph.folder(one.importer, files), graph.folder(one.imported, files)) for one in found}
    apart = {(a, b) for a, b in folders if not f"{a}.".startswith(f"{b}.") and not f"{b}.".startswith(f"{a}.")}
    assert graph.circles(apart) == []


def test_an_upward_import_is_found_inside_a_function_too(tmp_path):
    root = written(tmp_path, preprocessing__a="def f():\n    from training import b\n", training__b="")
    assert [str(one) for one in graph.upward(graph.imports(root))] == ["preprocessing.a (line 2) imports training.b"]


def test_an_import_of_a_neighbour_in_the_same_layer_is_upward(tmp_path):
    root = written(tmp_path, pix2pix__a="import feature2mass.b\n", feature2mass__b="")
    assert len(graph.upward(graph.imports(root))) == 1


def test_a_circle_is_found(tmp_path):
    root = written(
        tmp_path,
        training__a="from training.b import x\n",
        training__b="from training import c\n",
        training__c="import training.a\n",
        training__d="import training.a\n",
    )
    edges = {(one.importer, one.imported) for one in graph.imports(root)}
    assert graph.circles(edges) == [{"training.a", "training.b", "training.c"}]
