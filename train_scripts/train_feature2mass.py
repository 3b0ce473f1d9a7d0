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
        "film": "masses with the texture of films, in about 4 hours of one core.",
        "paper": "Lee et al. 2018, batch 512, 8000 epochs; needs a GPU.",
    },
    additions=(
        "linear_start",
        "plain_ends",
        "activation_last",
        "low_pass",
        "smooth_start",
        "moving_average",
        "octaves",
        "mirrored_seeds",
        "weight_cap",
        "spread",
        "grain",
        "refinement",
        "noise",
        "plain_discriminators",
        "amplification",
        "amplified_reconstruction",
        "falling_reconstruction",
        "slope_penalty",
        "judged_mixtures",
    ),
    seeds="weights, order and augmentation",
)
def main(**given: Any) -> None:
    """Train until the preset's end, continuing exactly where the run directory stopped.

    Leaves RUN/encoder.keras and RUN/decoder.keras, which plain Keras opens.

    \b
    Example:
        train_feature2mass.py --data data/masses --run runs/masses --length 4 --without low_pass
    """
    from preprocessing.shards import DataError

    options = Options(**given)
    with training_command(DataError):
        from feature2mass.presets import PRESETS
        from feature2mass.settings import EARLIER
        from feature2mass.train import DECODER, ENCODER, run_config, train
        from preprocessing.training_data import open_training_data

        begun = begin(options, PRESETS, open_training_data, run_config, kind="mass", finished=DECODER, earlier=EARLIER)
        run, echo = begun.run, begun.cluster.echo
        trained = train(begun.dataset, run, begun.preset, seed=options.seed, strategy=begun.strategy, echo=echo)
    if not trained:
        echo(f"{run.path}: is complete already")
    echo(f"encoder: {run.path / ENCODER}")
    echo(f"decoder: {run.path / DECODER}")


if __name__ == "__main__":
    main()
