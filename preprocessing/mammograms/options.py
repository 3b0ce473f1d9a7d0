"""How mammograms are prepared; light, so that `--help` can name the choices at once."""

from dataclasses import dataclass

from preprocessing.images.rules import Rules

MASK_METHODS = ("film", "otsu")
PATIENT_SOURCES = ("header", "folder", "name")


@dataclass(frozen=True)
class MammogramOptions:
    """How mammograms are prepared.

    Attributes:
        mask_method: How the breast is found where no mask is given: one of `MASK_METHODS`, see `breast_mask`.
        keep_background: Whether to keep what lies outside the breast, which otherwise becomes 0.
        window: Name of the DICOM window to apply. Defaults to the header's first.
        rules: Which images are taken as mammograms.
        patient_from: What tells patients apart where no table does: the header, and without one each file; the folder
            directly below the input; or the file's name up to its first "_".
    """

    mask_method: str = "film"
    keep_background: bool = False
    window: str | None = None
    rules: Rules = Rules()
    patient_from: str = "header"

    def settings(self) -> dict:
        """Return what a dataset records; rules only where they are not the default, which older datasets lack."""
        recorded = {name: getattr(self, name) for name in ("mask_method", "keep_background", "window")}
        if self.rules.intent != Rules.intent:
            recorded["intent"] = self.rules.intent
        if self.rules.accept:
            recorded["accept"] = sorted(self.rules.accept)
        if self.patient_from != "header":
            recorded["patient_from"] = self.patient_from
        return recorded
