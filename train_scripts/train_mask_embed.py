"""Train the mask-embedding GAN, phase after phase, from shards of mammograms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from preprocessing.command_line import Command
from training.command_line import Options, begin, start_again, training_command, training_options, warn_of_old_flag


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--phase", type=click.IntRange(1, 7), required=True, help="Last phase to train; 7 is 512×256.")
@click.option(
    "--no-embedding", is_flag=True, help="Train the baseline without a mask embedding (Ren et al. 2019, §6.4)."
)
@click.option(
    "--networks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start from this file, which save-networks wrote from another run of the same preset.",
)
@training_options(
    run="runs/demo",
    presets={
        "quick": "the same networks as film, in minutes on two cores.",
        "film": "images like scanned films, half the kernels of the paper; about 10 hours on one core.",
        "paper": "Ren et al. 2019 as printed; four days on two cores, or hours on a GPU.",
    },
    additions=(
        "second_convolution sum_of_levels times_mask noise_levels independent_noise critic_convolutions windows_from "
        "levelled keeps_averages amplification r1_penalty diversity own_detail level_spectrum jitter moving_average"
    ).split(),
    seeds="weights, order, jitter and noise",
)
@click.option("--diversity/--no-diversity", default=None, hidden=True)
def main(phase: int, no_embedding: bool, networks: Path | None, diversity: bool | None, **given: Any) -> None:
    """Train the mask-embedding GAN, phase by phase.

    Trains all phases up to PHASE that are not complete yet. A run that was stopped continues exactly where it stopped
    when the same command is run again. Each phase doubles the resolution, from 8×4 in phase 1 to 512×256 in phase 7,
    and ends by writing RUN/phase-N/generator.keras, which Keras opens without this package.

    \b
    Example:
      synthmammo train-mask-embed --phase 7 --data data/mine --run runs/mine --preset film
    """
    options = with_old_flag(diversity, Options(**given))
    with training_command():
        from mask_embedding_gan.handover import begin_with
        from mask_embedding_gan.presets import PRESETS
        from mask_embedding_gan.train import check_levels, last_phase_with_these_threads, train

        finished = f"phase-{phase}/generator.keras"
        begun = begin(options, PRESETS, kind="mammogram", finished=finished, embedding=not no_embedding)
        run, plan, echo = begun.run, begun.preset, begun.cluster.echo
        check_levels(begun.dataset, phase)
        if networks:
            begun.cluster.after_chief(lambda: begin_with(run, plan, networks))
        last = last_phase_with_these_threads(run, plan, phase, begun.strategy)
        trained = train(begun.dataset, run, plan, last, seed=options.seed, strategy=begun.strategy, echo=echo)
    if last < phase:
        start_again()  # TensorFlow decides on threads once per process
    if not trained:
        echo(f"{run.path}: phases 1 to {phase} are complete already")
    echo(f"generator: {run.path / finished}")


def with_old_flag(diversity: bool | None, options: Options) -> Options:
    """Return the options with what `--diversity` or `--no-diversity`, the former spellings, say."""
    if diversity is None:
        return options
    if diversity:
        warn_of_old_flag("--diversity", "--with diversity")
        return replace(options, adding=(*options.adding, "diversity"))
    warn_of_old_flag("--no-diversity", "--without diversity")
    return replace(options, without=(*options.without, "diversity"))


if __name__ == "__main__":
    main()
