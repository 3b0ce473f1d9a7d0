"""How mammograms are prepared; light, so that `--help` can name the choices at once."""

from dataclasses import dataclass

MASK_METHODS = ("film", "otsu")


@dataclass(frozen=True)
class MammogramOptions:
    """How mammograms are prepared.

    Attributes:
        mask_method: How the breast is found where no mask is given: one of `MASK_METHODS`, see `breast_mask`.
        keep_background: Whether to keep what lies outside the breast, which otherwise becomes 0.
        window: Name of the DICOM window to apply. Defaults to the header's first.
    """

    mask_method: str = "film"
    keep_background: bool = False
    window: str | None = None
