"""Train pix2pix, the baseline that turns texture maps into mammograms, from shards of mammograms."""

from pathlib import Path

import click

SIZES = ["8", "16", "32", "64", "128", "256", "512"]


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), show_default="phantoms, made once", help="Dataset folder.")
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default="runs/pix2pix", help="Run directory.")
@click.option(
    "--preset",
    type=click.Choice(["quick", "paper"]),
    default="quick",
    help="quick: minutes on two cores, a quarter of the filters. paper: Isola et al. 2017; days of a GPU.",
)
@click.option("--size", type=click.Choice(SIZES), default="512", help="Height of the images; they are half as wide.")
@click.option(
    "--images",
    type=click.IntRange(1),
    show_default="the preset's: quick 8000, paper 1200000",
    help="Real images to train on, rounded to whole ticks.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    show_default="the preset's",
    help="Arithmetic of the hidden layers.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of weights, order, jitter and dropout.")
@click.option("--replicas", type=click.IntRange(1), show_default="every GPU, or 1", help="Devices that share a batch.")
def main(
    data: Path | None,
    run_folder: Path,
    preset: str,
    size: str,
    images: int | None,
    precision: str | None,
    seed: int,
    replicas: int | None,
) -> None:
    """Train until the preset's end, going on exactly where the run directory stopped.

    Leaves RUN/generator.keras, which plain Keras and generate_mammograms.py open.
    """
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from pix2pix.train import chosen_preset, run_config, train
    from preprocessing.convert import make_phantoms
    from preprocessing.shards import DataError, open_dataset
    from training.checkpoint import CheckpointError
    from training.run import RunDirectory, RunError, choose_strategy, configure_tensorflow

    try:
        configure_tensorflow()
        strategy = choose_strategy(replicas)
        plan = chosen_preset(preset, height=int(size), images=images, precision=precision)
        if data is None:
            data = Path("data/phantoms") / f"{plan.phantoms}"
            click.echo(f"no --data: training on {plan.phantoms} phantoms, kept in {data}")
            make_phantoms(data, plan.phantoms)
        dataset = open_dataset(data, kind="mammogram", verify=True)
        run = RunDirectory(run_folder, run_config(plan, dataset, seed))
        trained = train(dataset, run, plan, seed=seed, strategy=strategy, echo=click.echo)
    except (DataError, RunError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error
    if not trained:
        click.echo(f"{run_folder}: is complete already")
    click.echo(f"generator: {run.generator(None)}")


if __name__ == "__main__":
    main()
