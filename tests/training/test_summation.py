"""Sums of three in the order written, while other operations hold what is summed."""

import json

import pytest
import tiny

HELD = """
import json

import numpy as np
import tensorflow as tf

from training.run import configure_tensorflow
from training.summation import keep_additions_apart

configure_tensorflow()
random = np.random.default_rng(0)
weights, *factors = (tf.constant(random.standard_normal(1000), tf.float32) for _ in range(4))


def scaled(x, factor, seen):
    @tf.custom_gradient
    def call(x):
        def gradient(upstream):
            seen.append(upstream * factor)
            return seen[-1]

        return x * factor, gradient

    return call(x)


@tf.function
def gradients(x):
    seen = []
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(weights * sum(scaled(x, factor, seen) for factor in factors))
    gradient = tape.gradient(y, x)
    keep_additions_apart()
    return gradient, seen[:2]  # what a function returns is held to its end


@tf.function
def written_out(x):
    a, b, c = (x * weights * factor for factor in factors)
    total = a + b + c
    keep_additions_apart()
    return total, [a, b]


def in_order(function):
    total, held = function(tf.ones(1000))
    first, second = (part.numpy() for part in held)
    parts = [(weights * factor).numpy() for factor in factors]
    (third,) = (part for part in parts if not any(np.array_equal(part, one) for one in (first, second)))
    return bool((total.numpy() == (first + second) + third).all())


print(json.dumps({"gradients": in_order(gradients), "written out": in_order(written_out)}))
"""


@pytest.fixture(scope="module")
def in_order(tmp_path_factory) -> dict[str, bool]:
    """Whether each sum was added in order, in a process with the settings of a training."""
    done = tiny.run_driver(HELD, tmp_path_factory.mktemp("sums"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("sum_of", ["gradients", "written out"])
def test_three_are_added_in_order_while_two_of_them_are_held(in_order, sum_of):
    assert in_order[sum_of]


# --- the three systems --------------------------------------------------------------------------

OPTIMISED = """
import json
import sys

import tensorflow as tf
from tensorflow.python.eager import context

from training.run import configure_tensorflow

configure_tensorflow()
system = sys.argv[1]
if system == "mask-embedding GAN":
    import tiny
    from mask_embedding_gan.players import build_players, compiled

    model = compiled(build_players(tiny.NETWORK, 3, 0), tiny.preset(), 3, 0)
    shapes = {"image": (4, 32, 16, 1), "mask": (4, 32, 16, 1)}
elif system == "pix2pix":
    import tiny_pix2pix
    from pix2pix.train import build_model

    model = build_model(tiny_pix2pix.preset(), 0)
    size = tiny_pix2pix.preset().network.size
    shapes = {"image": (2, *size, 1), "texture_map": (2, *size, 1)}
else:
    import tiny_masses
    from feature2mass.train import build_model

    model = build_model(tiny_masses.preset(), margins=2, shapes=3, seed=0)
    shapes = {"image": (4, 64, 64, 1), "margin": (4, 2), "shape": (4, 3)}
step = tf.function(lambda batch: model.train_step(batch, model.variant(0)))
context.context().enable_run_metadata()  # keeps the graphs as they are run
step({name: tf.ones(shape) for name, shape in shapes.items()})
graphs = context.context().export_run_metadata().function_graphs
sums = [node for graph in graphs for node in graph.post_optimization_graph.node if node.op == "AddN"]
print(json.dumps([sum(not name.startswith("^") for name in node.input) for node in sums]))
"""


@pytest.mark.parametrize("system", ["mask-embedding GAN", "pix2pix", "Feature2Mass"])
def test_an_optimised_step_has_sums_of_two_alone(tmp_path, system):
    done = tiny.run_driver(OPTIMISED, tmp_path, system)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) == {2}
