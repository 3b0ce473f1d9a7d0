"""What a preset of pix2pix consists of; the presets themselves are data, in `presets.py`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import keras

from pix2pix.networks import NetworkConfig
from training.adam import FusedAdam
from training.additions import setting, switched
from training.schedule import Duration, lengthened_memory, lengthened_ticks


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained, except the data and the seed; defaults are those of Isola et al. 2017.

    Attributes:
        name: of the preset.
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
        """The generator's and the discriminator's Adam (Isola et al. 2017, §3.3)."""
        first, second = (FusedAdam(self.learning_rate, beta_1=self.beta_1, beta_2=0.999) for _ in range(2))
        return first, second

    def lengthened(self, factor: float) -> "Preset":
        """The same with `factor` times the images."""
        return replace(
            self,
            images=round(self.images * factor),
            ticks=lengthened_ticks(self.ticks, factor),
            ema_half_life_images=lengthened_memory(self.ema_half_life_images, factor),
        )

    def changed(
        self,
        *,
        length: float = 1.0,
        height: int | None = None,
        adding: Iterable[str] = (),
        without: Iterable[str] = (),
        precision: str | None = None,
    ) -> "Preset":
        """The same with what a command line may change of it; None keeps the preset's.

        Args:
            length: factor on the images.
            height: of the images, which are half as wide; a power of two, 8 or more.
            adding: names in `ADDITIONS` to switch on.
            without: names in `ADDITIONS` to switch off.
            precision: "float32" or "mixed_bfloat16".

        Raises:
            PresetError: an unknown name.
        """
        preset = self.lengthened(length) if length != 1.0 else self
        if height is not None:
            preset = replace(preset, network=replace(preset.network, height=height))
        preset = switched(preset, ADDITIONS, adding, without)
        return replace(preset, precision=precision) if precision else preset


ADDITIONS = {  # to Isola et al. 2017 (ours)
    "jitter": setting("jitter", True, False),
    "moving_average": setting("ema_half_life_images", 10_000.0, 0.0),
}
