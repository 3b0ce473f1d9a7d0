"""Noise is a pure function of (seed, step), whatever the number of replicas."""

import numpy as np
import pytest
import tensorflow as tf

from training.noise import global_batch_noise, stream_seed


class Replica:
    """Stands for the context that TensorFlow gives each replica."""

    def __init__(self, number: int, replicas: int):
        self.replica_id_in_sync_group, self.num_replicas_in_sync = number, replicas


def draw(batch=8, seed=3, step=0, how=tf.random.stateless_normal) -> np.ndarray:
    return np.asarray(global_batch_noise(how, batch, (5,), seed, tf.constant(step, tf.int64)))


def test_same_seed_and_step_give_the_same_numbers():
    np.testing.assert_array_equal(draw(), draw())


def test_each_step_gives_other_numbers():
    assert not np.intersect1d(draw(step=0), draw(step=1)).size


def test_each_seed_gives_other_numbers():
    assert not np.intersect1d(draw(seed=3), draw(seed=4)).size


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_together_hold_the_noise_of_one(monkeypatch, replicas):
    whole, parts = draw(8), []
    for number in range(replicas):
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda n=number: Replica(n, replicas))
        parts.append(draw(8 // replicas))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_normal_noise_is_standard():
    numbers = draw(batch=4000)
    assert np.mean(numbers) == pytest.approx(0, abs=0.03)
    assert np.std(numbers) == pytest.approx(1, abs=0.03)


def test_uniform_noise_fills_0_to_1():
    numbers = draw(batch=4000, how=tf.random.stateless_uniform)
    assert 0 <= numbers.min() < 0.01 and 0.99 < numbers.max() < 1


def test_streams_of_one_run_differ():
    streams = [("latent", 1), ("latent", 2), ("interpolation", 1), ("data", 1)]
    assert len({stream_seed(0, *names) for names in streams}) == 4


def test_a_stream_of_two_runs_differs():
    assert stream_seed(0, "latent", 1) != stream_seed(1, "latent", 1)


def test_a_stream_seed_is_the_same_in_every_process():
    """Python's own hash of a string is not: this value was computed in another process."""
    words = [7, int.from_bytes(b"latent", "little"), int.from_bytes(b"2", "little")]
    assert stream_seed(7, "latent", 2) == int(np.random.SeedSequence(words).generate_state(1)[0]) // 2


def test_a_stream_seed_has_31_bits():
    seeds = [stream_seed(seed, "latent", 1) for seed in range(200)]
    assert min(seeds) >= 0 and 2**30 < max(seeds) < 2**31
