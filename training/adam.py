"""Keras' Adam with one operation of TensorFlow per variable."""

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose update of a variable is one fused operation instead of a dozen.

    The formula, the variables and so the checkpoints are the same. For networks of many small kernels that dozen is up
    to a third of a step (ours).
    """

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one variable; gradient of its shape, learning_rate a scalar."""
        dtype, index = tf.as_dtype(variable.dtype), self._get_variable_index(variable)
        beta_1, beta_2, epsilon = (tf.constant(number, dtype) for number in (self.beta_1, self.beta_2, self.epsilon))
        steps = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(beta_1, steps),
            beta2_power=tf.pow(beta_2, steps),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, dtype),
        )


def _handle(variable) -> tf.Tensor:
    """What an operation of TensorFlow changes a variable by, Keras' or TensorFlow's."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
