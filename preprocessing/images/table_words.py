"""The words of a table of mammograms: side, view and density; what is none of them is never stored or repeated."""

from preprocessing.images.views import LATERALITIES, VIEWS, read_laterality, read_view

DENSITIES = ("a", "b", "c", "d")  # of BI-RADS; 1 to 4 in a dataset
_BLANKS = ("", "n/a", "na", "nan", "none", "unknown")
_SIDES = ("l", "r", "left", "right")

KNOWN = {
    "laterality": " or ".join(LATERALITIES),
    "view": f"one of {', '.join(VIEWS)}",
    "density": "a to d, or 1 to 4",
}


def is_blank(text: str) -> bool:
    """Tell whether a cell of a table is empty, or holds a word for that, as programs write it."""
    return text.strip().lower() in _BLANKS


def read_density(text: str | None) -> int:
    """Read a BI-RADS density: "a" to "d", in any case, or "1" to "4"; 0 where the text names none."""
    word = (text or "").strip().lower()
    word = word[:1] if word in ("1.0", "2.0", "3.0", "4.0") else word  # a column with gaps, written by a spreadsheet
    if word in DENSITIES:
        return DENSITIES.index(word) + 1
    return int(word) if word in ("1", "2", "3", "4") else 0


def unknown_words(row: dict[str, str]) -> list[str]:
    """Name the columns of a row whose word is none that is known; blanks are known."""
    words = {column: row.get(column, "").strip().lower() for column in KNOWN}
    known = {
        "laterality": words["laterality"] in _SIDES and bool(read_laterality(words["laterality"])),
        "view": bool(read_view(words["view"])),
        "density": bool(read_density(words["density"])),
    }
    return [column for column, word in words.items() if not is_blank(word) and not known[column]]
