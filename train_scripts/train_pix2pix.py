"""Train pix2pix, the baseline that turns texture maps into mammograms, from shards of mammograms."""

from dataclasses import replace
from typing import Any

import click

from preprocessing.command_line import Command
from training.command_line import Options, begin, training_command, training_options, warn_of_old_flag

SIZES = ["8", "16", "32", "64", "128", "256", "512"]


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--size", type=click.Choice(SIZES), default="512", help="Height of the images; they are half as wide.")
@training_options(
    run="runs/pix2pix",
    presets={
        "quick": "minutes on two cores, with a quarter of the filters.",
        "paper": "Isola et al. 2017 as printed; two weeks on two cores, or hours on a GPU.",
    },
    additions=("jitter", "moving_average"),
    seeds="weights, order, jitter and dropout",
)
@click.option("--images", type=click.IntRange(1), hidden=True)
def main(size: str, images: int | None, **given: Any) -> None:
    """Train pix2pix, a baseline of the mask-embedding GAN.

    A run that was stopped continues exactly where it stopped when the same command is run again. It ends by writing
    RUN/generator.keras, for generate-mammograms; Keras opens it without this package.

    \b
    Example:
      synthmammo train-pix2pix --data data/mine --run runs/pix2pix --size 256 --length 10
    """
    options = Options(**given)
    with training_command():
        from pix2pix.presets import PRESETS
        from pix2pix.train import train

        if images is not None:
            options = replace(options, length=images / PRESETS[options.preset].images)
            warn_of_old_flag("--images", f"--length {options.length:g}")
        begun = begin(options, PRESETS, kind="mammogram", finished="generator.keras", height=int(size))
        run, echo = begun.run, begun.cluster.echo
        trained = train(begun.dataset, run, begun.preset, seed=options.seed, strategy=begun.strategy, echo=echo)
    if not trained:
        echo(f"{run.path}: is complete already")
    echo(f"generator: {run.stage().generator}")


if __name__ == "__main__":
    main()
