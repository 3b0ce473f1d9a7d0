"""Sums in a fixed order, whatever other threads are doing.

TensorFlow's `AddN` writes its result into the first input that no other operation still needs, and adds that input
first: (a + b) + c, or (c + b) + a while something else holds a and b. What is still needed depends on the threads, and
so does the last bit of a sum of three or more. `enable_op_determinism` does not cover this. A sum of two has one value.

Such sums come from the gradients of a tensor that is used three times, and from the graph optimiser, which merges
additions. TensorFlow has no public setting for either.
"""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop

ADDITIONS = ("Add", "AddV2", "AddN")
MERGED = "_grappler_ArithmeticOptimizer_AddOpsRewriteStage"  # how the graph optimiser marks what it has merged


def sum_gradients_in_order() -> None:
    """Have every `tf.GradientTape` of this process add the gradients of a tensor two by two, as they arrive.

    The graph optimiser would merge them again: call `keep_additions_apart` where the graph is complete.
    """
    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=_sum_in_order))


def keep_additions_apart() -> None:
    """Keep the graph optimiser from merging any addition of the `tf.function` being traced; elsewhere do nothing."""
    if not tf.inside_function():
        return
    for operation in tf.compat.v1.get_default_graph().get_operations():
        if operation.type in ADDITIONS:
            operation._set_attr(MERGED, AttrValue(b=True))


def _sum_in_order(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor | tf.IndexedSlices:
    """((a + b) + c) + …"""
    if not all(isinstance(gradient, tf.Tensor) for gradient in gradients):
        return backprop._aggregate_grads(gradients)
    total, *others = gradients
    for gradient in others:
        total = tf.add_n([total, gradient])
    return total
