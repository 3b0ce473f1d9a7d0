"""Give a finished generator a filter that levels the power spectrum of its images (`mask_embedding_gan.spectrum`).

    python benchmarks/level_spectrum.py --generator branch/run/phase-7/generator.keras --data films --output film.keras

`train-mask-embed` does so at the end of phases 6 and 7, unless it trains `--without level_spectrum`. `realism.py`
measures what the filter changes.
"""

from pathlib import Path

import click


@click.command(context_settings={"show_default": True})
@click.option("--generator", type=click.Path(exists=True, path_type=Path), required=True, help="A generator.keras.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="What it was trained on.")
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A .keras file to write.")
def main(generator: Path, data: Path, seed: int, output: Path) -> None:
    """Level the power spectrum of a generator's images."""
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    from mask_embedding_gan.spectrum import NoRoomError, level_spectrum
    from preprocessing.shards import open_dataset
    from training.export import open_model, save_model

    try:
        levelled = level_spectrum(open_model(generator), open_dataset(data, kind="mammogram"), seed)
    except NoRoomError as error:
        raise click.UsageError(f"--data {data}: {error}") from error
    save_model(levelled, output)
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
