"""The command line of pix2pix: what it accepts, and one clear line for what it does not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import tiny_pix2pix
from click.testing import Result
from commands import command, refused
from folders import contents, flip_a_byte

from pix2pix import train as training
from pix2pix.presets import PRESETS
from pix2pix.settings import ADDITIONS
from preprocessing import training_data

train_pix2pix = command("train_pix2pix")


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    """Presets of this test's size; and this process keeps its TensorFlow settings."""
    monkeypatch.setitem(PRESETS, "quick", tiny_pix2pix.preset())
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


def call(*arguments, size: int = 32) -> Result:
    return train_pix2pix("--size", size, *arguments)


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--preset", "huge"),
        ("--precision", "float16"),
        ("--seed", -1),
        ("--size", 100),
        ("--length", 0),
        ("--with", "detail"),
        ("--without", "jitter,detail"),
        ("--replicas", 0),
    ],
)
def test_a_value_that_cannot_be_names_the_flag(flag, value):
    refused(call(flag, value), flag, code=2)


def test_a_missing_dataset_is_named(tmp_path):
    refused(call("--data", tmp_path / "absent", "--run", tmp_path / "run"), str(tmp_path / "absent"))
    assert not (tmp_path / "run").exists()


def test_masses_are_refused(tmp_path, tiny_masses_dataset):
    result = call("--data", tiny_masses_dataset.folder, "--run", tmp_path / "run")
    refused(result, "holds mass data, but mammogram data")


def test_a_size_that_the_data_does_not_have_is_refused(tmp_path, tiny_dataset):
    result = call("--data", tiny_dataset.folder, "--run", tmp_path / "run", size=64)
    refused(result, str(tiny_dataset.folder), "has no 64x32 images, only 8x4, 16x8, 32x16")


def test_a_flipped_byte_names_its_shard(tmp_path, tiny_dataset):
    data = Path(shutil.copytree(tiny_dataset.folder, tmp_path / "data"))
    shard = sorted(data.glob("*.h5"))[0]
    flip_a_byte(shard, shard.stat().st_size // 2)
    refused(call("--data", data, "--run", tmp_path / "run"), str(shard), "checksum")


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--seed", 1], "seed: 0 there, 1 here"),
        (["--length", 2], "10.0 there, 20.0 here"),
        (["--precision", "mixed_bfloat16"], "precision"),
    ],
)
def test_a_run_made_with_other_settings_is_refused_and_left_alone(tiny_pix2pix_run, tiny_dataset, flags, words):
    before = contents(tiny_pix2pix_run.path)
    result = call("--data", tiny_dataset.folder, "--run", tiny_pix2pix_run.path, *flags)
    refused(result, str(tiny_pix2pix_run.path), "made with other settings", words)
    assert contents(tiny_pix2pix_run.path) == before


def test_help_lists_every_addition():
    told = " ".join(call("--help").output.split())
    assert f"separated by commas: {', '.join(ADDITIONS)}." in told


def test_a_damaged_checkpoint_costs_the_work_since_the_one_before(tmp_path, tiny_pix2pix_run, tiny_dataset):
    run = Path(shutil.copytree(tiny_pix2pix_run.path, tmp_path / "run"))
    finished = (run / "generator.keras").read_bytes()
    (run / "generator.keras").unlink()
    newest = sorted(run.glob("checkpoint-*.h5"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    result = call("--data", tiny_dataset.folder, "--run", run)
    assert result.exit_code == 0 and f"{newest}: is damaged, or no checkpoint; the one before it" in result.output
    assert (run / "generator.keras").read_bytes() == finished


def test_a_finished_run_says_so_and_names_what_it_left(tiny_pix2pix_run, tiny_dataset):
    before = contents(tiny_pix2pix_run.path)
    result = call("--data", tiny_dataset.folder, "--run", tiny_pix2pix_run.path)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [
        f"{tiny_pix2pix_run.path}: is complete already",
        f"generator: {tiny_pix2pix_run.path}/generator.keras",
    ]
    assert contents(tiny_pix2pix_run.path) == before


def test_the_old_spelling_of_the_length_works_with_a_warning(tmp_path, monkeypatch, tiny_dataset):
    seen = []
    monkeypatch.setattr(training, "train", lambda dataset, run, plan, **_: seen.append(plan) or True)
    result = call("--data", tiny_dataset.folder, "--run", tmp_path / "run", "--images", 48)
    assert seen[0].images == 48
    assert "warning: --images is now --length 2; the old spelling still works" in result.output.splitlines()


def test_size_and_length_are_those_that_train(tmp_path, monkeypatch, tiny_dataset):
    seen = []
    monkeypatch.setattr(training, "train", lambda dataset, run, plan, **_: seen.append(plan) or True)
    assert call("--data", tiny_dataset.folder, "--run", tmp_path / "run", "--length", 2, size=16).exit_code == 0
    wanted = replace(tiny_pix2pix.NETWORK, height=16)
    assert (seen[0].network, seen[0].duration.total_images) == (wanted, 48)


def test_without_data_it_makes_phantoms_and_says_so_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(training, "train", lambda dataset, *_, **__: seen.append(dataset.folder) or True)
    monkeypatch.setattr(training_data, "make_phantoms", lambda output, count: tiny.write_dataset(output))
    result = call()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1] == "no --data: training on 4 phantoms, kept in data/phantoms/4"
    assert seen == [Path("data/phantoms/4")]
