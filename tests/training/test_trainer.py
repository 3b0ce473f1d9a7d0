"""The training loop, and what happens at each tick."""

import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from training.checkpoint import checkpoints, restore_checkpoint
from training.model import AdversarialModel
from training.run import NonFiniteLossError, RunDirectory
from training.trainer import fit, grid


def one_weight() -> keras.Model:
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))


class Planted(AdversarialModel):
    """A loss of 1, but what was planted at one step; gradients of 1, but at another."""

    def __init__(self, bad_loss_at: int = -1, bad_gradient_at: int = -1, bad=np.nan):
        super().__init__(one_weight(), one_weight(), one_weight(), 8.0, ("loss", "other"))
        self.bad_loss_at, self.bad_gradient_at, self.bad = bad_loss_at, bad_gradient_at, bad
        self.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))

    def player_gradients(self, batch, step, stable):
        loss, gradient = (
            tf.where(step == bad_at, tf.constant(self.bad, tf.float32), 1.0)
            for bad_at in (self.bad_loss_at, self.bad_gradient_at)
        )
        gradients = [tf.reshape(gradient, (1, 1))]
        return gradients, gradients, {"loss": loss, "other": tf.ones(())}


def ticks(
    folder, model: Planted, count: int = 3, echo=lambda line: None, phase: int | None = 2, images_seen: int = 0
) -> RunDirectory:
    """Run to the end of `count` ticks of two steps of four images."""
    run = RunDirectory(folder, {"seed": 0})
    fit(
        model,
        tf.data.Dataset.from_tensors(tf.zeros((4, 1))).repeat(),
        run,
        phase,
        batch=4,
        steps_per_tick=2,
        ticks=count,
        images_seen=images_seen,
        samples=lambda: np.full((2, 3, 8, 4), 0.5),
        describe=lambda: {"alpha": 0.25},
        echo=echo,
    )
    return run


def records(run: RunDirectory) -> list[dict]:
    return [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]


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


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase, said", [(2, "phase 2: continues"), (None, "continues")])
def test_it_says_where_it_goes_on_and_does_only_what_is_left(tmp_path, phase, said):
    run = ticks(tmp_path, Planted(), count=2, phase=phase)
    model, lines = Planted(), []
    restore_checkpoint(checkpoints(run.phase(phase))[0], model)
    ticks(tmp_path, model, count=3, phase=phase, images_seen=16, echo=lines.append)
    assert lines[0] == f"{said} from its checkpoint at 16 images" and len(lines) == 2
    assert [record["images_seen"] for record in records(run)] == [8, 16, 24]
    assert int(np.asarray(model.iterations)) == 6


def test_lines_of_lost_work_are_written_once(tmp_path):
    """The log is ahead of the checkpoint: the work between is done, and logged, again."""
    run = ticks(tmp_path, Planted())
    model = Planted()
    restore_checkpoint(checkpoints(run.phase(2))[1], model)
    ticks(tmp_path, model, images_seen=16)
    assert [record["images_seen"] for record in records(run)] == [8, 16, 24]


# --- the sheet ----------------------------------------------------------------------------------


def test_grid_by_hand():
    images = np.array([[0.0, 1.0], [0.5, 2.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(grid(images, gap=1), [[0, 96, 255], [96, 96, 96], [128, 96, 255]])
