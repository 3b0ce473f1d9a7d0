"""The command line of training: what it accepts, and one clear line for what it does not."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
import tiny
from commands import command, refused
from folders import contents, flip_a_byte

from mask_embedding_gan import train as progressive
from mask_embedding_gan.presets import PRESETS
from mask_embedding_gan.schedule import ADDITIONS
from preprocessing.shards import open_dataset

call = command("train_mask_embed")


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    """Presets of this test's size; and this process keeps its TensorFlow settings."""
    monkeypatch.setitem(PRESETS, "quick", tiny.preset())
    monkeypatch.setattr("training.run.configure_tensorflow", lambda: None)


@pytest.fixture
def data(tmp_path, tiny_dataset) -> Path:
    """A copy of the tiny dataset, to be damaged."""
    return Path(shutil.copytree(tiny_dataset.folder, tmp_path / "data"))


# --- wrong command lines ------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [0, 8, "x"])
def test_a_phase_that_does_not_exist_names_the_flag(phase):
    refused(call("--phase", phase), "--phase", code=2)


def test_a_missing_phase_names_the_flag():
    refused(call(), "--phase", code=2)


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--preset", "huge"),
        ("--precision", "float16"),
        ("--seed", -1),
        ("--length", 0),
        ("--replicas", 0),
        ("--with", "detail"),
        ("--without", "jitter,detail"),
    ],
)
def test_a_value_that_cannot_be_names_the_flag(flag, value):
    refused(call("--phase", 1, flag, value), flag, code=2)


def test_more_replicas_than_this_process_can_have_is_one_line(tmp_path, data):
    tf.config.list_logical_devices()  # from here on the process has the devices that it has
    result = call("--phase", 1, "--data", data, "--run", tmp_path / "run", "--replicas", 64)
    refused(result, "--replicas 64")


# --- wrong data ---------------------------------------------------------------------------------


def test_a_missing_dataset_is_named(tmp_path):
    refused(call("--phase", 1, "--data", tmp_path / "absent", "--run", tmp_path / "run"), str(tmp_path / "absent"))
    assert not (tmp_path / "run").exists()


def test_a_missing_shard_is_named(tmp_path, data):
    shard = sorted(data.glob("*.h5"))[1]
    shard.unlink()
    refused(call("--phase", 1, "--data", data, "--run", tmp_path / "run"), str(shard), "missing")


def test_a_flipped_byte_names_its_shard(tmp_path, data):
    shard = sorted(data.glob("*.h5"))[0]
    flip_a_byte(shard, shard.stat().st_size // 2)
    refused(call("--phase", 1, "--data", data, "--run", tmp_path / "run"), str(shard), "checksum")


def test_a_dataset_that_was_not_finished_is_named(tmp_path, data):
    description = data / "dataset.json"
    description.write_text(description.read_text().replace('"complete": true', '"complete": false'))
    refused(call("--phase", 1, "--data", data, "--run", tmp_path / "run"), str(data), "is not complete")


# --- wrong run directories ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--seed", 1], "seed: 0 there, 1 here"),
        (["--no-embedding"], "embedding_size: 4 there, 0 here"),
        (["--precision", "mixed_bfloat16"], "precision"),
        (["--length", 2], "stable_images: 48 there, 96 here"),
        (["--without", "jitter"], "jitter: true there, false here"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_run_made_with_other_settings_is_refused_and_left_alone(tiny_run, tiny_dataset, flags, words):
    before = contents(tiny_run.path)
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", tiny_run.path, *flags)
    refused(result, str(tiny_run.path), "made with other settings")
    if "phases" not in result.output:
        assert words in result.output
    assert contents(tiny_run.path) == before


def test_a_run_made_with_other_data_is_refused_and_left_alone(tmp_path, tiny_run):
    other = tiny.write_dataset(tmp_path / "other", count=16)
    before = contents(tiny_run.path)
    refused(
        call("--phase", 2, "--data", other.folder, "--run", tiny_run.path),
        "was trained on other images; use another folder",
    )
    assert contents(tiny_run.path) == before


def test_a_run_folder_that_cannot_be_written_is_named(tmp_path, data):
    (tmp_path / "file").write_text("")
    refused(call("--phase", 1, "--data", data, "--run", tmp_path / "file"), f"--run {tmp_path / 'file'}")


def test_a_damaged_checkpoint_costs_the_work_since_the_one_before(tmp_path, tiny_run, tiny_dataset):
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    generator = run / "phase-2" / "generator.keras"
    finished = generator.read_bytes()
    generator.unlink()
    newest = sorted((run / "phase-2").glob("checkpoint-*.h5"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", run)
    assert result.exit_code == 0 and f"{newest}: is damaged, or no checkpoint; the one before it" in result.output
    assert generator.read_bytes() == finished


# --- what it does -------------------------------------------------------------------------------


def test_a_finished_run_says_so_and_is_left_alone(tiny_run, tiny_dataset):
    before = contents(tiny_run.path)
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", tiny_run.path)
    assert result.exit_code == 0, result.output
    assert f"{tiny_run.path}: phases 1 to 2 are complete already" in result.output
    assert contents(tiny_run.path) == before


def test_it_names_the_generator_that_it_leaves(tiny_run, tiny_dataset):
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", tiny_run.path)
    assert result.output.splitlines()[-1] == f"generator: {tiny_run.path}/phase-2/generator.keras"


def test_a_stopped_run_goes_on_to_the_same_generator(tmp_path, tiny_run, tiny_dataset):
    """From its last checkpoint, where only the generator was still to be written."""
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    (run / "phase-2" / "generator.keras").unlink()
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", run)
    assert "phase 2: continues from its checkpoint at 48 images" in result.output
    assert (run / "phase-2" / "generator.keras").read_bytes() == tiny_run.stage("phase-2").generator.read_bytes()


def test_without_data_it_makes_phantoms_once_and_says_so_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(progressive, "train", lambda dataset, *_, **__: seen.append(dataset.folder) or [])
    results = [call("--phase", 1) for _ in range(2)]
    for result in results:
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[1] == "no --data: training on 4 phantoms, kept in data/phantoms/4"
    assert seen == [Path("data/phantoms/4")] * 2
    assert open_dataset("data/phantoms/4").count == 4


# --- additions ----------------------------------------------------------------------------------


def test_help_lists_every_addition():
    told = " ".join(call("--help").output.split())
    assert f"separated by commas: {', '.join(ADDITIONS)}." in told


def test_additions_are_switched_by_name(monkeypatch, tmp_path, tiny_dataset):
    seen = []
    monkeypatch.setattr(progressive, "train", lambda dataset, run, plan, *_, **__: seen.append(plan) or [])
    arguments = ["--phase", 1, "--data", tiny_dataset.folder, "--run", tmp_path / "run"]
    result = call(*arguments, "--with", "times-mask, diversity", "--without", "jitter")
    assert result.exit_code == 0, result.output
    assert seen[0].network.times_mask and seen[0].diversity and not seen[0].jitter


def test_additions_that_do_not_go_together_are_one_line(tmp_path):
    refused(call("--phase", 1, "--run", tmp_path / "run", "--with", "windows_from"), "windows_from needs")


@pytest.mark.parametrize("flag, instead", [("--diversity", "--with"), ("--no-diversity", "--without")])
def test_the_old_spelling_of_diversity_works_with_a_warning(monkeypatch, tmp_path, tiny_dataset, flag, instead):
    seen = []
    monkeypatch.setattr(progressive, "train", lambda dataset, run, plan, *_, **__: seen.append(plan) or [])
    result = call("--phase", 1, "--data", tiny_dataset.folder, "--run", tmp_path / "run", flag)
    assert f"warning: {flag} is now {instead} diversity; the old spelling still works" in result.output
    assert bool(seen[0].diversity) == (flag == "--diversity")


# --- what it runs on ----------------------------------------------------------------------------


def test_the_first_line_says_what_it_trains_on(tiny_run, tiny_dataset):
    result = call("--phase", 2, "--data", tiny_dataset.folder, "--run", tiny_run.path)
    assert result.output.startswith("training on: ")
    assert "float32, oneDNN (as this run began)" in result.output.splitlines()[0]


def test_every_start_is_recorded_in_the_run(tmp_path, tiny_dataset):
    for phase in (1, 2, 2):
        call("--phase", phase, "--data", tiny_dataset.folder, "--run", tmp_path / "run")
    assert len((tmp_path / "run" / "starts.jsonl").read_text().splitlines()) == 2  # the third had nothing to do


THREADS = """
import sys
import tiny
from mask_embedding_gan import schedule
from mask_embedding_gan.presets import PRESETS
from train_scripts.train_mask_embed import main

PRESETS["quick"] = tiny.preset()
schedule.SHARED_FROM = 8 * 8 * 4 * 8  # numbers in the features of phase 1; phase 2 has twice as many
main()
"""


def test_phases_that_want_other_threads_are_trained_by_a_process_of_their_own(tmp_path, tiny_dataset):
    arguments = ["--phase", "2", "--data", tiny_dataset.folder, "--run", tmp_path / "run"]
    done = tiny.run_driver(THREADS, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training on: ") == 2
    assert done.stdout.splitlines()[-1] == f"generator: {tmp_path}/run/phase-2/generator.keras"
    assert (tmp_path / "run" / "phase-2" / "generator.keras").exists()


def test_threads_that_the_user_has_set_are_left_alone(tmp_path, tiny_dataset):
    arguments = ["--phase", "2", "--data", tiny_dataset.folder, "--run", tmp_path / "run"]
    done = tiny.run_driver(THREADS, tmp_path, *arguments, TF_NUM_INTRAOP_THREADS="1")
    assert done.stdout.count("training on: ") == 1, done.stderr
    assert (tmp_path / "run" / "phase-2" / "generator.keras").exists()
