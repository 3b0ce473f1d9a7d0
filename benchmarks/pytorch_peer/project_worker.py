"""The project's side of `against_pytorch.py`: a process that builds a model and runs steps of it when told to.

It uses what training uses: `build_players`/`compiled` or `build_model`, and the train function that `fit` would run, on
one batch over and over. Commands come as lines of JSON on standard input, answers go to standard output.
"""

import time
from dataclasses import replace

from pytorch_peer.protocol import serve

# networks of the paper with half the kernels, in batches that two cores train with
HALF_WIDTH = {"base_filters": 64, "latent_filters": (64, 51, 41, 33, 26, 21, 17)}
HALF_BATCHES = (16, 16, 16, 16, 8, 4, 4)


class Project:
    """The model of one problem, and how its training runs it."""

    def __init__(self):
        import mask_embedding_gan  # noqa: F401  settings that TensorFlow reads when it is imported
        from training.run import configure_tensorflow

        configure_tensorflow()
        self.model = None

    def build(self, system: str, preset: str, phase: int | None, precision: str, fading: bool) -> dict:
        """Build and compile a model; its description, from which the peer builds its own."""
        import keras

        keras.backend.clear_session()
        make = self._mammograms if system == "mammograms" else self._masses
        spec, self.batch = make(preset, phase, precision, fading)
        spec["generator_adam"], spec["critic_adam"] = map(
            _adam, (self.model.generator_optimizer, self.model.discriminator_optimizer)
        )
        spec["decay"] = 0.5 ** (spec["batch"] / self.model.ema_half_life_images)
        self._start()
        return spec

    def _mammograms(self, preset: str, phase: int, precision: str, fading: bool) -> tuple[dict, dict]:
        import numpy as np

        from mask_embedding_gan.blocks import resolution
        from mask_embedding_gan.players import build_players, compiled
        from mask_embedding_gan.presets import PRESETS

        chosen = PRESETS["paper"]
        network, schedule = chosen.network, chosen.schedule(phase)
        if preset == "half":
            network = replace(network, **HALF_WIDTH)
            schedule = replace(schedule, batch=HALF_BATCHES[phase - 1])
        phases = tuple(schedule if one.phase == phase else one for one in chosen.phases)
        preset = replace(chosen, network=network, phases=phases, precision=precision, diversity=None)
        self.model = compiled(build_players(network, phase, 0, precision), preset, phase, 0)
        fade_steps = -(-schedule.fade_in_images // schedule.batch)
        self.first_step = fade_steps // 2 if fading else fade_steps
        sizes = {name: getattr(network, name) for name in ("latent_size", "embedding_size", "mask_filters")}
        sizes |= {"group_size": network.group_size, "filters": [network.filters(level) for level in range(phase + 1)]}
        shape = (schedule.batch, *resolution(phase), 1)
        random = np.random.default_rng(0)
        batch = {"image": random.random(shape, np.float32), "mask": np.float32(random.random(shape) > 0.5)}
        alpha = float(schedule.alpha(np.float32(self.first_step * schedule.batch)))
        threads = schedule.threads_per_operation(network) if hasattr(schedule, "threads_per_operation") else None
        return {"sizes": sizes, "phase": phase, "batch": schedule.batch, "alpha": alpha, "threads": threads}, batch

    def _masses(self, preset: str, phase: None, precision: str, fading: bool) -> tuple[dict, dict]:
        import numpy as np

        from feature2mass.networks import EMBEDDING_UNITS, FEATURES, SIZE, VERDICT_UNITS
        from feature2mass.presets import PRESETS
        from feature2mass.train import build_model

        preset = PRESETS["quick" if preset == "half" else preset].changed(
            adding=("plain_ends", "activation_last", "low_pass", "smooth_start", "moving_average"), precision=precision
        )
        margins, shapes = 5, 4
        self.model = build_model(preset, margins, shapes, 0)
        self.first_step = 0
        network, weights = preset.network, preset.weights
        sizes = {
            "filters": network.scaled_filters(),
            "discriminator_filters": network.discriminator(network.discriminator_filters),
            "verdict_units": network.discriminator(VERDICT_UNITS),
            "embedding_units": EMBEDDING_UNITS,
            "features": FEATURES,
            "margins": margins,
            "shapes": shapes,
        }
        sizes["weights"] = [weights.margin, weights.shape, weights.labels, weights.reconstruction]
        random = np.random.default_rng(0)
        batch = {"image": random.random((preset.batch, SIZE, SIZE, 1), np.float32)}
        for name, classes in (("margin", margins), ("shape", shapes)):
            batch[name] = np.eye(classes, dtype=np.float32)[random.integers(classes, size=preset.batch)]
        return {"sizes": sizes, "batch": preset.batch, "threads": None}, batch

    def _start(self) -> None:
        """Everything up to the first step."""
        import tensorflow as tf

        self.model.discriminator_optimizer.iterations.assign(self.first_step)
        self.batches = iter(tf.data.Dataset.from_tensors(self.batch).repeat())
        self.model.make_train_function()

    def run(self, steps: int) -> dict:
        """Seconds per step of each execution; `steps` is rounded up to whole executions."""
        import numpy as np

        model, seconds = self.model, []
        inner = model.steps_per_execution
        for _ in range(-(-steps // inner)):
            began = time.perf_counter()
            logs = model.train_function(self.batches)
            loss = float(np.asarray(next(iter(logs.values()))))
            seconds.append((time.perf_counter() - began) / inner)
        return {"seconds": seconds, "loss": loss}

    def dump(self, path: str) -> dict:
        """Write weights, batch, noise, losses and gradients of one step to `path` (.npz), nothing trained."""
        import numpy as np
        import tensorflow as tf

        model, arrays = self.model, {f"batch/{name}": value for name, value in self.batch.items()}
        step = tf.constant(self.first_step, tf.int64)
        batch = {name: tf.constant(value) for name, value in self.batch.items()}
        variant = model.variant(self.first_step)
        critic, generator, losses = tf.function(lambda: model.player_gradients(batch, step, variant))()
        for player, network, gradients in (
            ("critic", model.discriminator, critic),
            ("generator", model.generator, generator),
        ):
            for variable in network.weights:
                arrays[f"{player}/weight/{_name(variable)}"] = np.asarray(variable)
            for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
                arrays[f"{player}/gradient/{_name(variable)}"] = np.asarray(gradient)
        arrays |= {f"loss/{name}": np.asarray(value) for name, value in losses.items()}
        if hasattr(model, "latent_seed"):
            from training.noise import global_batch_noise

            count = len(self.batch["image"])
            draws = {
                "latent": (tf.random.stateless_normal, (model.latent_size,), model.latent_seed),
                "u": (tf.random.stateless_uniform, (1, 1, 1), model.lerp_seed),
            }
            for name, (draw, shape, seed) in draws.items():
                arrays[f"noise/{name}"] = np.asarray(global_batch_noise(draw, count, shape, seed, step))
        np.savez(path, **arrays)
        return {"path": path}

    def peak(self, precision: str) -> dict:
        """FLOP/s of TensorFlow's fastest large matrix product, on all cores."""
        import tensorflow as tf
        from machine import PEAK_SIZES, fastest

        dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
        trials = {}
        for size in PEAK_SIZES:
            a, b = (tf.cast(tf.random.normal((size, size)), dtype) for _ in range(2))
            trials[2 * size**3] = lambda a=a, b=b: tf.reduce_sum(tf.matmul(a, b)[:1, :1]).numpy()
        return {"flops": fastest(trials)}


def _adam(optimizer) -> dict:
    fields = {"beta_1": optimizer.beta_1, "beta_2": optimizer.beta_2, "epsilon": optimizer.epsilon}
    return {"rate": float(optimizer.learning_rate.numpy()), **fields}


def _name(variable) -> str:
    """ "critic_3/kernel": the layer and the weight."""
    return "/".join(variable.path.split("/")[-2:])


if __name__ == "__main__":
    serve(Project())
