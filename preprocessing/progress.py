"""The progress bar of all commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a progress bar on standard error, and nothing where that is not a terminal.

    Yields:
        Function that advances the bar, by one or by the number it is given.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        row = bar.add_task(title, total=total)
        yield lambda count=1: bar.advance(row, count)
