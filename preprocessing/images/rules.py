"""Which images a user wants as mammograms; light, so that `--help` can name the choices at once."""

from dataclasses import dataclass

INTENTS = ("presentation", "processing", "any")
SPECIAL_KINDS = {
    "magnification": "a magnified or spot compression view",
    "implant": "a breast with an implant",
    "partial": "a view of a part of the breast",
    "synthetic": "a synthetic image, of no patient",
}


@dataclass(frozen=True)
class Rules:
    """Which images are taken as mammograms, where users may disagree.

    Attributes:
        intent: One of `INTENTS`. Digital units store an exposure twice, raw ("FOR PROCESSING") and processed ("FOR
            PRESENTATION"); an image that says neither, as scanned film, is taken in any case. "any" takes a raw image
            only where its study has no processed one of that side and view.
        accept: Names of `SPECIAL_KINDS` that are taken too.
    """

    intent: str = "presentation"
    accept: tuple[str, ...] = ()


def refusal(kind: str) -> str:
    """Say why an image of a kind of `SPECIAL_KINDS` is refused."""
    return f"{SPECIAL_KINDS[kind]} (--accept {kind} takes it)"
