"""The console command: a group whose sub-commands are those of `train_scripts/`, imported when they are called."""

from importlib import import_module

import click

from preprocessing.version import __version__

# In the order in which `--help` lists them: the order of the work. The modules in train_scripts/ are named alike.
COMMANDS = (
    "make-phantoms prepare-mammograms prepare-masses train-mask-embed train-pix2pix train-feature2mass save-networks "
    "generate-mammograms generate-masses insert-lesions evaluate reader-study"
).split()


class Commands(click.Group):
    """A group that imports the module of a sub-command when the sub-command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the sub-commands, in the order of the work."""
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name; None if there is none, for which click reports an error."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"train_scripts.{cmd_name.replace('-', '_')}").main


@click.group(cls=Commands, context_settings={"max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Train generators of mammograms and of labelled breast masses, generate images, and compare them with real ones.

    The commands are listed in the usual order: prepare, train, generate, evaluate. "COMMAND --help" explains one.
    Without images of your own, use the phantoms of make-phantoms; without training, generate-mammograms and
    generate-masses use the generators that come with the package.
    """
