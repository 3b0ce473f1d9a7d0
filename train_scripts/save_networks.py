"""Save the networks of a run in a small file, to start another run from it or to generate masses."""

from pathlib import Path

import click

from preprocessing.command_line import FOLDER_THERE, Command
from preprocessing.counted import counted
from preprocessing.errors import system_errors_as
from training.command_line import training_command


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--run", type=FOLDER_THERE, required=True, help="Folder of the run.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HDF5 file to write.")
@click.option(
    "--data",
    type=FOLDER_THERE,
    show_default="what the run is trained on",
    help="Dataset whose masses are kept; only for runs of train-feature2mass.",
)
def main(run: Path, output: Path, data: Path | None) -> None:
    """Save a run in one small file, for use elsewhere.

    A run of train-mask-embed becomes its networks in half precision; "train-mask-embed --networks OUTPUT" continues
    from them on any machine, though not bit for bit.

    A run of train-feature2mass becomes its decoder and the features of its masses; "generate-masses --run OUTPUT"
    generates masses from them without the dataset. Masses that resemble the originals can be decoded from the file:
    keep it as private as the images.

    \b
    Example:
      synthmammo save-networks --run runs/masses --output masses.h5
    """
    with training_command():
        from training.checkpoint import DamagedCheckpointError
        from training.run import RunError

        try:
            with system_errors_as(RunError, f"--output {output}"):
                saved = _save(run, output, data)
        except DamagedCheckpointError as error:
            raise RunError(f"{error}; delete it to save the state before it") from error
    click.echo(f"{output}: {saved}, {output.stat().st_size / 1e6:.1f} MB")


def _save(run: Path, output: Path, data: Path | None) -> str:
    """Write the file; returns what it holds."""
    from feature2mass.handover import is_mass_run, save_masses
    from mask_embedding_gan.handover import save_networks

    if is_mass_run(run):
        return counted(save_masses(run, output, data), "mass")
    if data is not None:
        raise click.UsageError(f"--data is for runs of train-feature2mass, and {run} is none; leave it out")
    state = save_networks(run, output)
    return f"phase {state['phase']} at {state['images_seen']} images"


if __name__ == "__main__":
    main()
