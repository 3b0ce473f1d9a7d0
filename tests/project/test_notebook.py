"""The notebook runs from a folder of images to a report, as it is shipped."""

import os
import sys

import nbformat
import pytest
import tiny
from nbclient import NotebookClient

NOTEBOOK = tiny.ROOT / "examples" / "demo.ipynb"


@pytest.fixture
def command_on_path(tmp_path, monkeypatch):
    """`synthmammo` of this repository, first on the path of every process."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "synthmammo"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m synthmammo "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tiny.ROOT))


def test_notebook_ends_with_a_report(tmp_path, command_on_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path / "notebook"
    folder.mkdir()
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "60 of 60" in printed and "60 synthetic mammograms" in printed
    assert "Error" not in printed and "sliced Wasserstein" in printed
    assert "sliced Wasserstein" in (folder / "report" / "report.html").read_text()


def test_notebook_is_shipped_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
