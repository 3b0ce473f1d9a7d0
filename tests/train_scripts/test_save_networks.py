"""Save a run's networks in a small file: what the command says."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from commands import command, refused

from feature2mass.generate import generate

save_networks = command("save_networks")


@pytest.fixture(autouse=True)
def settings_of_tensorflow(monkeypatch):
    """This process keeps its own."""
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


def call(run: Path, output: Path, *more) -> Result:
    return save_networks("--run", run, "--output", output, *more)


@pytest.fixture
def unfinished(tmp_path, tiny_mass_run) -> Path:
    run = Path(shutil.copytree(tiny_mass_run.path, tmp_path / "run"))
    (run / "decoder.keras").unlink()
    return run


def test_a_run_of_masses_becomes_a_file_that_draws(tmp_path, tiny_mass_run):
    result = call(tiny_mass_run.path, tmp_path / "masses.h5")
    assert result.exit_code == 0 and result.output.startswith(f"{tmp_path / 'masses.h5'}: ")
    assert generate(tmp_path / "masses.h5", 2)[0].shape == (2, 64, 64)


def test_masses_that_have_moved_are_given(tmp_path, unfinished, tiny_masses_dataset):
    (unfinished / "source.json").write_text(json.dumps({"folder": str(tmp_path / "gone")}))
    refused(call(unfinished, tmp_path / "masses.h5"), "training data cannot be opened; give --data")
    assert call(unfinished, tmp_path / "masses.h5", "--data", tiny_masses_dataset.folder).exit_code == 0


def test_data_are_only_for_runs_of_masses(tmp_path, tiny_run, tiny_dataset):
    result = call(tiny_run.path, tmp_path / "networks.h5", "--data", tiny_dataset.folder)
    refused(result, "--data is for runs of train-feature2mass", code=2)


def test_what_cannot_be_saved_is_one_line(tmp_path, unfinished):
    newest = sorted(unfinished.glob("checkpoint-*.h5"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    refused(call(unfinished, tmp_path / "masses.h5"), f"{newest}: is damaged, or no checkpoint; delete it")
    for checkpoint in unfinished.glob("checkpoint-*.h5"):
        checkpoint.unlink()
    refused(call(unfinished, tmp_path / "masses.h5"), f"--run {unfinished}: holds no checkpoint yet")
    assert not (tmp_path / "masses.h5").exists()
