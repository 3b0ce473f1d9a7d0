"""The table in which a command that made a dataset ends: what became of its input."""

import io
import re
from collections import Counter
from collections.abc import Iterable

from preprocessing.counted import counted, plural
from preprocessing.images.table_words import DENSITIES
from preprocessing.shards import Dataset
from preprocessing.shards.convert import Conversion

REASONS = 12  # named; the rest are counted together
_WIDTH = 100


def summary_table(done: Conversion, noun: str) -> str:
    """Lay out a conversion as a text table.

    Args:
        noun: What was converted, in the singular.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in _rows(done, noun):
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=_WIDTH, no_color=True, highlight=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _rows(done: Conversion, noun: str) -> Iterable[tuple[str, str, str]]:
    dataset = done.dataset
    yield f"{plural(noun)} found", str(done.given), ""
    yield "taken", str(dataset.count), ""
    yield "doubtful", str(len(done.doubts)), "" if not done.doubts else "first in the contact sheet"
    for doubt, count in _by_kind(done.doubts.values()).most_common(REASONS):
        yield "", str(count), doubt
    yield "rejected", str(len(done.reasons)), ""
    reasons = _by_kind(done.reasons.values()).most_common()
    for reason, count in reasons[:REASONS]:
        yield "", str(count), reason
    if reasons[REASONS:]:
        yield "", str(sum(count for _, count in reasons[REASONS:])), "other reasons, see rejected.csv"
    subjects = dataset.meta["subjects"]
    yield "patients", str(sum(subjects.values())), ""
    for split, images in dataset.meta["images"].items():
        of_patients = f"of {counted(subjects[split], 'patient')}"
        yield split, str(images), f"{noun if images == 1 else plural(noun)} {of_patients}"
    if dataset.kind == "mammogram":
        yield from _fields(dataset)


def _fields(dataset: Dataset) -> Iterable[tuple[str, str, str]]:
    known = {
        "sides": dataset.field("laterality").tolist(),
        "views": dataset.field("view").tolist(),
        "densities": ["" if not d else DENSITIES[d - 1] for d in dataset.field("density").tolist()],
    }
    for name, values in known.items():
        counts = Counter(value or "unknown" for value in sorted(values))
        yield name, str(sum(map(bool, values))), ", ".join(f"{value} {count}" for value, count in counts.items())


def _by_kind(texts: Iterable[str]) -> Counter[str]:
    """Count texts that differ in numbers alone as one, and what follows a colon as detail."""
    return Counter(re.sub(r"\d+", "…", text.split(":")[0]) for text in texts)
