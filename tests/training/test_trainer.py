"""The training loop, and what happens at each tick."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from folders import quiet, records

from training.checkpoint import CheckpointError, checkpoints
from training.model import AdversarialModel, Players
from training.run import NonFiniteLossError, RunDirectory, Stage
from training.schedule import Duration
from training.trainer import Training, grid, resumed, train_stage


def one_weight() -> keras.Model:
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))


class Planted(AdversarialModel):
    """A loss of 1, but what was planted at one step; gradients of 1, but at another."""

    def __init__(self, bad_loss_at: int = -1, bad_gradient_at: int = -1, bad=np.nan, ticks: int = 3):
        super().__init__(Players(one_weight(), one_weight(), one_weight()), 8.0, ("loss", "other"))
        self.bad_loss_at, self.bad_gradient_at, self.bad = bad_loss_at, bad_gradient_at, bad
        self.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0), duration(ticks))

    def player_gradients(self, batch, step, variant):
        loss, gradient = (
            tf.where(step == bad_at, tf.constant(self.bad, tf.float32), 1.0)
            for bad_at in (self.bad_loss_at, self.bad_gradient_at)
        )
        gradients = [tf.reshape(gradient, (1, 1))]
        return gradients, gradients, {"loss": loss, "other": tf.ones(())}


def duration(ticks: int) -> Duration:
    """Ticks of two steps of four images."""
    return Duration(batch=4, images=8 * ticks, ticks=ticks)


class OneStage(Training):
    """A stage of so many ticks."""

    def __init__(self, stage: Stage, ticks: int = 3, **planted):
        self.stage, self.duration, self.planted = stage, duration(ticks), planted

    def build(self):
        return Planted(ticks=self.duration.ticks, **self.planted)

    def batches(self, first_image):
        self.first_image = first_image
        return tf.data.Dataset.from_tensors(tf.zeros((4, 1))).repeat()

    def sampler(self, model):
        return lambda: np.full((2, 3, 8, 4), 0.5)

    def fields(self, model):
        return {"alpha": 0.25}

    def finished(self, model):
        return {self.stage.folder / "first.keras": model.generator, self.stage.generator: model.ema_generator}


def ticks(folder, count: int = 3, echo=quiet, stage: str = "phase-2", **planted) -> RunDirectory:
    """Run to the end of `count` ticks."""
    run = RunDirectory(folder, {"seed": 0})
    train_stage(OneStage(run.stage(stage), count, **planted), tf.distribute.get_strategy(), echo)
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three ticks, and the lines they printed."""
    lines = []
    return ticks(tmp_path_factory.mktemp("run"), echo=lines.append), lines


def test_a_line_is_recorded_at_every_tick(finished):
    assert [(r["phase"], r["images_seen"]) for r in records(finished[0].path)] == [(2, 8), (2, 16), (2, 24)]


def test_a_record_holds_losses_and_what_was_described(finished):
    for record in records(finished[0].path):
        assert record["loss"] == record["other"] == 1 and record["alpha"] == 0.25


def test_a_record_holds_throughput(finished):
    for record in records(finished[0].path):
        assert record["images_per_second"] == pytest.approx(8 / record["seconds"])


def test_a_status_line_is_printed_at_every_tick(finished):
    run, lines = finished
    assert len(lines) == 3
    assert lines[-1].startswith("phase 2 · 0.0 of 0.0 kimg · alpha 0.25 · loss 1 · other 1 · ")
    assert lines[-1].endswith("phase ends in 0 min 0 s")


def test_a_sample_sheet_is_drawn_at_every_tick(finished):
    sheets = sorted(finished[0].stage("phase-2").folder.glob("samples-*.png"))
    assert [sheet.name for sheet in sheets] == [f"samples-{images:010d}.png" for images in (8, 16, 24)]
    assert cv2.imread(str(sheets[0]), cv2.IMREAD_GRAYSCALE).shape == (2 * 8 + 2, 3 * 4 + 2 * 2)


def test_the_last_two_checkpoints_are_there(finished):
    names = [path.name for path in checkpoints(finished[0].stage("phase-2").folder)]
    assert names == ["checkpoint-0000000024.h5", "checkpoint-0000000016.h5"]


def test_tensorboard_has_the_figures(finished):
    events = next((finished[0].path / "tensorboard" / "phase-2").glob("events*"))
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(events)) for value in event.summary.value}
    assert {"loss", "alpha", "images_per_second", "samples"} <= tags


def test_a_run_without_phases_keeps_all_in_its_own_folder(tmp_path):
    lines = []
    run = ticks(tmp_path, echo=lines.append, stage="")
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-0000000024.h5", "checkpoint-0000000016.h5"]
    assert len(list(tmp_path.glob("samples-*.png"))) == 3 and not list(tmp_path.glob("phase-*"))
    assert all("phase" not in record for record in records(run.path))
    assert lines[-1].startswith("0.0 of 0.0 kimg") and lines[-1].endswith("run ends in 0 min 0 s")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_steps(tmp_path, bad):
    with pytest.raises(NonFiniteLossError, match="phase 2: loss became NaN or infinite between steps 2 and 4"):
        ticks(tmp_path, bad_loss_at=3, bad=bad)


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before_it(tmp_path):
    with pytest.raises(NonFiniteLossError):
        ticks(tmp_path, bad_loss_at=3)
    assert [path.name for path in checkpoints(tmp_path / "phase-2")] == ["checkpoint-0000000008.h5"]


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path):
    """A gradient can be NaN at the last step of a tick, one step before any loss is."""
    with pytest.raises(NonFiniteLossError):
        ticks(tmp_path, bad_gradient_at=3)
    assert [path.name for path in checkpoints(tmp_path / "phase-2")] == ["checkpoint-0000000008.h5"]


# --- what is finished ---------------------------------------------------------------------------


def test_finished_networks_are_saved_in_their_order(finished):
    folder = finished[0].stage("phase-2").folder
    assert keras.models.load_model(folder / "first.keras").get_weights() == [np.full((1, 1), -6.0)]
    assert (folder / "first.keras").stat().st_mtime_ns <= (folder / "generator.keras").stat().st_mtime_ns


def test_what_a_kill_left_is_gone_once_all_is_finished(tmp_path):
    run = ticks(tmp_path)
    left = run.stage("phase-2").folder / ".draft.generator.host-1.part.keras"
    left.write_bytes(b"half a model")
    ticks(tmp_path)
    assert not left.exists()


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage, said", [("phase-2", "phase 2: continues"), ("", "continues")])
def test_it_says_where_it_continues_and_does_only_what_is_left(tmp_path, stage, said):
    run, lines = ticks(tmp_path, count=2, stage=stage), []
    ticks(tmp_path, count=3, stage=stage, echo=lines.append)
    assert lines[0] == f"{said} from its checkpoint at 16 images" and len(lines) == 2
    assert [record["images_seen"] for record in records(run.path)] == [8, 16, 24]


def test_batches_continue_at_the_first_image_that_was_not_seen(tmp_path):
    run = ticks(tmp_path, count=2)
    training = OneStage(run.stage("phase-2"), 3)
    train_stage(training, tf.distribute.get_strategy(), quiet)
    assert training.first_image == 16


def test_a_resumed_model_has_seen_what_its_checkpoint_had(tmp_path):
    run = ticks(tmp_path, count=2)
    assert resumed(OneStage(run.stage("phase-2"), 3)).images_seen == 16


def test_without_a_checkpoint_the_system_begins(tmp_path):
    class Begun(OneStage):
        def begin(self, model):
            model.generator.set_weights([np.full((1, 1), 7.0)])

    stage = RunDirectory(tmp_path, {"seed": 0}).stage("phase-2")
    assert resumed(Begun(stage)).generator.get_weights() == [7.0]
    ticks(tmp_path, count=1)
    assert resumed(Begun(stage)).generator.get_weights() == [-2.0]  # of the checkpoint


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"\0" * len(content)])
def test_a_damaged_checkpoint_costs_the_work_since_the_one_before_it(tmp_path, damage):
    run, lines = ticks(tmp_path, count=2), []
    newest, _ = checkpoints(run.stage("phase-2").folder)
    newest.write_bytes(damage(newest.read_bytes()))
    ticks(tmp_path, count=2, echo=lines.append)
    assert lines[0].startswith(f"{newest}: is damaged") and lines[0].endswith("; the one before it is used")
    assert lines[1] == "phase 2: continues from its checkpoint at 8 images" and len(lines) == 3
    assert resumed(OneStage(run.stage("phase-2"), 2)).images_seen == 16


def test_a_stage_whose_checkpoints_are_all_damaged_says_what_to_do(tmp_path):
    run = ticks(tmp_path, count=2)
    for checkpoint in checkpoints(run.stage("phase-2").folder):
        checkpoint.write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"none before it; restore it, or remove {tmp_path}/phase-2 to begin"):
        ticks(tmp_path, count=2)


def test_lines_of_lost_work_are_written_once(tmp_path):
    """The log is ahead of the checkpoint: the work between is done, and logged, again."""
    run = ticks(tmp_path)
    checkpoints(run.stage("phase-2").folder)[0].unlink()
    ticks(tmp_path)
    assert [record["images_seen"] for record in records(run.path)] == [8, 16, 24]


# --- the sheet ----------------------------------------------------------------------------------


def test_grid_by_hand():
    images = np.array([[0.0, 1.0], [0.5, 2.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(grid(images, gap=1), [[0, 96, 255], [96, 96, 96], [128, 96, 255]])
