"""Train the mask-embedding GAN, phase after phase, from shards of mammograms."""

from pathlib import Path

import click


@click.command(context_settings={"show_default": True})
@click.option("--phase", type=click.IntRange(1, 7), required=True, help="Train every phase up to this one.")
@click.option("--data", type=click.Path(path_type=Path), show_default="phantoms, made once", help="Dataset folder.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default="runs/demo", help="Run directory.")
@click.option(
    "--preset",
    type=click.Choice(["quick", "paper"]),
    default="quick",
    help="quick: all phases in minutes on two cores, half the kernels. paper: Ren et al. 2019; days of a GPU.",
)
@click.option("--length", type=click.FloatRange(0, min_open=True), default=1.0, help="Multiply every phase's images.")
@click.option("--no-embedding", is_flag=True, help="The baseline of Ren et al. §6.4, without the mask embedding.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    show_default="the preset's",
    help="Arithmetic of the hidden layers.",
)
@click.option(
    "--detail/--no-detail",
    default=None,
    show_default="the preset's: quick yes, paper no",
    help="Fine texture of real images.",
)
@click.option(
    "--diversity/--no-diversity",
    default=None,
    show_default="the preset's: quick yes, paper no",
    help="Ask latents to matter.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, order, jitter and noise.")
@click.option("--replicas", type=click.IntRange(1), show_default="every GPU, or 1", help="Devices that share a batch.")
def main(
    phase: int,
    data: Path | None,
    run_folder: Path,
    preset: str,
    length: float,
    no_embedding: bool,
    detail: bool | None,
    diversity: bool | None,
    precision: str | None,
    seed: int,
    replicas: int | None,
) -> None:
    """Train phases 1 to PHASE that the run directory does not hold yet, going on exactly where it stopped.

    Each finished phase leaves RUN/phase-N/generator.keras, which plain Keras opens.
    """
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from mask_embedding_gan.progressive import run_config, train
    from mask_embedding_gan.schedule import chosen_preset
    from preprocessing.convert import make_phantoms
    from preprocessing.shards import DataError, open_dataset
    from training.checkpoint import CheckpointError
    from training.run import RunDirectory, RunError, choose_strategy, configure_tensorflow

    try:
        configure_tensorflow()
        strategy = choose_strategy(replicas)
        plan = chosen_preset(
            preset,
            length=length,
            embedding=not no_embedding,
            detail=detail,
            diversity=diversity,
            precision=precision,
        )
        if data is None:
            data = Path("data/phantoms") / f"{plan.phantoms}"
            click.echo(f"no --data: training on {plan.phantoms} phantoms, kept in {data}")
            make_phantoms(data, plan.phantoms)
        dataset = open_dataset(data, kind="mammogram", verify=True)
        run = RunDirectory(run_folder, run_config(plan, dataset, seed))
        trained = train(dataset, run, plan, phase, seed=seed, strategy=strategy, echo=click.echo)
    except (DataError, RunError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error
    if not trained:
        click.echo(f"{run_folder}: phases 1 to {phase} are complete already")
    click.echo(f"generator: {run.generator(phase)}")


if __name__ == "__main__":
    main()
