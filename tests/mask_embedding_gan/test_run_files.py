"""What a run leaves: generators, checkpoints, logs and samples."""

import cv2
import elsewhere
import keras
import numpy as np
import pytest
import tiny
from folders import records

from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.train_step import LOSS_NAMES
from training.checkpoint import checkpoints, restore_checkpoint


@pytest.mark.parametrize("phase", [1, 2])
def test_each_phase_leaves_a_generator(tiny_run, phase):
    model = keras.models.load_model(tiny_run.stage(f"phase-{phase}").generator, safe_mode=True)
    assert model.output_shape == (None, 4 * 2**phase, 2 * 2**phase, 1)


def test_the_last_two_checkpoints_of_each_phase_are_kept(tiny_run):
    assert [path.name for path in checkpoints(tiny_run.stage("phase-2").folder)] == [
        "checkpoint-0000000048.h5",
        "checkpoint-0000000032.h5",
    ]


def test_a_line_is_logged_at_every_tick(tiny_run):
    positions = [(record["phase"], record["images_seen"]) for record in records(tiny_run.path)]
    assert positions == [(1, 16), (1, 32), (1, 48), (2, 16), (2, 32), (2, 48)]


def test_logged_alpha_is_that_of_the_images_seen(tiny_run):
    schedule = tiny.preset().schedule(2)
    for record in records(tiny_run.path)[3:]:
        assert record["alpha"] == pytest.approx(float(schedule.alpha(record["images_seen"])))


def test_every_loss_is_logged(tiny_run):
    for record in records(tiny_run.path):
        assert all(np.isfinite(record[name]) for name in LOSS_NAMES)


def test_samples_are_a_row_of_mask_real_and_four_fakes_for_each_of_four_masks(tiny_run):
    sheet = cv2.imread(str(tiny_run.stage("phase-2").folder / "samples-0000000048.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (4 * 16 + 3 * 2, 6 * 8 + 5 * 2)
    masks = np.concatenate([sheet[row * 18 : row * 18 + 16, :8] for row in range(4)])
    assert set(np.unique(masks)) == {0, 255}


def test_the_same_masks_are_drawn_at_every_tick(tiny_run):
    sheets = [cv2.imread(str(path)) for path in sorted(tiny_run.stage("phase-2").folder.glob("samples-*.png"))]
    assert len(sheets) == 3
    for sheet in sheets[1:]:
        np.testing.assert_array_equal(sheet[:, :18], sheets[0][:, :18])


def test_nothing_half_written_is_left(tiny_run):
    assert not [path for path in tiny_run.path.rglob("*") if path.suffix == ".partial" or "draft" in path.name]


def test_the_generator_is_the_moving_average_at_the_last_checkpoint(tiny_run):
    """Loaded by plain Keras, in safe mode, against the network that was trained."""
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    _, masks, latents = tiny.inputs(2)
    wanted = np.clip(model.ema_generator([masks, latents, np.ones(1, np.float32)]), 0, 1)
    loaded = keras.models.load_model(tiny_run.stage("phase-2").generator, safe_mode=True)
    np.testing.assert_allclose(loaded([masks, latents]), wanted, atol=1e-5)


def test_the_moving_average_is_not_the_generator(tiny_run):
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    pairs = zip(model.generator.trainable_weights, model.ema_generator.weights)
    assert any(not np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_generator_opens_where_this_package_is_not(tmp_path, tiny_run, backend):
    _, masks, latents = tiny.inputs(2)
    found = elsewhere.computed(backend, tmp_path, [tiny_run.stage("phase-2").generator], [masks, latents])
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    wanted = np.clip(model.ema_generator([masks, latents, np.ones(1, np.float32)]), 0, 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
