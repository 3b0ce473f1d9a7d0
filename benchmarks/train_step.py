"""Time of a training step: ours against the textbook Keras step, in float32 and mixed bfloat16.

The textbook step runs the generator twice (once for the critic's update, once for its own) and the critic on the fakes
twice. Ours runs the generator once and takes the generator's gradient from the critic's backward pass.

    python benchmarks/train_step.py --phases 3,4,5 --steps 5

Both steps are timed in turn, A B A B …, and the medians are compared, so that a noisy machine disturbs both alike.
"""

import time

import click


def textbook_gradients(model, batch, step):
    """The step of every published Keras WGAN-GP example, on the same networks."""
    import tensorflow as tf

    from mask_embedding_gan.train_step import DRIFT_WEIGHT, PENALTY_WEIGHT, fade_images, gradient_penalty
    from training.noise import global_batch_noise

    real, mask = batch["image"], batch["mask"]
    alpha = tf.reshape(model.schedule.alpha(step * model.schedule.batch), (1,))
    count = real.shape[0] or tf.shape(real)[0]
    latent = global_batch_noise(tf.random.stateless_normal, count, (model.latent_size,), model.latent_seed, step)
    u = global_batch_noise(tf.random.stateless_uniform, count, (1, 1, 1), model.lerp_seed, step)
    if model.schedule.phase > 1:
        real = fade_images(real, alpha)

    fake = model.generator([mask, latent, alpha], training=True)
    with tf.GradientTape() as tape:
        real_seen, fake_seen = model.as_critic_sees(real), model.as_critic_sees(fake)
        real_score = model.discriminator([real_seen, mask, alpha], training=True)
        fake_score = model.discriminator([fake_seen, mask, alpha], training=True)
        penalty = gradient_penalty(model.discriminator, real_seen + u * (fake_seen - real_seen), mask, alpha)
        wasserstein = tf.reduce_mean(fake_score) - tf.reduce_mean(real_score)
        drift = tf.reduce_mean(tf.square(real_score))
        critic_loss = wasserstein + PENALTY_WEIGHT * penalty + DRIFT_WEIGHT * drift
    critic_gradients = tape.gradient(critic_loss, model.discriminator.trainable_variables)

    with tf.GradientTape() as tape:
        fake = model.generator([mask, latent, alpha], training=True)
        generator_loss = -tf.reduce_mean(model.discriminator([model.as_critic_sees(fake), mask, alpha], training=True))
    generator_gradients = tape.gradient(generator_loss, model.generator.trainable_variables)
    losses = {
        "critic_real": tf.reduce_mean(real_score),
        "critic_fake": tf.reduce_mean(fake_score),
        "gradient_penalty": penalty,
        "wasserstein": -wasserstein,
        "diversity_gap": tf.zeros(()),
        "shared_detail": tf.zeros(()),
    }
    return critic_gradients, generator_gradients, losses


def build(preset, phase: int, precision: str, textbook: bool):
    """A callable that runs one compiled step of a phase on fixed random data."""
    from dataclasses import replace

    import numpy as np
    import tensorflow as tf

    from mask_embedding_gan.blocks import resolution
    from mask_embedding_gan.players import build_players, compiled

    preset = replace(preset, precision=precision, diversity=None)  # the textbook has no such term
    schedule = preset.schedule(phase)
    model = compiled(build_players(preset.network, phase, 0, precision), preset, phase, 0)
    if textbook:
        model.player_gradients = lambda batch, step, variant: textbook_gradients(model, batch, step)
    shape = (schedule.batch, *resolution(phase), 1)
    rng = np.random.default_rng(0)
    batch = {
        "image": tf.constant(rng.random(shape, np.float32)),
        "mask": tf.constant((rng.random(shape) > 0.5).astype(np.float32)),
    }
    step = tf.function(lambda batch: model.train_step(batch, model.variant(0)))
    return lambda: step(batch)["wasserstein"].numpy()


@click.command(help=__doc__.split("\n")[0])
@click.option("--phases", default="3,4,5", show_default=True, help="On whole images.")
@click.option("--preset", type=click.Choice(["quick", "paper"]), default="quick", show_default=True)
@click.option("--precisions", default="float32,mixed_bfloat16", show_default=True)
@click.option("--steps", default=5, show_default=True, help="Timed steps of each variant.")
@click.option("--determinism/--no-determinism", default=True, show_default=True)
def main(phases: str, preset: str, precisions: str, steps: int, determinism: bool) -> None:
    import numpy as np

    from mask_embedding_gan.presets import PRESETS
    from training.run import configure_tensorflow

    configure_tensorflow(deterministic=determinism)
    chosen, ratios = PRESETS[preset], []
    names = [(precision, textbook) for precision in precisions.split(",") for textbook in (True, False)]
    for phase in map(int, phases.split(",")):
        variants = {name: build(chosen, phase, *name) for name in names}
        seconds = {name: [] for name in names}
        for repeat in range(steps + 2):
            for name, run in variants.items():
                began = time.perf_counter()
                run()
                if repeat >= 2:  # the first traces, the second still warms up
                    seconds[name].append(time.perf_counter() - began)
        for precision in precisions.split(","):
            theirs, ours = (np.median(seconds[precision, textbook]) for textbook in (True, False))
            ratios.append(theirs / ours)
            click.echo(
                f"phase {phase} {precision:15s} textbook {1000 * theirs:8.1f} ms · ours {1000 * ours:8.1f} ms · "
                f"ratio {theirs / ours:.2f}"
            )
    click.echo(f"textbook / ours, geometric mean: {np.exp(np.mean(np.log(ratios))):.2f}")


if __name__ == "__main__":
    main()
