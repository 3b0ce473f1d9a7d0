"""Train Feature2Mass, the generator of labelled masses, from shards of masses."""

from pathlib import Path

import click


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), show_default="phantoms, made once", help="Dataset folder.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default="runs/masses", help="Run directory.")
@click.option(
    "--preset",
    type=click.Choice(["quick", "paper"]),
    default="quick",
    help="quick: minutes on two cores, narrower. paper: Lee et al. 2018, batch 512, 8000 epochs; needs a GPU.",
)
@click.option("--length", type=click.FloatRange(0, min_open=True), default=1.0, help="Multiply the preset's epochs.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    show_default="the preset's",
    help="Arithmetic of the hidden layers.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, order and augmentation.")
@click.option("--replicas", type=click.IntRange(1), show_default="every GPU, or 1", help="Devices that share a batch.")
def main(
    data: Path | None,
    run_folder: Path,
    preset: str,
    length: float,
    precision: str | None,
    seed: int,
    replicas: int | None,
) -> None:
    """Train until the preset's end, going on exactly where the run directory stopped.

    Leaves RUN/encoder.keras and RUN/decoder.keras, which plain Keras opens.
    """
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from feature2mass.train import DECODER, ENCODER, chosen_preset, run_config, train
    from preprocessing.shards import DataError, open_dataset
    from training.checkpoint import CheckpointError
    from training.run import RunDirectory, RunError, choose_strategy, configure_tensorflow

    try:
        configure_tensorflow()
        strategy = choose_strategy(replicas)
        plan = chosen_preset(preset, length=length, precision=precision)
        if data is None:
            from preprocessing.mass_phantoms import make_mass_phantoms

            data = Path("data/mass-phantoms") / f"{plan.phantoms}"
            click.echo(f"no --data: training on {plan.phantoms} mass phantoms, kept in {data}")
            make_mass_phantoms(data, plan.phantoms, seed=0)
        dataset = open_dataset(data, kind="mass", verify=True)
        run = RunDirectory(run_folder, run_config(plan, dataset, seed))
        trained = train(dataset, run, plan, seed=seed, strategy=strategy, echo=click.echo)
    except (DataError, RunError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error
    if not trained:
        click.echo(f"{run_folder}: is complete already")
    click.echo(f"encoder: {run.path / ENCODER}")
    click.echo(f"decoder: {run.path / DECODER}")


if __name__ == "__main__":
    main()
