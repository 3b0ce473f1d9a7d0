"""The files of results: the same ones for both kinds of study, and none where they cannot be made."""

import json

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from evaluation.reader_study.results import write_files


def test_table_numbers_and_plot_are_written(tmp_path):
    write_files(tmp_path, "a table", {"share": np.float64(0.5), "none": np.nan}, Figure())
    assert (tmp_path / "table.txt").read_text() == "a table\n"
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["share"], results["none"]) == (0.5, None) and results["made_by"]["version"]


def test_numbers_that_json_cannot_hold_leave_no_table(tmp_path):
    with pytest.raises(TypeError):
        write_files(tmp_path, "a table", {"share": object()}, Figure())
    assert not list(tmp_path.iterdir())
