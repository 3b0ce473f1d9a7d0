"""Several replicas train what one would."""

import pytest
import tiny

from mask_embedding_gan.train_step import LOSS_NAMES

REPLICAS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import tensorflow as tf
import tiny
from mask_embedding_gan import train as progressive
from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.train import train
from training.run import run_config
from mask_embedding_gan.schedule import Diversity
from preprocessing.batches import mammogram_batches
from preprocessing.shards import open_dataset
from training.checkpoint import checkpoints, restore_checkpoint, save_checkpoint
from training.run import NonFiniteLossError, RunDirectory, choose_strategy, configure_tensorflow

configure_tensorflow()
two = choose_strategy(2)
one = tf.distribute.get_strategy()
dataset = open_dataset(sys.argv[1])
folder = Path(sys.argv[2])
schedule = replace(
    tiny.preset().schedule(2), batch=8, fade_in_images=80, stable_images=80, ticks=2, ema_half_life_images=40.0
)
result = {"replicas": two.num_replicas_in_sync}

preset = tiny.preset(phases=(replace(schedule, phase=1), schedule), diversity=Diversity(weight=1.0, share=3.0))

def made(strategy):
    with strategy.scope():
        return compiled(build_players(tiny.NETWORK, 2, 0), preset, 2, 0)

def fit(model, first_step, steps):
    batches = mammogram_batches(dataset, "train", 16, 8, 8, seed=0, first_image=8 * first_step)
    history = model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False).history
    return {name: values[0] for name, values in history.items()}

def weights(model):
    players = {name: getattr(model, name) for name in ("generator", "discriminator", "ema_generator")}
    return {name: [np.array(weight) for weight in player.weights] for name, player in players.items()}

def difference(a, b):
    # largest of all tensors' ‖a − b‖ / ‖a‖, by player
    return {
        player: max(
            float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-30)) for x, y in zip(a[player], b[player])
        )
        for player in a
    }

# 1) twenty steps, ten of them fading in
single, double = made(one), made(two)
start = weights(single)
losses = [fit(single, 0, 10), fit(double, 0, 10)]
stopped = save_checkpoint(folder / "stopped", single, {})
fit(single, 10, 10), fit(double, 10, 10)
result["losses"] = losses
result["moved"] = difference(weights(single), start)
result["difference"] = difference(weights(single), weights(double))

# 2) ten steps on one replica, then ten on two
restore_checkpoint(stopped, double)
result["resumed_iterations"] = [
    int(np.asarray(o.iterations)) for o in (double.discriminator_optimizer, double.generator_optimizer)
]
fit(double, 10, 10)
result["resumed_difference"] = difference(weights(single), weights(double))

# 3) growth, and then a NaN that only the second replica sees, in the fourteenth batch of phase 2
def planted(data, split, height, *arguments, **options):
    def plant(number, batch):
        bad = tf.reshape(tf.repeat([1.0, np.nan], 4), (8, 1, 1, 1))
        return {**batch, "image": tf.where(height == 16 and number == 13, bad, 1.0) * batch["image"]}
    return mammogram_batches(data, split, height, *arguments, **options).enumerate().map(plant)

progressive.mammogram_batches = planted
first = replace(schedule, phase=1, fade_in_images=0, ticks=1)
preset = tiny.preset(phases=(first, schedule))
run = RunDirectory(folder / "planted", run_config(preset, dataset, 0))
try:
    train(dataset, run, preset, 2, strategy=two)
except NonFiniteLossError as error:
    result["stopped"] = str(error)
result["grown"] = run.stage("phase-1").generator.exists()
result["kept"] = [path.name for path in checkpoints(run.stage("phase-2").folder)]
(folder / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, tiny_dataset) -> dict:
    """What one and two replicas made of the same global batches, from one process of its own."""
    return tiny.of_two_replicas(REPLICAS, tmp_path_factory.mktemp("replicas"), tiny_dataset.folder)


PLAYERS = pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])


@PLAYERS
def test_two_replicas_train_the_same_weights_as_one(replicas, player):
    """Twenty steps, the first ten fading in, with every term of the losses."""
    assert replicas["moved"][player] > 1e-3
    assert replicas["difference"][player] < 1e-5


def test_two_replicas_report_the_losses_of_one(replicas):
    one, two = replicas["losses"]
    assert one.keys() == two.keys() == set(LOSS_NAMES)
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name


@PLAYERS
def test_a_run_stopped_on_one_replica_goes_on_with_two(replicas, player):
    assert replicas["resumed_iterations"] == [10, 10]
    assert replicas["resumed_difference"][player] < 1e-5


def test_a_nan_on_the_second_replica_stops_the_run(replicas):
    assert "phase 2: " in replicas["stopped"] and "between steps 10 and 20" in replicas["stopped"]


def test_a_nan_on_the_second_replica_keeps_the_checkpoint_before_it(replicas):
    assert replicas["grown"] and replicas["kept"] == ["checkpoint-0000000080.h5"]
