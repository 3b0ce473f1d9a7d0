"""Save the networks of a mask-embedding GAN's run in a small file, from which another run can begin."""

from pathlib import Path

import click

from preprocessing.command_line import FOLDER_THERE, Command
from training.command_line import training_command


@click.command(cls=Command, context_settings={"show_default": True})
@click.option("--run", type=FOLDER_THERE, required=True, help="Run directory.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HDF5 file to write.")
def main(run: Path, output: Path) -> None:
    """Write the newest state of RUN with its networks in half precision, at a third of a checkpoint's size or less.

    train_mask_embed --networks OUTPUT continues from it, on this machine or another, though not bit for bit.
    """
    with training_command():
        from mask_embedding_gan.handover import save_networks
        from training.run import RunError

        try:
            state = save_networks(run, output)
        except OSError as error:
            raise RunError(f"--output {output}: cannot be written ({error.strerror})") from error
    size = output.stat().st_size / 1e6
    click.echo(f"{output}: phase {state['phase']} at {state['images_seen']} images, {size:.1f} MB")


if __name__ == "__main__":
    main()
