"""A checkpoint is the whole state, and whole or not there."""

import os
import time

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from training.checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    checkpoints,
    lighten,
    read_state,
    restore_checkpoint,
    save_checkpoint,
    unpack,
)
from training.model import AdversarialModel, Players
from training.schedule import Duration

DURATION = Duration(batch=4, images=100, ticks=1)


def network(units: int) -> keras.Model:
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(units)(inputs))


def textured_network(units: int) -> keras.Model:
    """With a frozen layer of 7 maps, drawn at random."""
    plain = network(units)
    maps = keras.layers.Dense(7, use_bias=False, trainable=False, name="maps")
    return keras.Model(plain.inputs, maps(plain.output))


class Descent(AdversarialModel):
    """Each step's gradient depends on the weights, so that any difference of state grows."""

    def __init__(self, units: int = 3):
        generator, average = textured_network(units), textured_network(units)
        average.set_weights(generator.get_weights())
        super().__init__(Players(generator, network(1), average), 10.0, ("loss",))

    def player_gradients(self, batch, step, variant):
        discriminator, generator = (
            [tf.sin(variable + 1 + tf.cast(step, tf.float32)) for variable in player.trainable_variables]
            for player in (self.discriminator, self.generator)
        )
        return discriminator, generator, {"loss": tf.zeros(())}


def made(units: int = 3, seed: int = 0) -> Descent:
    keras.utils.set_random_seed(seed)
    model = Descent(units)
    model.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1), DURATION)
    return model


def trained(steps: int, model: Descent | None = None) -> Descent:
    model = model or made()
    data = tf.data.Dataset.from_tensors(tf.zeros((4, 2))).repeat()
    model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)
    return model


def state(model: Descent) -> dict[str, np.ndarray]:
    players = [model.generator, model.discriminator, model.ema_generator]
    variables = [v for player in players for v in player.weights]
    variables += [*model.generator_optimizer.variables, *model.discriminator_optimizer.variables]
    return {f"{number} {v.path}": np.array(v) for number, v in enumerate(variables)}


def assert_same(a: Descent, b: Descent) -> None:
    for (name, mine), theirs in zip(state(a).items(), state(b).values(), strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)


@pytest.fixture(scope="module")
def model() -> Descent:
    return trained(3)


def test_every_variable_comes_back(tmp_path, model):
    other = made(seed=1)
    restore_checkpoint(save_checkpoint(tmp_path, model, {}), other)
    assert_same(model, other)


def test_frozen_weights_are_written_once(tmp_path, model):
    with h5py.File(save_checkpoint(tmp_path, model, {})) as file:
        shapes = {player: [values.shape for values in file[player].values()] for player in file}
    assert shapes["generator"] == [(2, 3), (3,), (3, 7)]
    assert shapes["ema_generator"] == [(2, 3), (3,)]


def test_optimizers_come_back_with_iterations_and_slots(tmp_path, model):
    other = made(seed=1)
    restore_checkpoint(save_checkpoint(tmp_path, model, {}), other)
    for optimizer in (other.generator_optimizer, other.discriminator_optimizer):
        assert int(optimizer.iterations) == 3
        slots = [v for v in optimizer.variables if "velocity" in v.path]
        assert len(slots) == 2 and all(np.any(slot) for slot in slots)


def test_learning_rates_stay_as_compiled(tmp_path, model):
    """A light checkpoint may continue with other settings than those that it was trained with."""
    path = save_checkpoint(tmp_path, model, {})
    other = made(seed=1)
    other.generator_optimizer.learning_rate = 0.25
    restore_checkpoint(path, other)
    rates = [float(one.generator_optimizer.learning_rate) for one in (model, other)]
    assert rates == [pytest.approx(rates[0]), 0.25] and rates[0] != 0.25


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path, model):
    other = made(seed=1)
    restore_checkpoint(save_checkpoint(tmp_path, model, {}), other)
    assert_same(trained(2, other), trained(5))


def test_state_comes_back_with_the_images_seen(tmp_path, model):
    assert read_state(save_checkpoint(tmp_path, model, {"phase": 4})) == {"phase": 4, "images_seen": 12}


def test_the_last_two_are_kept_newest_first(tmp_path):
    other, paths = made(), []
    for steps in (2, 25, 250):
        other.discriminator_optimizer.iterations.assign(steps)
        paths.append(save_checkpoint(tmp_path, other, {}))
    assert [path.name for path in paths] == [f"checkpoint-{images:010d}.h5" for images in (8, 100, 1000)]
    assert checkpoints(tmp_path) == [paths[2], paths[1]]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_breaks_off_leaves_the_old_one(tmp_path, model, monkeypatch):
    path = save_checkpoint(tmp_path, model, {})
    before = path.read_bytes()

    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, model, {})
    assert checkpoints(tmp_path) == [path] and path.read_bytes() == before


def test_what_a_kill_left_is_overwritten(tmp_path, model):
    (tmp_path / "checkpoint-0000000012.partial").write_bytes(b"half")
    path = save_checkpoint(tmp_path, model, {})
    assert list(tmp_path.iterdir()) == [path]
    assert read_state(path)["images_seen"] == 12


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda content: b"\0" * len(content)])
def test_a_damaged_file_is_named(tmp_path, model, damage):
    path = save_checkpoint(tmp_path, model, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=f"{path}: is damaged"):
        restore_checkpoint(path, model)


def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path, model):
    path = save_checkpoint(tmp_path, model, {})
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(DamagedCheckpointError, match="wrong checksum"):
            read_state(path)


def test_a_file_without_a_seal_is_read_as_before(tmp_path, model):
    path = save_checkpoint(tmp_path, model, {"phase": 2})
    path.write_bytes(path.read_bytes().rpartition(b"\nsha256 ")[0])
    assert read_state(path)["phase"] == 2


def test_a_network_of_another_size_is_refused(tmp_path, model):
    path = save_checkpoint(tmp_path, model, {})
    with pytest.raises(CheckpointError, match=r"\(2, 3\) there and \(2, 4\) here"):
        restore_checkpoint(path, made(units=4))


def test_a_network_of_other_layers_is_refused(tmp_path, model):
    path, other = save_checkpoint(tmp_path, model, {}), Descent()
    inputs = keras.Input((2,))
    other.discriminator = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(1)(inputs)))
    other.compile(keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1), DURATION)
    with pytest.raises(CheckpointError, match="holds 2 variables of the discriminator, this network has 4"):
        restore_checkpoint(path, other)


# --- light checkpoints --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """(a trained model, the light checkpoint of it)."""
    folder, model = tmp_path_factory.mktemp("light"), trained(5)
    lighten(save_checkpoint(folder, model, {"phase": 3}), folder / "light.h5")
    return model, folder / "light.h5"


def test_a_light_checkpoint_keeps_networks_in_half_precision_and_the_average_as_it_is(light):
    model, file = light
    other = made(seed=1)
    restore_checkpoint(file, other)
    assert read_state(file) == {"phase": 3, "images_seen": 20}
    for mine, theirs in ((other.generator, model.generator), (other.discriminator, model.discriminator)):
        for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            assert np.array_equal(a, b.astype(np.float16).astype(np.float32))
    for (a, _), (b, _) in zip(other.weight_pairs(frozen=False), model.weight_pairs(frozen=False), strict=True):
        assert np.array_equal(a, b)


def test_a_light_checkpoint_has_the_same_bytes_whenever_it_is_written(light, tmp_path):
    checkpoint = save_checkpoint(tmp_path / "whole", light[0], {"phase": 3})
    lighten(checkpoint, tmp_path / "first.h5")
    time.sleep(1.1)  # HDF5 counts in seconds
    lighten(checkpoint, tmp_path / "second.h5")
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_a_light_checkpoint_keeps_of_an_optimizer_its_steps_and_means(light):
    model, file = light
    other = made(seed=1)
    restore_checkpoint(file, other)
    assert int(other.iterations) == 5
    for a, b in zip(other.discriminator_optimizer.variables, model.discriminator_optimizer.variables, strict=True):
        np.testing.assert_allclose(a, np.full(b.shape, np.mean(b)), rtol=1e-6)


def test_a_light_checkpoint_lies_where_a_run_looks_for_its_own(light, tmp_path):
    model, _ = light
    generator = tmp_path / "generator.keras"
    generator.write_bytes(b"a generator")
    checkpoint = save_checkpoint(tmp_path / "whole", model, {"phase": 3})
    lighten(checkpoint, tmp_path / "light.h5", previous=generator)
    unpack(tmp_path / "light.h5", tmp_path / "phase-3", tmp_path / "phase-2" / "generator.keras")
    assert [path.name for path in checkpoints(tmp_path / "phase-3")] == ["checkpoint-0000000020.h5"]
    assert (tmp_path / "phase-2" / "generator.keras").read_bytes() == b"a generator"


def test_a_changed_byte_of_a_weight_is_noticed(tmp_path, model):
    path = save_checkpoint(tmp_path, model, {})
    with h5py.File(path, "r+") as file:
        file["generator/000"][...] += 1
    with pytest.raises(CheckpointError, match="wrong checksum"):
        restore_checkpoint(path, model)


def test_a_file_whose_groups_contain_each_other_is_refused_and_nothing_is_printed(tmp_path, model, capfd):
    path = save_checkpoint(tmp_path, model, {})
    with h5py.File(path, "r+") as file:
        del file["generator/000"]
        file["generator/000"] = file["/"]
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        restore_checkpoint(path, model)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, model, value):
    path = save_checkpoint(tmp_path, model, {})
    with h5py.File(path, "r+") as file:
        file["generator/000"][...] = value
        del file.attrs["sha256"]  # as checkpoints of older versions are
    with pytest.raises(CheckpointError, match="is NaN or infinite"):
        restore_checkpoint(path, model)


def test_a_checkpoint_of_an_older_version_has_no_checksum(tmp_path, model):
    path = save_checkpoint(tmp_path, model, {})
    with h5py.File(path, "r+") as file:
        del file.attrs["sha256"]
    other = made(seed=1)
    restore_checkpoint(path, other)
    assert_same(model, other)
