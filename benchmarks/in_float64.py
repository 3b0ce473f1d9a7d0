"""The training of the mask-embedding GAN in float64: its own code computes images and random numbers in float32."""

from functools import wraps


def train_in_float64() -> None:
    """Have networks, images, masks, random numbers and alpha of this process's training in float64."""
    import keras
    import tensorflow as tf

    from mask_embedding_gan import train, train_step
    from mask_embedding_gan.schedule import PhaseSchedule
    from training.model import Players

    def copied(model: keras.Model) -> keras.Model:
        copy = keras.models.model_from_json(model.to_json().replace('"float32"', '"float64"'))
        copy.set_weights(model.get_weights())
        return copy

    def cast(tensors):
        return tf.nest.map_structure(lambda one: tf.cast(one, tf.float64) if one.dtype == tf.float32 else one, tensors)

    def after(convert, function):
        return wraps(function)(lambda *given, **named: convert(function(*given, **named)))

    train.build_players = after(lambda made: Players(*map(copied, made)), train.build_players)
    train.mammogram_batches = after(lambda batches: batches.map(cast), train.mammogram_batches)
    train_step.global_batch_noise = after(cast, train_step.global_batch_noise)
    PhaseSchedule.alpha = after(cast, PhaseSchedule.alpha)
