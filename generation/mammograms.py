"""Synthetic mammograms by number, and the metadata that is written with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from generation.background import prefetch
from generation.files import encoded_png, image_text
from generation.sources import ALTERED, ARRAY, FILE, ORIGINS, REAL, BreastMask, ImageMasks, MaskSource
from preprocessing.mammograms.item import mammogram_item
from preprocessing.shards import LEVELS
from preprocessing.version import SOFTWARE, made_by
from training.drawing import BATCH, MaskFiller

if TYPE_CHECKING:
    from preprocessing.images.dicom_writer import Study


@dataclass(frozen=True, eq=False)
class SyntheticMammogram:
    """One image, float32 (height, width) in [0, 1], and the mask that it fills."""

    number: int
    image: np.ndarray
    filled: BreastMask


class Mammograms:
    """Synthetic mammograms of one generator, one source of masks and one seed (a `generation.writers.Stream`).

    Args:
        filler: the trained generator with its masks, of type `ImageMasks`.
        fingerprint: SHA-256 of the generator's file.
    """

    title = "Mammograms"

    def __init__(self, filler: MaskFiller, fingerprint: str = ""):
        self.filler, self.masks, self.fingerprint = filler, cast(ImageMasks, filler.masks), fingerprint

    def batches(self, numbers: range) -> Iterator[list[SyntheticMammogram]]:
        """Draw images, `BATCH` at a time; the inputs of the next batch are prepared meanwhile."""
        parts = [numbers[first : first + BATCH] for first in range(0, len(numbers), BATCH)]
        for part, prepared in zip(parts, prefetch(map(self.filler.prepare, parts)), strict=True):
            images = self.filler.finish(prepared)
            yield [SyntheticMammogram(*one) for one in zip(part, images, prepared[0], strict=True)]

    # --- metadata of all of them ----------------------------------------------------------------

    @cached_property
    def plan(self) -> dict:
        """Return what decides the images."""
        source = self._source
        return {
            "by": "generate_mammograms",
            "generator": self.fingerprint,
            "network_is_shown": self.filler.shown_as,
            "seed": self.filler.seed,
            "latents_per_mask": self.masks.per_mask,
            **({"study_of_four": True} if self.masks.study_of_four else {}),
            "masks_of": source.origin,
            "masks": source.fingerprint,
        }

    @property
    def _source(self) -> MaskSource:
        """Where the masks of images that are written come from; masks of an array are only drawn."""
        return cast(MaskSource, self.masks.source)

    @property
    def dataset(self) -> dict:
        """Return the arguments of `DatasetWriter`."""
        kept = ("by", "seed", "latents_per_mask", "study_of_four")
        return {
            "made": {name: self.plan[name] for name in kept if name in self.plan},
            "work": self.plan["masks"],
            "levels": [level for level in LEVELS if level <= self._source.size],
            "generator": self.fingerprint,
        }

    # --- metadata of each -----------------------------------------------------------------------

    def item(self, drawn: SyntheticMammogram) -> Mapping:
        """Return an image as the shards hold it."""
        filled = drawn.filled
        return mammogram_item(
            drawn.image,
            filled.mask,
            subject=self.masks.subject(drawn.number),
            laterality=filled.laterality,
            view=filled.view,
        )

    def row(self, number: int, drawn: SyntheticMammogram | None = None) -> dict[str, object]:
        """Return what the manifest says of an image."""
        filled = drawn.filled if drawn else self.masks[number]
        made = made_by()
        return {
            "number": number,
            "seed": self.filler.seed,
            "subject": self.masks.subject(number),
            "laterality": filled.laterality,
            "view": filled.view,
            "network_is_shown": self.filler.shown_as,
            "mask_of": filled.origin,
            "mask_number": filled.number,
            "mask_density": filled.density,
            "mask_turned": int(filled.turned),
            "mask_sha256": filled.sha256,
            "generator_sha256": self.fingerprint,
            "version": made["version"],
            "commit": made["commit"] or "",
        }

    def png(self, drawn: SyntheticMammogram) -> dict[str, bytes]:
        """Return the image with 16 bits, and its mask."""
        name = f"{drawn.number:06d}.png"
        mask = encoded_png(drawn.filled.mask, self._mask_text(drawn))
        text = image_text(
            f"mammogram {drawn.number}",
            f"Drawn by a neural network from {self._shown(drawn.filled)} and random numbers.",
            f"generator SHA-256 {self.fingerprint}",
            self.row(drawn.number, drawn),
        )
        return {name: encoded_png(drawn.image, text), f"masks/{name}": mask}

    def dicom(self, drawn: SyntheticMammogram, record: Mapping) -> dict[str, bytes]:
        """Return the image as a DICOM object, and its mask; of a right breast both are mirrored, as it is displayed."""
        from preprocessing.images.dicom_writer import Origin, encoded_dicom  # pydicom only where it is needed

        filled, seed = drawn.filled, self.filler.seed
        origin = Origin(self._shown(filled), _from_patient(filled), seed, self._which(filled), made_by())
        content = encoded_dicom(
            drawn.image,
            number=drawn.number,
            # generator, seed, number and mask make the image: together they are its name
            series=f"seed {seed}, mask {filled.sha256}",
            laterality=filled.laterality,
            view=filled.view,
            generator=self.fingerprint,
            origin=origin,
            study=self._study(drawn, record),
        )
        mask = filled.mask[:, ::-1] if filled.laterality == "R" else filled.mask
        name = f"{drawn.number:06d}"
        return {f"{name}.dcm": content, f"masks/{name}.png": encoded_png(mask, self._mask_text(drawn))}

    def _study(self, drawn: SyntheticMammogram, record: Mapping) -> "Study":
        from preprocessing.images.dicom_writer import Study

        begun = datetime.fromisoformat(record["begun"])
        date, time = begun.strftime("%Y%m%d"), begun.strftime("%H%M%S")
        seed = f"seed {self.filler.seed}"
        number, place = self.masks.place(drawn.number)
        if not self.masks.study_of_four:
            return Study(f"{seed}, mask {drawn.filled.sha256}", number, place, date=date, time=time)
        return Study(f"{seed}, masks {self.plan['masks']}", number, place, of_four=True, date=date, time=time)

    def _shown(self, filled: BreastMask) -> str:
        what = "the edges and the breast outline" if self.filler.needs_images else "the breast outline"
        return f"{what} of {ORIGINS[filled.origin]}"

    def _which(self, filled: BreastMask) -> str:
        turned = ", mirrored" if filled.turned else ""
        return f"mask {filled.number}{turned}, pixels SHA-256 {filled.sha256}"

    def _mask_text(self, drawn: SyntheticMammogram) -> dict[str, str]:
        return {
            "Title": f"Breast mask of synthetic mammogram {drawn.number}",
            "Description": f"The breast outline of {ORIGINS[drawn.filled.origin]}.",
            "Software": f"{SOFTWARE} {made_by()['version']}",
            "Comment": self._which(drawn.filled),
        }


def _from_patient(filled: BreastMask) -> bool | None:
    """Return whether a mask was taken from a patient's image; None where it is not known."""
    return None if filled.origin in (FILE, ARRAY, ALTERED) else filled.origin == REAL
