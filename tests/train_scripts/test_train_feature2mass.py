"""The command line of training masses: what it accepts, and one clear line for what it does not."""

import shutil
from pathlib import Path

import pytest
import tiny_masses
from commands import command, refused
from folders import contents, flip_a_byte

from feature2mass import train as training
from feature2mass.presets import PRESETS
from feature2mass.settings import ADDITIONS
from preprocessing import training_data

call = command("train_feature2mass")


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    """Presets of this test's size; and this process keeps its TensorFlow settings."""
    monkeypatch.setitem(PRESETS, "quick", tiny_masses.preset())
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


@pytest.mark.parametrize(
    "flag, value",
    [("--preset", "huge"), ("--precision", "float16"), ("--seed", -1), ("--length", 0), ("--replicas", 0)],
)
def test_a_value_that_cannot_be_names_the_flag(flag, value):
    refused(call(flag, value), flag, code=2)


def test_a_missing_dataset_is_named(tmp_path):
    refused(call("--data", tmp_path / "absent", "--run", tmp_path / "run"), str(tmp_path / "absent"))
    assert not (tmp_path / "run").exists()


def test_mammograms_are_refused(tmp_path, tiny_dataset):
    refused(call("--data", tiny_dataset.folder, "--run", tmp_path / "run"), "holds mammogram data, but mass data")


def test_a_flipped_byte_names_its_shard(tmp_path, tiny_masses_dataset):
    data = Path(shutil.copytree(tiny_masses_dataset.folder, tmp_path / "data"))
    shard = sorted(data.glob("*.h5"))[0]
    flip_a_byte(shard, shard.stat().st_size // 2)
    refused(call("--data", data, "--run", tmp_path / "run"), str(shard), "checksum")


@pytest.mark.parametrize(
    "flags, words", [(["--seed", 1], "seed: 0 there, 1 here"), (["--length", 2], "20.0 there, 40.0 here")]
)
def test_a_run_made_with_other_settings_is_refused_and_left_alone(tiny_mass_run, tiny_masses_dataset, flags, words):
    before = contents(tiny_mass_run.path)
    result = call("--data", tiny_masses_dataset.folder, "--run", tiny_mass_run.path, *flags)
    refused(result, str(tiny_mass_run.path), "made with other settings", words)
    assert contents(tiny_mass_run.path) == before


def test_help_lists_every_addition():
    told = " ".join(call("--help").output.split())
    assert f"separated by commas: {', '.join(ADDITIONS)}." in told


def test_an_unknown_addition_names_the_flag():
    refused(call("--without", "linear_start,detail"), "--without", "no addition detail", code=2)


def test_a_damaged_checkpoint_costs_the_work_since_the_one_before(tmp_path, tiny_mass_run, tiny_masses_dataset):
    run = Path(shutil.copytree(tiny_mass_run.path, tmp_path / "run"))
    finished = (run / "decoder.keras").read_bytes()
    (run / "decoder.keras").unlink()
    newest = sorted(run.glob("checkpoint-*.h5"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    result = call("--data", tiny_masses_dataset.folder, "--run", run)
    assert result.exit_code == 0 and f"{newest}: is damaged, or no checkpoint; the one before it" in result.output
    assert (run / "decoder.keras").read_bytes() == finished


def test_a_finished_run_says_so_and_names_what_it_left(tiny_mass_run, tiny_masses_dataset):
    before = contents(tiny_mass_run.path)
    result = call("--data", tiny_masses_dataset.folder, "--run", tiny_mass_run.path)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-3:] == [
        f"{tiny_mass_run.path}: is complete already",
        f"encoder: {tiny_mass_run.path}/encoder.keras",
        f"decoder: {tiny_mass_run.path}/decoder.keras",
    ]
    assert contents(tiny_mass_run.path) == before


def test_without_data_it_makes_phantoms_and_says_so_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(training, "train", lambda dataset, *_, **__: seen.append(dataset.folder) or True)
    monkeypatch.setattr(training_data, "make_mass_phantoms", lambda output, count: tiny_masses.write_dataset(output))
    result = call()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1] == ("no --data: training on 40 mass phantoms, kept in data/mass-phantoms/40")
    assert seen == [Path("data/mass-phantoms/40")]
