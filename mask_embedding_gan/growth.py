"""Growing a network by one phase: every layer that both have is taken over by name, the others start as drawn."""

import keras

from training.layers import FadeIn


def weights_by_name(model: keras.Model) -> dict[str, keras.Variable]:
    """Return every weight of a network by its layer's name and its own, e.g. `latent_3/kernel`."""
    return {"/".join(weight.path.split("/")[-2:]): weight for weight in model.weights}


def transfer(old: keras.Model, new: keras.Model) -> None:
    """Copy every weight that both networks have, by name."""
    theirs = weights_by_name(old)
    for name, weight in weights_by_name(new).items():
        if name in theirs:
            weight.assign(theirs[name])


def without_fade_in(network: keras.Model) -> keras.Model:
    """Return the same layers and weights without the older path of each fade-in: what a network computes at alpha 1."""

    def call(layer: keras.layers.Layer, *args, **kwargs):
        if isinstance(layer, FadeIn):
            _, newer, _ = args[0]
            return newer
        return layer(*args, **kwargs)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
