"""Train Feature2Mass, the generator of labelled masses, from shards of masses."""

from pathlib import Path

import click

from training.command_line import (
    announced_device,
    data_option,
    hosts_options,
    open_training_data,
    precision_option,
    preset_option,
    replicas_option,
    run_option,
    seed_option,
    training_command,
)


@click.command(context_settings={"show_default": True})
@data_option
@run_option("runs/masses")
@preset_option(
    quick="minutes on two cores, narrower.",
    film="masses with the texture of films, in about 4 hours of one core.",
    paper="Lee et al. 2018, batch 512, 8000 epochs; needs a GPU.",
)
@click.option("--length", type=click.FloatRange(0, min_open=True), default=1.0, help="Multiply the preset's epochs.")
@precision_option
@seed_option("weights, order and augmentation")
@replicas_option
@hosts_options
def main(
    data: Path | None,
    run_folder: Path,
    preset: str,
    length: float,
    precision: str,
    seed: int,
    replicas: int | None,
    hosts: str | None,
    host_number: int | None,
    hosts_wait: float,
) -> None:
    """Train until the preset's end, going on exactly where the run directory stopped.

    Leaves RUN/encoder.keras and RUN/decoder.keras, which plain Keras opens.
    """
    with training_command():
        from feature2mass.train import DECODER, ENCODER, chosen_preset, run_config, train
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy

        strategy = choose_strategy(replicas, hosts, host_number, hosts_wait)
        cluster = current()
        device = announced_device(precision, run_folder)
        plan = chosen_preset(preset, length=length, precision=device.precision)
        dataset = cluster.after_chief(lambda: open_training_data(data, "mass", plan.phantoms))
        run = cluster.after_chief(lambda: RunDirectory(run_folder, run_config(plan, dataset, seed)))
        if cluster.is_chief and not (run.path / DECODER).exists():
            device.record(run.path)
        trained = train(dataset, run, plan, seed=seed, strategy=strategy, echo=cluster.echo)
    if not trained:
        cluster.echo(f"{run_folder}: is complete already")
    cluster.echo(f"encoder: {run.path / ENCODER}")
    cluster.echo(f"decoder: {run.path / DECODER}")


if __name__ == "__main__":
    main()
