"""A run: what it leaves, how it goes on after a kill, and on several replicas."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tiny
import tiny_masses
from folders import contents, quiet, records, without_times

from feature2mass.losses import LossWeights
from feature2mass.settings import EARLIER
from feature2mass.train import MassTraining, build_model, train
from feature2mass.train_step import LOSS_NAMES
from preprocessing.shards import DataError
from training.checkpoint import checkpoints, restore_checkpoint
from training.run import RunDirectory, RunError, run_config
from training.trainer import resumed


@pytest.fixture
def copied_run(tmp_path, tiny_mass_run, tiny_masses_dataset) -> RunDirectory:
    """A copy of the tiny run, to be damaged."""
    shutil.copytree(tiny_mass_run.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run", run_config(tiny_masses.preset(), tiny_masses_dataset, 0))


# --- what a run leaves ----------------------------------------------------------------------------


def test_checkpoints_lie_in_the_run_itself(tiny_mass_run):
    assert [path.name for path in checkpoints(tiny_mass_run.path)] == [
        "checkpoint-0000000048.h5",
        "checkpoint-0000000032.h5",
    ]


def test_every_loss_is_logged_at_every_tick(tiny_mass_run):
    assert [record["images_seen"] for record in records(tiny_mass_run.path)] == [16, 32, 48]
    for record in records(tiny_mass_run.path):
        assert all(np.isfinite(record[name]) for name in LOSS_NAMES) and "phase" not in record


def test_classes_are_in_the_run_s_config(tiny_mass_run):
    assert json.loads((tiny_mass_run.path / "config.json").read_text())["classes"] == {
        name: list(names) for name, names in tiny_masses.CLASSES.items()
    }


def test_samples_are_five_rows_of_ten(tiny_mass_run):
    sheet = cv2.imread(str(tiny_mass_run.path / "samples-0000000048.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (5 * 64 + 4 * 2, 10 * 64 + 9 * 2)


def test_samples_begin_with_the_same_real_masses_at_every_tick(tiny_mass_run):
    sheets = [cv2.imread(str(path)) for path in sorted(tiny_mass_run.path.glob("samples-*.png"))]
    assert len(sheets) == 3 and all(np.array_equal(sheet[:64], sheets[0][:64]) for sheet in sheets)


def test_samples_show_no_real_mass_twice_where_there_are_enough(tmp_path):
    dataset = tiny_masses.write_dataset(tmp_path / "data", validation_fraction=0.3)
    run = RunDirectory(tmp_path / "run", run_config(tiny_masses.preset(), dataset, 0))
    training = MassTraining(dataset, run, tiny_masses.preset(), 0)
    real = training.sampler(training.build())()[0]
    assert len(real) == len(np.unique(real, axis=0)) == 10


def test_nothing_half_written_is_left(tiny_mass_run):
    assert not [path for path in tiny_mass_run.path.rglob("*") if path.suffix == ".partial" or "draft" in path.name]


def test_encoder_and_decoder_are_the_moving_average_at_the_last_checkpoint(tiny_mass_run):
    model = build_model(tiny_masses.preset(), 2, 3, 0)
    restore_checkpoint(checkpoints(tiny_mass_run.path)[0], model)
    batch = tiny_masses.batch()
    inputs = [batch["image"], batch["margin"], batch["shape"]]
    encoder, decoder = (keras.models.load_model(tiny_mass_run.path / f"{n}.keras") for n in ("encoder", "decoder"))
    np.testing.assert_allclose(decoder(encoder(inputs)), np.clip(model(inputs), 0, 1), atol=1e-5)
    assert np.abs(np.subtract(model(inputs), model.generator(inputs))).max() > 1e-4  # which is not the trained one


# --- going on ------------------------------------------------------------------------------------


def test_a_finished_run_is_left_alone(tiny_mass_run, tiny_masses_dataset):
    before = contents(tiny_mass_run.path)
    assert not train(tiny_masses_dataset, tiny_mass_run, tiny_masses.preset(), echo=quiet)
    assert contents(tiny_mass_run.path) == before


def test_a_run_starts_from_its_newest_checkpoint(tiny_mass_run, tiny_masses_dataset):
    model = resumed(MassTraining(tiny_masses_dataset, tiny_mass_run, tiny_masses.preset(), 0))
    assert model.images_seen == 48 and int(model.iterations) == 6


def test_a_run_killed_before_its_decoder_was_saved_only_saves_it(copied_run, tiny_mass_run, tiny_masses_dataset):
    for name in ("encoder.keras", "decoder.keras"):
        (copied_run.path / name).unlink()
    lines = []
    assert train(tiny_masses_dataset, copied_run, tiny_masses.preset(), echo=lines.append)
    assert lines == ["continues from its checkpoint at 48 images"]
    for name in ("encoder.keras", "decoder.keras"):
        assert (copied_run.path / name).read_bytes() == (tiny_mass_run.path / name).read_bytes()


def test_settings_that_decide_the_result_are_in_the_run_s_config(tiny_masses_dataset):
    base = run_config(tiny_masses.preset(), tiny_masses_dataset, 0)
    assert base != run_config(tiny_masses.preset(), tiny_masses_dataset, 1)
    assert base != run_config(tiny_masses.preset(batch=4), tiny_masses_dataset, 0)
    assert base != run_config(tiny_masses.preset(weights=LossWeights()), tiny_masses_dataset, 0)


def test_a_run_older_than_the_switches_goes_on(tmp_path, copied_run, tiny_masses_dataset):
    """Its settings were those of all additions; of no others."""
    config = json.loads((copied_run.path / "config.json").read_text())
    for name in ("epsilon", "linear_start", "mixing"):
        del config["preset"][name]
    for name in ("plain_ends", "activation_last"):
        del config["preset"]["network"][name]
    (copied_run.path / "config.json").write_text(json.dumps(config))
    new = run_config(replace(tiny_masses.preset(), epsilon=1e-7), tiny_masses_dataset, 0)
    RunDirectory(copied_run.path, new, EARLIER)
    with pytest.raises(RunError, match="preset linear_start: true there, false here"):
        other = replace(tiny_masses.preset(), epsilon=1e-7, linear_start=False)
        RunDirectory(copied_run.path, run_config(other, tiny_masses_dataset, 0), EARLIER)


def test_without_a_linear_start_networks_start_as_drawn(tmp_path, tiny_masses_dataset):
    preset = tiny_masses.preset(linear_start=False)
    run = RunDirectory(tmp_path, run_config(preset, tiny_masses_dataset, 0))
    started = resumed(MassTraining(tiny_masses_dataset, run, preset, 0))
    drawn = build_model(preset, 2, 3, 0)
    for a, b in zip(started.generator.weights, drawn.generator.weights, strict=True):
        assert np.array_equal(a, b)


def test_data_without_labels_is_refused(tmp_path):
    dataset = tiny_masses.write_dataset(tmp_path / "data", {(-1, 0): 5, (1, -1): 5})
    run = RunDirectory(tmp_path / "run", run_config(tiny_masses.preset(), dataset, 0))
    with pytest.raises(DataError, match="no masses of known shape and margin"):
        train(dataset, run, tiny_masses.preset(), echo=quiet)


# --- exact resume ---------------------------------------------------------------------------------

RESUME = """
import json, os, shutil, sys
from pathlib import Path
import tiny_masses
from feature2mass.train import train
from preprocessing.shards import open_dataset
from training.run import RunDirectory, configure_tensorflow, run_config

data, stages = sys.argv[1], json.loads(sys.argv[2])

def keep_what_a_kill_would_leave(folder, name, kept):
    # the folder as it is just before a file gets its final name
    replace = os.replace
    def keep(source, target):
        if str(target).endswith(name):
            shutil.copytree(folder, kept)
        replace(source, target)
    os.replace = keep

for folder, moment, kept in stages:
    child = os.fork()  # TensorFlow is imported, not yet started
    if child == 0:
        if moment:
            keep_what_a_kill_would_leave(folder, moment, kept)
        configure_tensorflow()
        dataset, plan = open_dataset(data), tiny_masses.preset()
        run = RunDirectory(Path(folder), run_config(plan, dataset, 0))
        train(dataset, run, plan)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, (folder, moment)
"""


@pytest.mark.parametrize(
    "moments",
    [
        ["checkpoint-0000000032.h5"],
        pytest.param(["checkpoint-0000000016.h5", "checkpoint-0000000048.h5", "decoder.keras"], marks=pytest.mark.slow),
    ],
    ids=["once", "three times"],
)
def test_a_run_killed_while_it_wrote_ends_bit_identical(tmp_path, tiny_masses_dataset, moments):
    """Each run leaves, beside its own end, what a kill in a write would have left; the next goes on from that."""
    folders = [str(tmp_path / f"killed {times} times") for times in range(len(moments) + 1)]
    stages = list(zip(folders, [*moments, None], [*folders[1:], None], strict=True))
    done = tiny.run_driver(RESUME, tmp_path, str(tiny_masses_dataset.folder), json.dumps(stages))
    assert done.returncode == 0, done.stdout + done.stderr
    plain, *killed = map(Path, folders)
    for run in killed:
        for name in ("encoder.keras", "decoder.keras"):
            assert (plain / name).read_bytes() == (run / name).read_bytes(), (run, name)
        assert without_times(plain) == without_times(run)


# --- replicas -------------------------------------------------------------------------------------

REPLICAS = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
import tiny_masses
from feature2mass.train import build_model
from preprocessing.batches import mass_batches
from preprocessing.shards import open_dataset
from training.run import choose_strategy, configure_tensorflow

configure_tensorflow()
two, one = choose_strategy(2), tf.distribute.get_strategy()
dataset = open_dataset(sys.argv[1])
result = {"replicas": two.num_replicas_in_sync}
preset = tiny_masses.preset(precision="float64", learning_rate=5e-5, discriminator_learning_rate=5e-5)

def trained(strategy):
    with strategy.scope():
        model = build_model(preset, 2, 3, 0)
    start = weights(model)
    batches = mass_batches(dataset, "train", 16, seed=0)
    history = model.fit(batches, steps_per_epoch=20, verbose=0, shuffle=False).history
    return start, weights(model), {name: values[0] for name, values in history.items()}

def weights(model):
    players = {name: getattr(model, name) for name in ("generator", "discriminator", "ema_generator")}
    return {name: [np.array(weight) for weight in player.weights] for name, player in players.items()}

def difference(a, b, names):
    # largest of all tensors' norm of the difference over the norm
    return {
        player: max(float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-30)) for x, y in zip(a[player], b[player]))
        for player in names
    }

start, single, losses_of_one = trained(one)
_, double, losses_of_two = trained(two)
result["losses"] = [losses_of_one, losses_of_two]
result["moved"] = difference(single, start, single)
result["difference"] = difference(single, double, single)
(Path(sys.argv[2]) / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, tiny_masses_dataset) -> dict:
    """What one and two replicas made of the same global batch."""
    return tiny.of_two_replicas(REPLICAS, tmp_path_factory.mktemp("replicas"), tiny_masses_dataset.folder)


@pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])
def test_two_replicas_train_the_same_weights_as_one(replicas, player):
    """After twenty steps; moving statistics of batch normalisation included.

    In float64: in float32 sums over two halves round otherwise, now and then to the other side of a LeakyReLU's kink,
    and in networks as small as these one such pixel is a thousandth of a gradient. A difference grows sixfold a step at
    a learning rate of 2e-4, by half at this one.
    """
    assert replicas["moved"][player] > 1e-3
    assert replicas["difference"][player] < 1e-7


def test_two_replicas_report_the_losses_of_one(replicas):
    one, two = replicas["losses"]
    assert one.keys() == two.keys() == set(LOSS_NAMES)
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4), name


def test_a_batch_that_two_devices_cannot_share_is_refused(tmp_path, tiny_masses_dataset):
    preset = replace(tiny_masses.preset(), batch=12)

    class Seven:
        num_replicas_in_sync = 7

    run = RunDirectory(tmp_path, run_config(preset, tiny_masses_dataset, 0))
    with pytest.raises(RunError, match="a batch of 12 cannot be shared by 7 devices; use fewer --replicas"):
        train(tiny_masses_dataset, run, preset, strategy=Seven(), echo=quiet)
