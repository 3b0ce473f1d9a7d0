"""What the commands that make datasets share: options, and the report on what became of the input."""

import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from preprocessing.contact_sheet.store import ThumbnailStore
    from preprocessing.shards import Conversion

SHOWN = 20  # lines of one kind on the terminal
SOME_REJECTED = 3  # exit status
STOPPED = 130  # exit status after Ctrl-C, as shells have it
_OF_TENSORFLOW = re.compile(r"(\S+); (No space left on device|Disk quota exceeded|File too large|Input/output error)")


class Command(click.Command):
    """A command that ends in one line, whatever stops it: Ctrl-C, a full disk, a file that cannot be read."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            click.ClickException: the system refused something; the message names the file.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped; run the same command again to continue", err=True)
            ctx.exit(STOPPED)
        except MemoryError as error:
            raise click.ClickException("not enough memory; what is finished is kept") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click knows what to do when nobody reads the output
                raise
            raise click.ClickException(refusal_of(error)) from error
        except Exception as error:
            if type(error).__module__.startswith("tensorflow") and (found := _OF_TENSORFLOW.search(str(error))):
                raise click.ClickException(f"{shown(found[1])}: {found[2]}; {_KEPT}") from error
            raise


_KEPT = "what is finished is kept, run the same command again when this is solved"


def refusal_of(error: OSError) -> str:
    """Say in one line what the system refused, and for which file."""
    reason = error.strerror or str(error).splitlines()[0] if error.strerror or str(error) else type(error).__name__
    name = "" if error.filename is None else f"{shown(error.filename)}: "
    return f"{name}{shown(reason)}; {_KEPT}"


output_option = click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the dataset.")


overwrite_option = click.option("--overwrite", is_flag=True, help="Make the dataset anew, whatever dataset is there.")


def validation_option(whose: str) -> Callable:
    """Make the option `--validation-fraction`, of the patients or the phantoms."""
    return click.option(
        "--validation-fraction",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.1,
        help=f"Share of the {whose} kept for validation.",
    )


def workers_option(do: str) -> Callable:
    """Make the option `--workers`, processes that convert or draw."""
    return click.option("--workers", type=click.IntRange(1), show_default="one per core", help=f"Processes that {do}.")


def conversion_options(command: Callable) -> Callable:
    """Add what commands that convert patients' images share: key, workers, contact sheet."""
    options = (
        click.option(
            "--key",
            type=click.Path(dir_okay=False, path_type=Path),
            show_default="OUTPUT.key, made when absent",
            help="File with the key of the hashes that stand for patients; keep it private.",
        ),
        workers_option("convert"),
        click.option("--scheduler", metavar="ADDRESS", help="Use the workers of this dask scheduler."),
        click.option(
            "--no-contact-sheet",
            is_flag=True,
            help="Leave out OUTPUT.contact-sheet, pages that show what became of every image.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def refuse_both(workers: int | None, scheduler: str | None) -> None:
    """Raise a usage error when both kinds of workers are given."""
    if workers and scheduler:
        raise click.UsageError("--workers and --scheduler exclude each other; give one of them")


def echo_some(kind: str, lines: Sequence[tuple[object, str]]) -> None:
    """Print (place, text) of the first `SHOWN`, and how many more there are."""
    for place, text in lines[:SHOWN]:
        click.echo(f"{kind} {shown(place)}: {text}", err=True)
    if len(lines) > SHOWN:
        click.echo(f"{kind} {len(lines) - SHOWN} more", err=True)


def echo_remarks(remarks: Sequence[str]) -> None:
    """Print what is to be said of the whole, on standard error."""
    for line in remarks:
        click.echo(shown(line), err=True)


def shown(text: object) -> str:
    """Return a text that any terminal can print: bytes of names that are not UTF-8 as \\xNN."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def thumbnail_store(output: Path) -> "ThumbnailStore":
    """Find the place of a dataset's contact sheet; one that was left there by another dataset is removed."""
    from preprocessing.contact_sheet.store import ThumbnailStore
    from preprocessing.shards import DATASET_FILE

    store = ThumbnailStore(output.resolve())
    if not (output / DATASET_FILE).exists():
        store.clear()
    return store


def conclude(output: Path, done: "Conversion", noun: str, store: "ThumbnailStore | None" = None) -> None:
    """Print what became of the input, as a table and in a last line, and write the contact sheet.

    Args:
        output: Folder of the dataset.
        done: The conversion.
        noun: What was converted, in the plural.
        store: Of the contact sheet. Defaults to None: none is wanted.

    Raises:
        DataError: The contact sheet cannot be written.
        click.ClickException: Nothing was usable (exit status 1).
        SystemExit: Something was rejected (exit status 3).
    """
    from preprocessing.contact_sheet.sheet import write_contact_sheet
    from preprocessing.summary import summary_table

    dataset, rejected = done.dataset, len(done.rejected)
    click.echo(summary_table(done, noun))
    if not dataset.count:
        raise click.ClickException(
            f"none of {done.given} {noun} could be used; see {output}/rejected.csv for the reasons"
        )
    if store is not None:
        click.echo(f"{write_contact_sheet(done, store)}: look at it before you train; it shows real patients")
    counts, subjects = dataset.meta["images"], dataset.meta["subjects"]
    click.echo(
        f"{output}: {dataset.count} of {done.given} {noun}, {rejected} rejected; "
        f"training {counts['train']} {noun} of {subjects['train']} patients, "
        f"validation {counts['validation']} of {subjects['validation']}"
    )
    if rejected:
        raise SystemExit(SOME_REJECTED)
