"""What the commands share: options, one-line errors, and the report on what became of the input."""

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preprocessing.counted import counted
from preprocessing.errors import UserError

if TYPE_CHECKING:
    from preprocessing.contact_sheet.store import ThumbnailStore
    from preprocessing.shards.convert import Conversion

PATH = click.Path(path_type=Path)
FILE_THERE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER_THERE = click.Path(exists=True, file_okay=False, path_type=Path)
COUNT = click.IntRange(1, 10_000_000)  # images of one command
PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # that matplotlib writes
SHOWN = 20  # lines of one kind on the terminal
SOME_REJECTED = 3  # exit status
STOPPED = 130  # exit status after Ctrl-C, as shells have it
_KEPT = "finished work is kept: solve this, then run the same command again"
_UNPAIRED = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # halves of characters; the others stand for bytes
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
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
            raise click.ClickException("not enough memory; finished work is kept") from error
        except UserError as error:
            raise click.ClickException(shown(error)) from error
        except click.ClickException as error:  # a name in a damaged file may hold what no terminal can show
            if (said := shown(error.message)) == error.message:
                raise
            raise click.ClickException(said) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click knows what to do when the output is no longer read
                raise
            raise click.ClickException(refusal_of(error)) from error
        except Exception as error:
            if type(error).__module__.startswith("tensorflow") and (found := _OF_TENSORFLOW.search(str(error))):
                raise click.ClickException(f"{shown(found[1])}: {found[2]}; {_KEPT}") from error
            raise


def refusal_of(error: OSError) -> str:
    """Say in one line what the system refused, and for which file."""
    reason = error.strerror or next(iter(str(error).splitlines()), type(error).__name__)
    name = "" if error.filename is None else f"{shown(error.filename)}: "
    return f"{name}{shown(reason)}; {_KEPT}"


def with_options(options: Sequence[Callable]) -> Callable:
    """Make one decorator of several options, which `--help` lists in this order."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def dataset_options(whose: str, do: str) -> list[Callable]:
    """Make the options of every command that makes a dataset: output, share of validation, workers.

    Args:
        whose: what is split, "patients" or "phantoms".
        do: what the processes do.
    """
    fraction = click.FloatRange(0, 1, max_open=True)
    kept = f"Share of the {whose} kept for validation."
    return [
        click.option("--output", type=PATH, required=True, help="Folder of the dataset."),
        click.option("--validation-fraction", type=fraction, default=0.1, help=kept),
        click.option(
            "--workers", type=click.IntRange(1), show_default="one per core", help=f"Number of processes that {do}."
        ),
    ]


def conversion_options() -> list[Callable]:
    """Make the options of the commands that convert patients' images."""
    return [
        *dataset_options("patients", "convert"),
        click.option(
            "--scheduler", metavar="ADDRESS", help="Use the workers of this Dask scheduler, e.g. tcp://node1:8786."
        ),
        click.option("--overwrite", is_flag=True, help="Rebuild the dataset if OUTPUT exists."),
        click.option(
            "--key",
            type=click.Path(dir_okay=False, path_type=Path),
            show_default="OUTPUT.key, created if absent",
            help="File with the secret key of the patients' pseudonyms; keep it private.",
        ),
        click.option(
            "--no-contact-sheet",
            is_flag=True,
            help="Do not write OUTPUT.contact-sheet, HTML pages with every image and the reason for every rejection.",
        ),
    ]


def writing_options(formats: Mapping[str, str], figure: str, seed: str) -> list[Callable]:
    """Make the options of the commands that write synthetic images: output, format, figure, seed.

    Args:
        formats: what each format is, by name; the first is the default.
        seed: what is drawn at random.
    """
    described = " ".join(f"{name}: {text}" for name, text in formats.items())
    kinds = click.Choice(list(formats))
    return [
        click.option("--output", type=PATH, required=True, help="Folder to write."),
        click.option("--format", "file_format", type=kinds, default=next(iter(formats)), help=described),
        click.option("--figure", "figure_file", type=PATH, callback=_check_picture, help=f"Also draw {figure}."),
        click.option("--seed", type=click.IntRange(0), default=0, help=f"Random seed of the {seed}."),
    ]


def _check_picture(_: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a picture of a kind that cannot be written, before everything else is."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{path}: must end in one of {', '.join(PICTURES)}", param=option)
    return path


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


def shown(text: object) -> str:
    """Return a text as one line that any terminal can print.

    Bytes of names that are not UTF-8 become \\xNN, and control characters, such as ends of lines, are escaped.
    """
    printable = (
        _UNPAIRED.sub("\N{REPLACEMENT CHARACTER}", str(text))
        .encode("utf-8", "surrogateescape")
        .decode("utf-8", "backslashreplace")
    )
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), printable)


def thumbnail_store(output: Path) -> "ThumbnailStore":
    """Find the place of a dataset's contact sheet; one that was left there by another dataset is removed."""
    from preprocessing.contact_sheet.store import ThumbnailStore
    from preprocessing.shards import DATASET_FILE

    store = ThumbnailStore(output.resolve())
    if not (output / DATASET_FILE).exists():
        store.clear()
    return store


def conclude(
    output: Path,
    done: "Conversion",
    noun: str,
    lists: Mapping[str, Sequence[tuple[object, str]]],
    store: "ThumbnailStore | None",
) -> None:
    """Print what became of the input, in lists, a table and a last line, and write the contact sheet.

    Args:
        noun: What was converted, in the singular.
        lists: (place, text) of single images or lesions, by what each of them is called.
        store: Of the contact sheet; None where none is wanted.

    Raises:
        DataError: The contact sheet cannot be written.
        click.ClickException: Nothing was usable (exit status 1).
        SystemExit: Something was rejected (exit status 3).
    """
    from preprocessing.contact_sheet.pages import write_contact_sheet
    from preprocessing.masses.item import summary_lines
    from preprocessing.summary import summary_table

    if done.already_done:
        click.echo(f"{output}: already there, nothing to do")
    for line in done.remarks:
        click.echo(shown(line), err=True)
    for kind, lines in lists.items():
        echo_some(kind, lines)
    dataset, rejected = done.dataset, len(done.rejected)
    if dataset.kind == "mass":
        click.echo("\n".join(summary_lines(dataset.meta["summary"])))
    click.echo(summary_table(done, noun))
    if not dataset.count:
        raise click.ClickException(
            f"no {noun} could be used, of {done.given} given; see {output}/rejected.csv for the reasons"
        )
    if store is not None:
        click.echo(f"{write_contact_sheet(done, store)}: look at it before you train; it shows real patients")
    counts, subjects = dataset.meta["images"], dataset.meta["subjects"]
    click.echo(
        f"{output}: {dataset.count} of {counted(done.given, noun)}, {rejected} rejected; "
        f"training {counted(counts['train'], noun)} of {counted(subjects['train'], 'patient')}, "
        f"validation {counts['validation']} of {subjects['validation']}"
    )
    if rejected:
        raise SystemExit(SOME_REJECTED)
