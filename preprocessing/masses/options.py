"""How masses are cut out; light, so that `--help` can name the choices at once."""

from collections.abc import Mapping
from dataclasses import dataclass

LABEL_POLICIES = ("single", "first")
CONTRASTS = ("normalised", "original")
DIGITIZERS = ("DBA", "HOWTEK", "LUMISYS")
CONTEXT = 1.5  # window over the lesion's longest side (ours; Lee et al. 2018 do not say)


@dataclass(frozen=True)
class MassOptions:
    """How masses are cut out.

    Attributes:
        label_policy: One of `LABEL_POLICIES`, see `read_label`.
        keep_unlabelled: Whether to keep lesions without shape or margin, as unknown (−1).
        context: Side of the window over the lesion's longest side.
        contrast: "normalised" (see `normalise_contrast`), or "original", as in the mammogram.
    """

    label_policy: str = "single"
    keep_unlabelled: bool = False
    context: float = CONTEXT
    contrast: str = "normalised"


def context_of(made: Mapping) -> float:
    """Return the context of a dataset's masses, from how it was made."""
    return float(made.get("context", CONTEXT))


def calibrated_of(made: Mapping) -> bool:
    """Tell whether a dataset's masses are as bright as on a mammogram, from how it was made; phantoms are not."""
    return bool(made.get("calibrated", made.get("by") != "make_phantoms"))
