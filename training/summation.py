"""Sums of gradients in one order, whatever other threads are doing.

TensorFlow's `AddN` writes its result into the first input that no other operation still needs, and adds that input
first: (a + b) + c, or (c + b) + a while something else holds a and b. What is still needed depends on the threads, and
so does the last bit of a sum of three or more. `enable_op_determinism` does not cover this. A sum of two has one value.
"""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop


def sum_gradients_in_order() -> None:
    """Have every `tf.GradientTape` of this process add gradients of one tensor in the order in which they arrive.

    The graph optimiser would merge the sums of two into one `AddN`: switch `arithmetic_optimization` off as well.
    TensorFlow has no public setting for this.
    """
    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=_sum_in_order))


def _sum_in_order(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor | tf.IndexedSlices:
    """((a + b) + c) + …"""
    if not all(isinstance(gradient, tf.Tensor) for gradient in gradients):
        return backprop._aggregate_grads(gradients)
    total, *others = gradients
    for gradient in others:
        total = tf.add_n([total, gradient])
    return total
