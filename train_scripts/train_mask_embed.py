"""Train the mask-embedding GAN, phase after phase, from shards of mammograms."""

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
    start_again,
    training_command,
    warn_of_old_flag,
)


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--phase", type=click.IntRange(1, 7), required=True, help="Train every phase up to this one.")
@data_option
@run_option("runs/demo")
@preset_option(
    quick="all phases in minutes on two cores, half the kernels.",
    film="like film mammograms, in about a day of one core.",
    paper="Ren et al. 2019; days of a GPU.",
)
@length_option
@click.option(
    "--networks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Begin with these, saved from another run of the preset by save_networks.",
)
@click.option("--no-embedding", is_flag=True, help="The baseline of Ren et al. §6.4, without the mask embedding.")
@additions_options(
    "second_convolution",
    "sum_of_levels",
    "times_mask",
    "noise_levels",
    "critic_convolutions",
    "windows_from",
    "amplification",
    "diversity",
    "jitter",
    "moving_average",
)
@click.option("--diversity/--no-diversity", default=None, hidden=True)
@precision_option
@seed_option("weights, order, jitter and noise")
@replicas_option
@hosts_options
def main(
    phase: int,
    data: Path | None,
    run_folder: Path,
    preset: str,
    length: float,
    networks: Path | None,
    no_embedding: bool,
    adding: tuple[str, ...],
    without: tuple[str, ...],
    diversity: bool | None,
    precision: str,
    seed: int,
    replicas: int | None,
    hosts: str | None,
    host_number: int | None,
    hosts_wait: float,
) -> None:
    """Train phases 1 to PHASE that the run directory does not hold yet, continuing exactly where it stopped.

    Each finished phase leaves RUN/phase-N/generator.keras, which plain Keras opens.

    \b
    Example:
        train_mask_embed.py --phase 7 --data data/mine --run runs/mine --preset film --without noise_levels,jitter
    """
    from preprocessing.shards import DataError

    adding, without = with_old_flag(diversity, adding, without)

    with training_command(DataError):
        from mask_embedding_gan.handover import begin_with
        from mask_embedding_gan.presets import PRESETS
        from mask_embedding_gan.train import last_phase_with_these_threads, run_config, train
        from preprocessing.training_data import open_training_data
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy

        strategy = choose_strategy(replicas, hosts, host_number, hosts_wait)
        cluster = current()
        device = announced_device(precision, run_folder)
        plan = PRESETS[preset].changed(
            length=length,
            embedding=not no_embedding,
            adding=adding,
            without=without,
            precision=device.precision,
        )
        dataset = cluster.after_chief(lambda: open_training_data(data, "mammogram", plan.phantoms, cluster.echo))
        run = cluster.after_chief(lambda: RunDirectory(run_folder, run_config(plan, dataset, seed)))
        if networks:
            cluster.after_chief(lambda: begin_with(run, plan, networks))
        if cluster.is_chief and not run.stage(f"phase-{phase}").generator.exists():
            device.record(run.path)
        last = last_phase_with_these_threads(run, plan, phase, strategy)
        trained = train(dataset, run, plan, last, seed=seed, strategy=strategy, echo=cluster.echo)
    if last < phase:
        start_again()  # TensorFlow decides on threads once per process
    if not trained:
        cluster.echo(f"{run_folder}: phases 1 to {phase} are complete already")
    cluster.echo(f"generator: {run.stage(f'phase-{phase}').generator}")


def with_old_flag(diversity: bool | None, adding: tuple[str, ...], without: tuple[str, ...]) -> tuple:
    """(adding, without) with what `--diversity` or `--no-diversity`, the former spellings, say."""
    if diversity is None:
        return adding, without
    warn_of_old_flag(*(("--diversity", "--with diversity") if diversity else ("--no-diversity", "--without diversity")))
    return ((*adding, "diversity"), without) if diversity else (adding, (*without, "diversity"))


if __name__ == "__main__":
    main()
