"""A mass as an item of a dataset, and the summary of a dataset of masses."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from preprocessing.masses.labels import CLASSES
from preprocessing.masses.window import SIZE, normalise_contrast
from preprocessing.shards.format import array_name, as_stored


def mass_item(
    window: np.ndarray,
    region: np.ndarray | None = None,
    *,
    subject: str,
    shape: int = -1,
    margin: int = -1,
    contrast: str = "original",
    size: float = float("nan"),
) -> dict[str, np.ndarray | str | int | float]:
    """Make one item for `DatasetWriter`.

    Args:
        window: float (64, 64) in [0, 1]; not constant where its contrast is to be normalised.
        region: bool (64, 64), the lesion in the window. Defaults to None, unknown, stored as all 0.
        subject: Keyed hash of the patient, at most 16 characters.
        shape, margin: Indices into `CLASSES`. Defaults to −1, unknown.
        contrast: "normalised" (see `normalise_contrast`), or "original": stored as it is, low 0 and high 1.
        size: Longest side in pixels of a mammogram 512 pixels high. Defaults to NaN, unknown.
    """
    low, high = 0.0, 1.0
    if contrast == "normalised":
        window, low, high = normalise_contrast(window)
    lesion = np.zeros_like(window, np.uint8) if region is None else region.astype(np.uint8)
    pixels = {array_name("image", (SIZE, SIZE)): as_stored(window), array_name("lesion", (SIZE, SIZE)): lesion}
    labels = {"shape": shape, "margin": margin}
    return {**pixels, **labels, "subject": subject, "low": low, "high": high, "size": size}


def summarise(fields: Mapping[str, np.ndarray], rejected: Sequence[tuple[int, str]]) -> dict:
    """Count masses by shape and margin, and the rejected by the first words of their reason."""
    pairs = Counter(zip(fields["shape"].tolist(), fields["margin"].tolist(), strict=True))
    names = {field: [*classes, "unknown"] for field, classes in CLASSES.items()}  # index -1 is the last
    table = {shape: dict.fromkeys(names["margin"], 0) for shape in names["shape"]}
    for (shape, margin), count in pairs.items():
        table[names["shape"][shape]][names["margin"][margin]] = count
    reasons = Counter(reason.split(":")[0] for _, reason in rejected)
    return {"shape x margin": table, "rejected": dict(sorted(reasons.items()))}


def summary_lines(summary: Mapping) -> list[str]:
    """Lay out a summary as the lines of a text table; unknown labels only where there are some."""
    table = summary["shape x margin"]
    margins = [m for m in table["round"] if m != "unknown" or any(row[m] for row in table.values())]
    shapes = [s for s in table if s != "unknown" or any(table[s].values())]
    lines = [" " * 12 + "".join(f"{name:>16}" for name in [*margins, "all"])]
    for shape in shapes:
        row = [table[shape][margin] for margin in margins]
        lines.append(f"{shape:<12}" + "".join(f"{count:>16}" for count in [*row, sum(row)]))
    columns = [sum(table[shape][margin] for shape in shapes) for margin in margins]
    lines.append(f"{'all':<12}" + "".join(f"{count:>16}" for count in [*columns, sum(columns)]))
    return lines


def rarest_first(rejected: Sequence[tuple[object, str]]) -> list[tuple[object, str]]:
    """Sort (place, reason), rare kinds of reason first: hundreds of unusable labels must not hide one missing file."""
    kinds = Counter(reason.split(":")[0] for _, reason in rejected)
    return sorted(rejected, key=lambda pair: kinds[pair[1].split(":")[0]])
