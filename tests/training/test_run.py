"""The run directory: settings, log, devices."""

import json

import pytest
import tensorflow as tf
import tiny

from training.run import RunDirectory, RunError, check_batch, choose_strategy, run_config

SETTINGS = {"seed": 0, "preset": {"name": "tiny", "phases": [{"batch": 8}, {"batch": 4}]}}


def records(run: RunDirectory) -> list[dict]:
    return [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]


# --- the folder and its settings ----------------------------------------------------------------


def test_settings_are_written(tmp_path):
    RunDirectory(tmp_path / "a" / "run", SETTINGS)
    assert json.loads((tmp_path / "a" / "run" / "config.json").read_text()) == SETTINGS


def test_the_same_settings_agree(tmp_path):
    RunDirectory(tmp_path, SETTINGS)
    assert RunDirectory(tmp_path, {**SETTINGS}).config == SETTINGS


def test_tuples_agree_with_the_lists_that_json_makes_of_them(tmp_path):
    RunDirectory(tmp_path, {"filters": (1, 2)})
    RunDirectory(tmp_path, {"filters": (1, 2)})


def test_another_setting_is_named_with_both_values(tmp_path):
    RunDirectory(tmp_path, SETTINGS)
    with pytest.raises(RunError, match=f"--run {tmp_path}: .*seed: 0 there, 1 here"):
        RunDirectory(tmp_path, {**SETTINGS, "seed": 1})


def test_a_setting_deep_within_is_named(tmp_path):
    RunDirectory(tmp_path, SETTINGS)
    other = {"seed": 0, "preset": {"name": "tiny", "phases": [{"batch": 8}, {"batch": 16}]}}
    with pytest.raises(RunError, match="preset phases 2 batch: 4 there, 16 here"):
        RunDirectory(tmp_path, other)


@pytest.mark.parametrize(
    "theirs, ours",
    [({"list": [1]}, {"list": [1, 2]}), ({}, {"new": 1}), ({"old": 1}, {})],
    ids=["length", "new", "gone"],
)
def test_a_setting_of_another_shape_is_refused(tmp_path, theirs, ours):
    RunDirectory(tmp_path, theirs)
    with pytest.raises(RunError, match="made with other settings"):
        RunDirectory(tmp_path, ours)


def test_a_run_older_than_a_setting_was_made_with_it_off(tmp_path):
    RunDirectory(tmp_path, {"preset": {"batch": 8}})
    RunDirectory(tmp_path, {"preset": {"batch": 8, "deep": False, "noise": [], "rate": 0, "more": None}})
    with pytest.raises(RunError, match="deep"):
        RunDirectory(tmp_path, {"preset": {"batch": 8, "deep": True}})


def test_refused_settings_leave_the_old_ones(tmp_path):
    RunDirectory(tmp_path, SETTINGS)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(RunError):
        RunDirectory(tmp_path, {})
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_damaged_config_is_one_clear_error(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(RunError, match="config.json"):
        RunDirectory(tmp_path, SETTINGS)


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=f"--run {tmp_path / name}: cannot be written"):
        RunDirectory(tmp_path / name, SETTINGS)


def test_a_setting_that_was_not_written_yet_had_its_earlier_value(tmp_path):
    RunDirectory(tmp_path, {"preset": {"batch": 8}})
    new, earlier = {"preset": {"batch": 8, "deep": {"rate": 2}}}, {"preset": {"deep": {"rate": 2}}}
    RunDirectory(tmp_path, new, earlier)
    with pytest.raises(RunError, match="preset deep rate: 2 there, 3 here"):
        RunDirectory(tmp_path, {"preset": {"batch": 8, "deep": {"rate": 3}}}, earlier)


# --- stages -------------------------------------------------------------------------------------


def test_a_phase_has_a_folder_of_its_own(tmp_path):
    stage = RunDirectory(tmp_path, SETTINGS).stage("phase-3")
    assert stage.folder == tmp_path / "phase-3" and stage.generator == tmp_path / "phase-3" / "generator.keras"
    assert (stage.fields, stage.title) == ({"phase": 3}, "phase 3: ")


def test_a_run_without_phases_is_one_stage_in_its_own_folder(tmp_path):
    stage = RunDirectory(tmp_path, SETTINGS).stage()
    assert stage.folder == tmp_path and (stage.fields, stage.title) == ({}, "")


# --- the log ------------------------------------------------------------------------------------


def logged(tmp_path, *positions: tuple[int, int]) -> RunDirectory:
    run = RunDirectory(tmp_path, SETTINGS)
    for phase, images_seen in positions:
        run.log({"phase": phase, "images_seen": images_seen})
    return run


def test_work_that_a_kill_undid_is_forgotten(tmp_path):
    run = logged(tmp_path, (1, 8), (1, 16), (2, 8), (2, 16), (2, 24))
    run.forget_log_after(run.stage("phase-2"), 8)
    assert [(r["phase"], r["images_seen"]) for r in records(run)] == [(1, 8), (1, 16), (2, 8)]


def test_the_line_that_a_kill_cut_is_forgotten(tmp_path):
    run = logged(tmp_path, (1, 8))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"phase": 1, "imag')
    run.forget_log_after(run.stage("phase-1"), 16)
    assert [r["images_seen"] for r in records(run)] == [8]


def test_work_that_a_kill_undid_is_forgotten_in_a_run_without_phases(tmp_path):
    run = RunDirectory(tmp_path, SETTINGS)
    for images_seen in (8, 16, 24):
        run.log({"images_seen": images_seen})
    run.forget_log_after(run.stage(), 16)
    assert [record["images_seen"] for record in records(run)] == [8, 16]


def test_without_a_log_there_is_nothing_to_forget(tmp_path):
    run = RunDirectory(tmp_path, SETTINGS)
    run.forget_log_after(run.stage("phase-1"), 8)
    assert not (tmp_path / "log.jsonl").exists()


# --- devices ------------------------------------------------------------------------------------


def test_one_device_needs_no_strategy():
    assert choose_strategy(1) is tf.distribute.get_strategy()


def test_without_gpus_one_replica_is_the_default():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has GPUs")
    assert choose_strategy().num_replicas_in_sync == 1


@pytest.mark.parametrize("batch, replicas, group", [(8, 2, 1), (8, 2, 4), (8, 1, 8)])
def test_a_batch_that_can_be_shared_is_fine(batch, replicas, group):
    check_batch(batch, replicas, group=group)


@pytest.mark.parametrize("batch, replicas, group", [(9, 2, 1), (8, 2, 8), (8, 3, 1)])
def test_a_batch_that_cannot_be_shared_is_one_clear_error(batch, replicas, group):
    with pytest.raises(RunError, match=f"phase 3: a batch of {batch} cannot be shared by {replicas} devices"):
        check_batch(batch, replicas, what="phase 3: ", group=group)


# --- what decides a run -------------------------------------------------------------------------


def test_a_config_holds_the_preset_the_seed_and_the_data(tiny_dataset):
    config = run_config(tiny.preset(), tiny_dataset, 3)
    assert config["seed"] == 3 and config["preset"]["name"] == tiny.preset().name
    assert config["data"] == [shard["sha256"] for shard in tiny_dataset.meta["shards"]]
