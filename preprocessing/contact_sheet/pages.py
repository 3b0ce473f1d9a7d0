"""The pages of a contact sheet: HTML with the images inside, which needs no network and no other file."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from preprocessing.atomic import write_whole
from preprocessing.contact_sheet.store import MARK, ThumbnailStore
from preprocessing.contact_sheet.thumbnail import HEIGHT, thumbnail
from preprocessing.images.table_words import DENSITIES
from preprocessing.shards import SPLITS, Dataset, shows_patients
from preprocessing.shards.convert import Conversion

PER_PAGE = 200
WARNING = (
    "These are images of real patients. They show no name, but a patient, or who treated her, may recognise them: "
    "keep these pages where the images themselves are kept, and show them only to those who may see the images."
)
SYNTHETIC = "Every image on these pages is synthetic."
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'  # else phones shrink the page

STYLE = """
body { background: #16181b; color: #d9dde2; font: 13px system-ui, sans-serif; margin: 16px }
a { color: #8ab8ff } h1 { font-size: 18px } h2 { font-size: 15px; margin: 20px 0 8px }
.warning { border: 2px solid #e0a030; color: #ffd890; padding: 8px 12px; max-width: 70em }
main { display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-start }
figure { margin: 0; background: #22262b; padding: 4px } figcaption { max-width: 220px; line-height: 1.35 }
figure.doubtful { outline: 2px solid #e0a030 } .doubt { color: #ffd890 } small { color: #98a0aa }
svg { display: block; background: #000 } svg path { fill: none; stroke: #3ad0ff; stroke-width: 1 }
figure:hover path { visibility: hidden } th, td { padding: 2px 14px 2px 0; text-align: left; vertical-align: top }
nav { margin: 10px 0 }
"""


def write_contact_sheet(done: Conversion, store: ThumbnailStore) -> Path:
    """Write the contact sheet of a conversion, unless it is there already; one page at a time is in memory.

    What is doubtful comes first. An image without a thumbnail is shown as it lies in the dataset.

    Returns:
        The first page.

    Raises:
        DataError: A page cannot be written.
    """
    dataset, rejected, doubts = done.dataset, done.reasons, done.doubts
    first_page = store.folder / page_name(0)
    if is_written(store, dataset):
        return first_page
    numbers = [number for number in range(done.given) if number not in rejected]
    first = [item for item, number in enumerate(numbers) if number in doubts]
    shown = [*first, *(item for item, number in enumerate(numbers) if number not in doubts)]
    parts = [shown[begin : begin + PER_PAGE] for begin in range(0, len(shown), PER_PAGE)] or [[]]
    figures = _Figures(store, dataset, numbers, doubts)
    counts = f"{dataset.count} taken, {len(first)} of them doubtful, {len(rejected)} rejected"
    with store.writing():
        _remove_pages_beyond(store.folder, len(parts))
        links = _links(len(parts))
        content = _page(dataset, counts, links, _rejected_table(rejected))
        write_whole(store.folder / "rejected.html", content, private=True)
        # The first page last: where it is, all are there.
        for page in range(len(parts) - 1, -1, -1):
            content = _page(dataset, counts, links, f"<main>{''.join(map(figures.figure, parts[page]))}</main>", page)
            write_whole(store.folder / page_name(page), content, private=True)
    return first_page


def page_name(page: int) -> str:
    """Name a page, counted from 0."""
    return "index.html" if page == 0 else f"page-{page + 1:04d}.html"


def is_written(store: ThumbnailStore, dataset: Dataset) -> bool:
    """Tell whether the sheet there is whole and shows this dataset."""
    try:
        with open(store.folder / page_name(0)) as file:
            return _mark(dataset) in file.read(1000)
    except (OSError, UnicodeDecodeError):
        return False


def _mark(dataset: Dataset) -> str:
    return f"{MARK}{dataset.fingerprint} -->"


def _remove_pages_beyond(folder: Path, pages: int) -> None:
    (folder / page_name(0)).unlink(missing_ok=True)
    while (extra := folder / page_name(pages)).exists():
        extra.unlink()
        pages += 1


def _links(pages: int) -> str:
    links = [f'<a href="{page_name(page)}">{page + 1}</a>' for page in range(pages)]
    return f'<nav>Pages {" ".join(links)} · <a href="rejected.html">rejected</a></nav>'


def _page(dataset: Dataset, counts: str, links: str, content: str, page: int | None = None) -> str:
    mammograms = dataset.kind == "mammogram"
    noun, suffix = ("Mammograms", "films.csv") if mammograms else ("Masses", "lesions.csv")
    title = f"{noun}: " + ("rejected" if page is None else f"contact sheet, page {page + 1}")
    outline = "The outline of the mask" if mammograms else "The outline of a mass, where it is known,"
    pointer = "" if page is None else f"{outline} hides under the pointer. "
    private = f"{escape(dataset.folder.name)}.{suffix}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{VIEWPORT}\n{_mark(dataset)}\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
        f'<p class="warning">{WARNING if shows_patients(dataset.meta) else SYNTHETIC}</p>'
        f"<p>{counts}. {pointer}Numbers are those of the private list next to the key, {private}.</p>"
        f"{links}{content}{links}</html>\n"
    )


def _rejected_table(rejected: Mapping[int, str]) -> str:
    by_reason: dict[str, list[int]] = {}
    for number, reason in sorted(rejected.items()):
        by_reason.setdefault(reason, []).append(number)
    rows = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    cells = "".join(
        f"<tr><td>{len(numbers)}</td><td>{escape(reason)}</td><td><small>{', '.join(map(str, numbers))}</small></td>"
        for reason, numbers in rows
    )
    return f"<table><tr><th>count<th>reason<th>numbers</tr>{cells}</table>" if rows else "<p>None was rejected.</p>"


class _Figures:
    """Makes the figure of an item: thumbnail and caption."""

    def __init__(self, store: ThumbnailStore, dataset: Dataset, numbers: Sequence[int], doubts: Mapping[int, str]):
        self._store, self._dataset, self._numbers, self._doubts = store, dataset, numbers, doubts
        self._counts = [entry["count"] for entry in dataset.meta["shards"]]
        self._starts = np.cumsum([0, *self._counts])
        of_kind = ("laterality", "view", "density") if dataset.kind == "mammogram" else ("shape", "margin")
        self._fields = {name: dataset.field(name) for name in ("subject", "split", *of_kind)}
        self._level = max((level for level in dataset.levels if level[0] <= HEIGHT), default=dataset.levels[0])

    def figure(self, item: int) -> str:
        number = self._numbers[item]
        doubt = self._doubts.get(number, "")
        said = f'<br><span class="doubt">{escape(doubt)}</span>' if doubt else ""
        kind = ' class="doubtful"' if doubt else ""
        subject = escape(str(self._fields["subject"][item]))
        words = f"{number}: {self._words(item)}<br><small>{subject} {SPLITS[int(self._fields['split'][item])]}</small>"
        return f"<figure{kind}>{self._thumbnail(item)}<figcaption>{words}{said}</figcaption></figure>\n"

    def _words(self, item: int) -> str:
        if self._dataset.kind == "mass":
            indices = {name: int(self._fields[name][item]) for name in ("shape", "margin")}
            return ", ".join(self._dataset.classes(n)[i] if i >= 0 else f"{n} unknown" for n, i in indices.items())
        side, view, density = (self._fields[name][item] for name in ("laterality", "view", "density"))
        words = [side or "side unknown", view or "view unknown"]
        return escape(", ".join([*words, f"density {DENSITIES[density - 1]}"] if density else words))

    def _thumbnail(self, item: int) -> str:
        shard = int(np.searchsorted(self._starts, item, side="right")) - 1
        kept = self._store.read(shard, item - int(self._starts[shard]), self._counts[shard])
        if kept is not None:
            return kept
        mask = self._dataset.masks if self._dataset.kind == "mammogram" else self._dataset.lesions
        return thumbnail(self._dataset.images(self._level, [item])[0], mask(self._level, [item])[0])
