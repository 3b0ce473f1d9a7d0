"""The dataset that a training reads."""

from pathlib import Path

import pytest

from preprocessing import training_data
from preprocessing.shards import DataError
from preprocessing.training_data import open_training_data


@pytest.mark.parametrize(
    "kind, maker, folder",
    [
        ("mammogram", "make_phantoms", "data/phantoms/40"),
        ("mass", "make_mass_phantoms", "data/mass-phantoms/40"),
    ],
)
def test_without_data_phantoms_of_the_kind_are_made(tmp_path, monkeypatch, capsys, kind, maker, folder):
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(training_data, maker, lambda output, count: made.append((output, count)))
    with pytest.raises(DataError):  # nothing was really made
        open_training_data(None, kind, 40)
    assert made == [(Path(folder), 40)]
    assert capsys.readouterr().out.endswith(f"phantoms, kept in {folder}\n")


def test_data_of_another_kind_are_refused(tiny_dataset):
    with pytest.raises(DataError, match="mass"):
        open_training_data(tiny_dataset.folder, "mass", 40)
