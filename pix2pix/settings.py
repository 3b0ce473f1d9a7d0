"""What a preset of pix2pix consists of; the presets themselves are data, in `presets.py`."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from pix2pix.networks import NetworkConfig
from training.adam import FusedAdam
from training.additions import changed, setting
from training.schedule import Duration, lengthened


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained, except the data and the seed; defaults are those of Isola et al. 2017.

    Attributes:
        network: sizes, those of the images included.
        batch: images per step, over all replicas.
        images: real images to train on, rounded to whole ticks (`duration.total_images`).
        ticks: status lines, checkpoints and sample grids in the run.
        l1_weight: λ, of the difference of pixels, for images in [−1, 1].
        learning_rate, beta_1: Adam's, for both players; β₂ is 0.999.
        ema_half_life_images: half-life of the generator's moving average; 0: none.
        steps_per_execution: steps that run without returning to Python.
        jitter: random geometry of training images and masks (ours).
        precision: policy of the hidden layers, "float32" or "mixed_bfloat16".
        phantoms: mammograms to draw where no data is given.
    """

    name: str
    network: NetworkConfig
    batch: int
    images: int
    ticks: int
    l1_weight: float = 100.0
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    ema_half_life_images: float = 0.0
    steps_per_execution: int = 1
    jitter: bool = False
    precision: str = "float32"
    phantoms: int = 2000

    @property
    def duration(self) -> Duration:
        """The length of a run."""
        return Duration(self.batch, self.images, self.ticks, self.steps_per_execution)

    def optimizers(self) -> tuple[keras.optimizers.Adam, keras.optimizers.Adam]:
        """Make the generator's and the discriminator's Adam (Isola et al. 2017, §3.3)."""
        first, second = (FusedAdam(self.learning_rate, beta_1=self.beta_1, beta_2=0.999) for _ in range(2))
        return first, second

    def lengthened(self, factor: float) -> "Preset":
        """Return the same with `factor` times the images."""
        return lengthened(self, factor, images=round(self.images * factor))

    def changed(self, *, height: int | None = None, **options: Any) -> "Preset":
        """Return the same with what a command line may change of it.

        Args:
            height: of the images, which are half as wide; a power of two, 8 or more. None keeps the preset's.
            options: of `training.additions.changed`.
        """
        preset = self if height is None else replace(self, network=replace(self.network, height=height))
        return changed(preset, ADDITIONS, **options)


ADDITIONS = {  # to Isola et al. 2017 (ours)
    "jitter": setting("jitter", True, False),
    "moving_average": setting("ema_half_life_images", 10_000.0, 0.0),
}
