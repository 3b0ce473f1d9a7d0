"""Where images come from, by what their dataset says of itself."""

from collections.abc import Mapping
from typing import Any

REAL, DRAWN, PHANTOM, OTHER = "real", "drawn", "phantom", "other"


def origin_of(meta: Mapping[str, Any]) -> str:
    """Tell where a dataset's images come from: patients, a neural network, a program, or what is not known."""
    by = str(meta["made"].get("by"))
    if by == "make_phantoms":
        return PHANTOM
    if not meta["synthetic"]:
        return REAL
    return DRAWN if by.startswith("generate_") else OTHER
