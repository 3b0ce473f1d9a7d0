"""Train Feature2Mass, the generator of labelled masses, from shards of masses."""

from typing import Any

import click

from preprocessing.command_line import Command
from training.command_line import Options, begin, training_command, training_options


@click.command(cls=Command, context_settings={"show_default": True})
@training_options(
    run="runs/masses",
    presets={
        "quick": "minutes on two cores, with narrower networks.",
        "film": "masses with the texture of scanned films; about 3 hours on one core with bfloat16.",
        "paper": "Lee et al. 2018 as printed, 8,000 epochs in batches of 512; three days on two cores.",
    },
    additions=(
        "linear_start plain_ends activation_last low_pass smooth_start moving_average octaves mirrored_seeds "
        "weight_cap spread grain refinement noise plain_discriminators amplification amplified_reconstruction "
        "falling_reconstruction slope_penalty judged_mixtures"
    ).split(),
    seeds="weights, order and augmentation",
)
def main(**given: Any) -> None:
    """Train Feature2Mass, a generator of labelled masses.

    A run that was stopped continues exactly where it stopped when the same command is run again. It ends by writing
    RUN/encoder.keras and RUN/decoder.keras, for generate-masses; Keras opens them without this package.

    \b
    Example:
      synthmammo train-feature2mass --data data/masses --run runs/masses --preset film
    """
    options = Options(**given)
    with training_command():
        from feature2mass.presets import PRESETS
        from feature2mass.settings import DECODER, EARLIER, ENCODER
        from feature2mass.train import train

        begun = begin(options, PRESETS, kind="mass", finished=DECODER, earlier=EARLIER)
        run, echo = begun.run, begun.cluster.echo
        trained = train(begun.dataset, run, begun.preset, seed=options.seed, strategy=begun.strategy, echo=echo)
    if not trained:
        echo(f"{run.path}: is complete already")
    echo(f"encoder: {run.path / ENCODER}")
    echo(f"decoder: {run.path / DECODER}")


if __name__ == "__main__":
    main()
