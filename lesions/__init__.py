"""Lesions inside mammograms: placement, insertion, annotations, and export for detectors.

For example `insert_lesions("data/mammograms", "data/masses", "data/with-lesions")`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lesions.generate import insert_lesions

__all__ = ["insert_lesions"]


def __getattr__(name: str) -> object:
    if name != "insert_lesions":
        raise AttributeError(f"module 'lesions' has no attribute {name!r}")
    from lesions.generate import insert_lesions

    return insert_lesions
