"""Train Feature2Mass, the generator of labelled masses, from shards of masses."""

from pathlib import Path

import click

from preprocessing.command_line import Command
from training.command_line import (
    additions_options,
    announced_device,
    data_option,
    hosts_options,
    length_option,
    precision_option,
    preset_option,
    replicas_option,
    run_option,
    seed_option,
    training_command,
)


@click.command(cls=Command, context_settings={"show_default": True})
@data_option
@run_option("runs/masses")
@preset_option(
    quick="minutes on two cores, narrower.",
    film="masses with the texture of films, in about 4 hours of one core.",
    paper="Lee et al. 2018, batch 512, 8000 epochs; needs a GPU.",
)
@length_option
@additions_options(
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
)
@precision_option
@seed_option("weights, order and augmentation")
@replicas_option
@hosts_options
def main(
    data: Path | None,
    run_folder: Path,
    preset: str,
    length: float,
    adding: tuple[str, ...],
    without: tuple[str, ...],
    precision: str,
    seed: int,
    replicas: int | None,
    hosts: str | None,
    host_number: int | None,
    hosts_wait: float,
) -> None:
    """Train until the preset's end, continuing exactly where the run directory stopped.

    Leaves RUN/encoder.keras and RUN/decoder.keras, which plain Keras opens.

    \b
    Example:
        train_feature2mass.py --data data/masses --run runs/masses --length 4 --without low_pass
    """
    from preprocessing.shards import DataError

    with training_command(DataError):
        from feature2mass.presets import PRESETS
        from feature2mass.settings import EARLIER
        from feature2mass.train import DECODER, ENCODER, run_config, train
        from preprocessing.training_data import open_training_data
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy

        strategy = choose_strategy(replicas, hosts, host_number, hosts_wait)
        cluster = current()
        device = announced_device(precision, run_folder)
        plan = PRESETS[preset].changed(length=length, adding=adding, without=without, precision=device.precision)
        dataset = cluster.after_chief(lambda: open_training_data(data, "mass", plan.phantoms, cluster.echo))
        run = cluster.after_chief(lambda: RunDirectory(run_folder, run_config(plan, dataset, seed), EARLIER))
        if cluster.is_chief and not (run.path / DECODER).exists():
            device.record(run.path)
        trained = train(dataset, run, plan, seed=seed, strategy=strategy, echo=cluster.echo)
    if not trained:
        cluster.echo(f"{run_folder}: is complete already")
    cluster.echo(f"encoder: {run.path / ENCODER}")
    cluster.echo(f"decoder: {run.path / DECODER}")


if __name__ == "__main__":
    main()
