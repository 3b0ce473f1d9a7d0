"""The run directory, and what happens at each tick."""

import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from training.adversarial import AdversarialModel
from training.checkpoint import checkpoints
from training.run import NonFiniteLossError, RunDirectory, RunError, Tick, choose_strategy, grid

SETTINGS = {"seed": 0, "preset": {"name": "tiny", "phases": [{"batch": 8}, {"batch": 4}]}}


def one_weight() -> keras.Model:
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))


class Planted(AdversarialModel):
    """A loss of 1, but what was planted at one step; gradients of 1, but at another."""

    def __init__(self, bad_loss_at: int = -1, bad_gradient_at: int = -1, bad=np.nan):
        super().__init__(one_weight(), one_weight(), one_weight(), 8.0, ("loss", "other"))
        self.bad_loss_at, self.bad_gradient_at, self.bad = bad_loss_at, bad_gradient_at, bad
        self.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))

    def player_gradients(self, batch, step):
        loss, gradient = (
            tf.where(step == bad_at, tf.constant(self.bad, tf.float32), 1.0)
            for bad_at in (self.bad_loss_at, self.bad_gradient_at)
        )
        gradients = [tf.reshape(gradient, (1, 1))]
        return gradients, gradients, {"loss": loss, "other": tf.ones(())}


def ticks(folder, model: Planted, count: int = 3, echo=lambda line: None, phase: int | None = 2) -> RunDirectory:
    """Run `count` ticks of two steps of four images."""
    run = RunDirectory(folder, SETTINGS)
    tick = Tick(
        run,
        phase=phase,
        describe=lambda: {"alpha": 0.25},
        images_per_tick=8,
        images_in_phase=8 * count,
        samples=lambda: np.full((2, 3, 8, 4), 0.5),
        echo=echo,
    )
    data = tf.data.Dataset.from_tensors(tf.zeros((4, 1))).repeat()
    model.fit(data, steps_per_epoch=2, epochs=count, verbose=0, shuffle=False, callbacks=[tick])
    return run


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
    [({"data": [1]}, {"data": [1, 2]}), ({}, {"new": 1}), ({"old": 1}, {})],
    ids=["length", "new", "gone"],
)
def test_a_setting_of_another_shape_is_refused(tmp_path, theirs, ours):
    RunDirectory(tmp_path, theirs)
    with pytest.raises(RunError, match="made with other settings"):
        RunDirectory(tmp_path, ours)


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


# --- the log ------------------------------------------------------------------------------------


def logged(tmp_path, *positions: tuple[int, int]) -> RunDirectory:
    run = RunDirectory(tmp_path, SETTINGS)
    for phase, images_seen in positions:
        run.log({"phase": phase, "images_seen": images_seen})
    return run


def test_work_that_a_kill_undid_is_forgotten(tmp_path):
    run = logged(tmp_path, (1, 8), (1, 16), (2, 8), (2, 16), (2, 24))
    run.forget_log_after(2, 8)
    assert [(r["phase"], r["images_seen"]) for r in records(run)] == [(1, 8), (1, 16), (2, 8)]


def test_the_line_that_a_kill_cut_is_forgotten(tmp_path):
    run = logged(tmp_path, (1, 8))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"phase": 1, "imag')
    run.forget_log_after(1, 16)
    assert [r["images_seen"] for r in records(run)] == [8]


def test_without_a_log_there_is_nothing_to_forget(tmp_path):
    RunDirectory(tmp_path, SETTINGS).forget_log_after(1, 8)
    assert not (tmp_path / "log.jsonl").exists()


# --- ticks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three ticks, and the lines they printed."""
    lines = []
    return ticks(tmp_path_factory.mktemp("run"), Planted(), echo=lines.append), lines


def test_a_line_is_recorded_at_every_tick(finished):
    assert [(r["phase"], r["images_seen"]) for r in records(finished[0])] == [(2, 8), (2, 16), (2, 24)]


def test_a_record_holds_losses_and_what_was_described(finished):
    for record in records(finished[0]):
        assert record["loss"] == record["other"] == 1 and record["alpha"] == 0.25


def test_a_record_holds_throughput_and_wait(finished):
    for record in records(finished[0]):
        assert record["images_per_second"] == pytest.approx(8 / record["seconds"])
        assert 0 <= record["data_wait_percent"] <= 100


def test_a_status_line_is_printed_at_every_tick(finished):
    run, lines = finished
    assert len(lines) == 3
    assert lines[-1].startswith("phase 2 · 0.0 of 0.0 kimg · alpha 0.25 · loss 1 · other 1 · ")
    assert lines[-1].endswith("phase ends in 0 min 0 s")


def test_a_sample_sheet_is_drawn_at_every_tick(finished):
    sheets = sorted(finished[0].phase(2).glob("samples-*.png"))
    assert [sheet.name for sheet in sheets] == [f"samples-{images:010d}.png" for images in (8, 16, 24)]
    assert cv2.imread(str(sheets[0]), cv2.IMREAD_GRAYSCALE).shape == (2 * 8 + 2, 3 * 4 + 2 * 2)


def test_the_last_two_checkpoints_are_there(finished):
    names = [path.name for path in checkpoints(finished[0].phase(2))]
    assert names == ["checkpoint-0000000024.h5", "checkpoint-0000000016.h5"]


def test_tensorboard_has_the_figures(finished):
    events = next((finished[0].path / "tensorboard" / "phase-2").glob("events*"))
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(events)) for value in event.summary.value}
    assert {"loss", "alpha", "images_per_second", "samples"} <= tags


def test_a_run_of_a_single_phase_keeps_all_in_its_own_folder(tmp_path):
    lines = []
    run = ticks(tmp_path, Planted(), echo=lines.append, phase=None)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-0000000024.h5", "checkpoint-0000000016.h5"]
    assert len(list(tmp_path.glob("samples-*.png"))) == 3 and not list(tmp_path.glob("phase-*"))
    assert all("phase" not in record for record in records(run))
    assert lines[-1].startswith("0.0 of 0.0 kimg") and lines[-1].endswith("run ends in 0 min 0 s")


def test_work_that_a_kill_undid_is_forgotten_in_a_run_of_a_single_phase(tmp_path):
    run = ticks(tmp_path, Planted(), phase=None)
    run.forget_log_after(None, 16)
    assert [record["images_seen"] for record in records(run)] == [8, 16]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_steps(tmp_path, bad):
    with pytest.raises(NonFiniteLossError, match="phase 2: loss became NaN or infinite between steps 2 and 4"):
        ticks(tmp_path, Planted(bad_loss_at=3, bad=bad))


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before_it(tmp_path):
    with pytest.raises(NonFiniteLossError):
        ticks(tmp_path, Planted(bad_loss_at=3))
    assert [path.name for path in checkpoints(tmp_path / "phase-2")] == ["checkpoint-0000000008.h5"]


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path):
    """A gradient can be NaN at the last step of a tick, one step before any loss is."""
    with pytest.raises(NonFiniteLossError):
        ticks(tmp_path, Planted(bad_gradient_at=3))
    assert [path.name for path in checkpoints(tmp_path / "phase-2")] == ["checkpoint-0000000008.h5"]


# --- grid, devices ------------------------------------------------------------------------------


def test_grid_by_hand():
    images = np.array([[0.0, 1.0], [0.5, 2.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(grid(images, gap=1), [[0, 96, 255], [96, 96, 96], [128, 96, 255]])


def test_one_device_needs_no_strategy():
    assert choose_strategy(1) is tf.distribute.get_strategy()


def test_without_gpus_one_replica_is_the_default():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has GPUs")
    assert choose_strategy().num_replicas_in_sync == 1
