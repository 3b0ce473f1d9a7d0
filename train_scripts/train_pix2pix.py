"""Train pix2pix, the baseline that turns texture maps into mammograms, from shards of mammograms."""

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
    warn_of_old_flag,
)

SIZES = ["8", "16", "32", "64", "128", "256", "512"]


@click.command(cls=Command, context_settings={"show_default": True})
@data_option
@run_option("runs/pix2pix")
@preset_option(quick="minutes on two cores, a quarter of the filters.", paper="Isola et al. 2017; days of a GPU.")
@click.option("--size", type=click.Choice(SIZES), default="512", help="Height of the images; they are half as wide.")
@length_option
@additions_options("jitter", "moving_average")
@click.option("--images", type=click.IntRange(1), hidden=True)
@precision_option
@seed_option("weights, order, jitter and dropout")
@replicas_option
@hosts_options
def main(
    data: Path | None,
    run_folder: Path,
    preset: str,
    size: str,
    length: float,
    adding: tuple[str, ...],
    without: tuple[str, ...],
    images: int | None,
    precision: str,
    seed: int,
    replicas: int | None,
    hosts: str | None,
    host_number: int | None,
    hosts_wait: float,
) -> None:
    """Train until the preset's end, continuing exactly where the run directory stopped.

    Leaves RUN/generator.keras, which plain Keras and generate_mammograms.py open.

    \b
    Example:
        train_pix2pix.py --data data/mine --run runs/pix2pix --size 256 --length 10
    """
    from preprocessing.shards import DataError

    with training_command(DataError):
        from pix2pix.presets import PRESETS
        from pix2pix.train import run_config, train
        from preprocessing.training_data import open_training_data
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy

        strategy = choose_strategy(replicas, hosts, host_number, hosts_wait)
        cluster = current()
        device = announced_device(precision, run_folder)
        if images is not None:
            length = images / PRESETS[preset].images
            warn_of_old_flag("--images", f"--length {length:g}")
        plan = PRESETS[preset].changed(
            length=length, height=int(size), adding=adding, without=without, precision=device.precision
        )
        dataset = cluster.after_chief(lambda: open_training_data(data, "mammogram", plan.phantoms, cluster.echo))
        run = cluster.after_chief(lambda: RunDirectory(run_folder, run_config(plan, dataset, seed)))
        if cluster.is_chief and not run.stage().generator.exists():
            device.record(run.path)
        trained = train(dataset, run, plan, seed=seed, strategy=strategy, echo=cluster.echo)
    if not trained:
        cluster.echo(f"{run_folder}: is complete already")
    cluster.echo(f"generator: {run.stage().generator}")


if __name__ == "__main__":
    main()
