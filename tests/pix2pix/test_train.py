"""A run: what it leaves, how it goes on after a kill, and on several replicas."""

import json
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tiny
import tiny_pix2pix

from pix2pix.networks import NetworkConfig
from pix2pix.train import Pix2PixTraining, build_model, train
from pix2pix.train_step import LOSS_NAMES
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.shards import DataError
from training.checkpoint import checkpoints, restore_checkpoint
from training.run import RunDirectory, RunError, run_config
from training.trainer import resumed


def quiet(line: str) -> None:
    pass


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def without_times(run: Path) -> list[dict]:
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in r.items() if name not in timed} for r in records(run)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- what a run leaves ----------------------------------------------------------------------------


def test_checkpoints_lie_in_the_run_itself(tiny_pix2pix_run):
    assert [path.name for path in checkpoints(tiny_pix2pix_run.path)] == [
        "checkpoint-0000000024.h5",
        "checkpoint-0000000016.h5",
    ]


def test_every_loss_is_logged_at_every_tick(tiny_pix2pix_run):
    assert [record["images_seen"] for record in records(tiny_pix2pix_run.path)] == [8, 16, 24]
    for record in records(tiny_pix2pix_run.path):
        assert all(np.isfinite(record[name]) for name in LOSS_NAMES) and "phase" not in record


def test_samples_are_texture_maps_real_images_and_four_draws(tiny_pix2pix_run, tiny_dataset):
    sheets = [cv2.imread(str(path), 0) for path in sorted(tiny_pix2pix_run.path.glob("samples-*.png"))]
    assert len(sheets) == 3 and sheets[0].shape == (4 * 32 + 3 * 2, 6 * 16 + 5 * 2)
    texture_map, real, draw, other = (sheets[-1][:32, begin : begin + 16] for begin in (0, 18, 36, 54))
    np.testing.assert_allclose(texture_map / 255, edge_map(real / 255, texture_map > 0)[..., 0], atol=0.1)
    assert (draw != other).any()
    assert all(np.array_equal(sheet[:, :34], sheets[0][:, :34]) for sheet in sheets)


def test_the_saved_generator_is_the_moving_average_at_the_last_checkpoint(tiny_pix2pix_run):
    model = build_model(tiny_pix2pix.preset(), 0)
    restore_checkpoint(checkpoints(tiny_pix2pix_run.path)[0], model)
    inputs = [tiny_pix2pix.batch()["texture_map"], tiny_pix2pix.noise()]
    saved = keras.models.load_model(tiny_pix2pix_run.path / "generator.keras")
    np.testing.assert_allclose(saved(inputs), model(inputs), atol=1e-5)
    assert np.abs(np.subtract(model(inputs), model.generator(inputs))).max() > 1e-4  # which is not the trained one


def test_nothing_half_written_is_left(tiny_pix2pix_run):
    assert not [path for path in tiny_pix2pix_run.path.rglob("*") if path.suffix == ".partial" or "draft" in path.name]


def test_it_trains_at_every_size_that_there_is(tmp_path, tiny_dataset):
    for height in (8, 16):
        preset = tiny_pix2pix.preset(network=NetworkConfig(height, filters=4), ticks=1, images=8)
        run = RunDirectory(tmp_path / str(height), run_config(preset, tiny_dataset, 0))
        assert train(tiny_dataset, run, preset, echo=quiet)
        assert keras.models.load_model(run.path / "generator.keras").output.shape[1] == height


# --- going on -------------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone(tiny_pix2pix_run, tiny_dataset):
    before = contents(tiny_pix2pix_run.path)
    assert not train(tiny_dataset, tiny_pix2pix_run, tiny_pix2pix.preset(), echo=quiet)
    assert contents(tiny_pix2pix_run.path) == before


def test_a_run_starts_from_its_newest_checkpoint(tiny_pix2pix_run):
    model = resumed(Pix2PixTraining(None, tiny_pix2pix_run, tiny_pix2pix.preset(), 0))
    assert model.images_seen == 24 and int(model.iterations) == 6


def test_a_run_killed_before_its_generator_was_saved_only_saves_it(tmp_path, tiny_pix2pix_run, tiny_dataset):
    shutil.copytree(tiny_pix2pix_run.path, tmp_path / "run")
    (tmp_path / "run" / "generator.keras").unlink()
    lines = []
    run = RunDirectory(tmp_path / "run", run_config(tiny_pix2pix.preset(), tiny_dataset, 0))
    assert train(tiny_dataset, run, tiny_pix2pix.preset(), echo=lines.append)
    assert lines == ["continues from its checkpoint at 24 images"]
    assert (run.path / "generator.keras").read_bytes() == (tiny_pix2pix_run.path / "generator.keras").read_bytes()


def test_settings_that_decide_the_result_are_in_the_run_s_config(tiny_dataset):
    base = run_config(tiny_pix2pix.preset(), tiny_dataset, 0)
    assert base != run_config(tiny_pix2pix.preset(), tiny_dataset, 1)
    assert base != run_config(tiny_pix2pix.preset(l1_weight=1.0), tiny_dataset, 0)
    assert base != run_config(tiny_pix2pix.preset(network=NetworkConfig(16, 4)), tiny_dataset, 0)


def test_a_size_that_the_data_does_not_have_is_refused(tmp_path, tiny_dataset):
    preset = tiny_pix2pix.preset(network=NetworkConfig(64, filters=4))
    run = RunDirectory(tmp_path, run_config(preset, tiny_dataset, 0))
    with pytest.raises(DataError, match="has no 64x32 images, only 8x4, 16x8, 32x16"):
        train(tiny_dataset, run, preset, echo=quiet)


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path, tiny_dataset):
    class Three:
        num_replicas_in_sync = 3

    run = RunDirectory(tmp_path, run_config(tiny_pix2pix.preset(), tiny_dataset, 0))
    with pytest.raises(RunError, match="a batch of 4 cannot be shared by 3 devices; use fewer --replicas"):
        train(tiny_dataset, run, tiny_pix2pix.preset(), strategy=Three(), echo=quiet)


# --- exact resume ---------------------------------------------------------------------------------

RESUME = """
import json, os, signal, sys
from pathlib import Path
import tensorflow as tf
import tiny_pix2pix
from pix2pix.train import train
from training.run import run_config
from preprocessing.shards import open_dataset
from training.run import RunDirectory, configure_tensorflow

data, stages = sys.argv[1], json.loads(sys.argv[2])

def kill_in_a_write(name):
    replace = os.replace
    def until(source, target):
        if str(target).endswith(name):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    os.replace = until

for folder, moment in stages:
    child = os.fork()  # TensorFlow is imported, not yet started
    if child == 0:
        if moment:
            kill_in_a_write(moment)
        configure_tensorflow()
        dataset, plan = open_dataset(data), tiny_pix2pix.preset()
        run = RunDirectory(Path(folder), run_config(plan, dataset, 0))
        train(dataset, run, plan)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (-signal.SIGKILL if moment else 0), (folder, moment, code)
"""


@pytest.mark.parametrize(
    "moments",
    [
        ["checkpoint-0000000016.h5"],
        pytest.param(
            ["checkpoint-0000000008.h5", "checkpoint-0000000024.h5", "generator.keras"], marks=pytest.mark.slow
        ),
    ],
    ids=["once", "three times"],
)
def test_a_run_killed_while_it_wrote_ends_bit_identical(tmp_path, tiny_dataset, moments):
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    stages = [(str(plain), None), *((str(killed), moment) for moment in (*moments, None))]
    done = tiny.run_driver(RESUME, tmp_path, str(tiny_dataset.folder), json.dumps(stages))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (plain / "generator.keras").read_bytes() == (killed / "generator.keras").read_bytes()
    assert without_times(plain) == without_times(killed)


# --- replicas -------------------------------------------------------------------------------------

REPLICAS = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
import tiny_pix2pix
from pix2pix.train import build_model
from preprocessing.batches import mammogram_batches
from preprocessing.shards import open_dataset
from training.run import choose_strategy, configure_tensorflow

configure_tensorflow()
two, one = choose_strategy(2), tf.distribute.get_strategy()
dataset = open_dataset(sys.argv[1])

def trained(strategy):
    with strategy.scope():
        model = build_model(tiny_pix2pix.preset(learning_rate=2e-4), 0)
    start = weights(model)
    batches = mammogram_batches(dataset, "train", 32, 16, 4, seed=0, texture_maps=True)
    history = model.fit(batches, steps_per_epoch=20, verbose=0, shuffle=False).history
    return start, weights(model), {name: values[0] for name, values in history.items()}

def weights(model):
    players = {name: getattr(model, name) for name in ("generator", "discriminator", "ema_generator")}
    return {name: np.concatenate([np.ravel(w) for w in player.weights]) for name, player in players.items()}

def difference(a, b):
    return {name: float(np.linalg.norm(a[name] - b[name]) / np.linalg.norm(a[name])) for name in a}

start, single, losses_of_one = trained(one)
_, double, losses_of_two = trained(two)
result = {
    "replicas": two.num_replicas_in_sync,
    "losses": [losses_of_one, losses_of_two],
    "moved": difference(single, start),
    "difference": difference(single, double),
}
(Path(sys.argv[2]) / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, tiny_dataset) -> dict:
    """What one and two replicas made of the same twenty global batches."""
    return tiny.of_two_replicas(REPLICAS, tmp_path_factory.mktemp("replicas"), tiny_dataset.folder)


@pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])
def test_two_replicas_train_the_same_weights_as_one(replicas, player):
    assert replicas["difference"][player] < 0.01 * replicas["moved"][player]


def test_two_replicas_report_the_losses_of_one(replicas):
    one, two = replicas["losses"]
    assert one.keys() == two.keys() == set(LOSS_NAMES)
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
