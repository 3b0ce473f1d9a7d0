"""What a preset of Feature2Mass consists of; the presets themselves are data, in `presets.py`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras

from feature2mass.losses import LossWeights
from feature2mass.networks import NetworkConfig
from feature2mass.texture import AMPLIFIED, Texture
from training.adam import FusedAdam
from training.additions import changed, setting
from training.schedule import Duration, lengthened

# Files of a run that outlive its training
ENCODER, DECODER = "encoder.keras", "decoder.keras"
SOURCE = "source.json"  # where the training data was


@dataclass(frozen=True)
class Mixing:
    """How new masses are mixed from the features of others; the defaults are Lee et al. 2018, §3.4.

    Attributes:
        octaves: whether mixtures get back the energy that averaging takes, octave by octave (ours).
        mirrored_seeds: whether masses are mirrored to resemble the first, and categories with fewer than twenty masses
            lend mirrored copies (ours).
        largest_weight: share that one seed may have; 1: no cap.
        spread: whether mixtures keep their distance from the mean of their seeds (ours, `features.spread_weights`).
        grain: whether the finest octave gets back what it lacks as grain alone (ours, `octaves.restored`).
    """

    octaves: bool = False
    mirrored_seeds: bool = False
    largest_weight: float = 1.0
    spread: bool = False
    grain: bool = False


ALL_OF_MIXING = Mixing(octaves=True, mirrored_seeds=True, largest_weight=0.6)  # with all additions


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained and how new masses are mixed, except the data and the seed.

    Defaults are those of Lee et al. 2018.

    Attributes:
        network: sizes.
        batch: masses per step, over all replicas.
        epochs: passes through the training masses.
        ticks: status lines, checkpoints and sample grids in the run.
        weights: λ₁…λ₄.
        learning_rate, discriminator_learning_rate: Adam's, for encoder and decoder, and for D₁ and D₂.
        beta_1, epsilon: Adam's, for both players; β₂ is 0.999.
        ema_half_life_images: half-life of the moving average of encoder and decoder; 0: none.
        steps_per_execution: steps that run without returning to Python.
        precision: policy of the hidden layers, "float32" or "mixed_bfloat16".
        augment: random mirror images and crops.
        phantoms: masses to draw where no data is given.
        linear_start: whether the networks start as a linear transform and its inverse (ours).
        mixing: how new masses are mixed.
        texture: additions to the train step (ours); by default none.
    """

    name: str
    network: NetworkConfig
    batch: int
    epochs: float
    ticks: int
    weights: LossWeights = field(default_factory=LossWeights)
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    beta_1: float = 0.9
    ema_half_life_images: float = 0.0
    steps_per_execution: int = 1
    precision: str = "float32"
    augment: bool = True
    phantoms: int = 2000
    epsilon: float = 1e-8
    linear_start: bool = False
    mixing: Mixing = field(default_factory=Mixing)
    texture: Texture = field(default_factory=Texture)

    def duration(self, masses: int) -> Duration:
        """The length of a run on a number of training masses."""
        return Duration(self.batch, self.epochs * masses, self.ticks, self.steps_per_execution)

    def optimizers(self) -> tuple[keras.optimizers.Adam, keras.optimizers.Adam]:
        """Of encoder and decoder, and of the discriminators."""
        rates = (self.learning_rate, self.discriminator_learning_rate)
        first, second = (FusedAdam(r, beta_1=self.beta_1, beta_2=0.999, epsilon=self.epsilon) for r in rates)
        return first, second

    def lengthened(self, factor: float) -> "Preset":
        """The same with `factor` times the epochs."""
        return lengthened(self, factor, epochs=self.epochs * factor)

    def changed(self, **options: Any) -> "Preset":
        """The same with what a command line may change of it: the options of `training.additions.changed`."""
        return changed(self, ADDITIONS, **options)


ADDITIONS = {  # to Lee et al. 2018 (ours)
    "linear_start": setting("linear_start", True, False, needs=("plain_ends",)),
    "plain_ends": setting("network.plain_ends", True, False),
    "activation_last": setting("network.activation_last", True, False),
    "low_pass": setting("network.low_pass", True, False),
    "smooth_start": setting("network.smooth_start", True, False),
    "moving_average": setting("ema_half_life_images", 10_000.0, 0.0),
    "octaves": setting("mixing.octaves", True, False),
    "mirrored_seeds": setting("mixing.mirrored_seeds", True, False),
    "weight_cap": setting("mixing.largest_weight", 0.6, 1.0),
    "spread": setting("mixing.spread", True, False),
    "grain": setting("mixing.grain", True, False, needs=("octaves",)),
    "refinement": setting("network.refined_units", (5, 6), ()),
    "noise": setting("network.noise_units", (5, 6), (), needs=("refinement",)),
    "plain_discriminators": setting("network.plain_discriminators", True, False),
    "amplification": setting("texture.amplification", AMPLIFIED, ()),
    "amplified_reconstruction": setting("texture.amplified_reconstruction", True, False, needs=("amplification",)),
    "falling_reconstruction": setting("texture.final_reconstruction", 10.0, 0.0),
    "slope_penalty": setting("texture.penalty", 0.1, 0.0),
    "judged_mixtures": setting("texture.mixtures", 0.5, 0.0),
}

# What runs were made with before these settings were written into their config.json
EARLIER: dict[str, dict[str, Any]] = {
    "preset": {
        "epsilon": 1e-7,
        "linear_start": True,
        "mixing": asdict(ALL_OF_MIXING),
        "texture": asdict(Texture()),
        "network": {"plain_ends": True, "activation_last": True},
    }
}


def mixing_of(config: Mapping) -> Mixing:
    """How masses of a run are mixed.

    Args:
        config: what the run's config.json holds; one written before there was a choice mixes with all additions.
    """
    return Mixing(**{**EARLIER["preset"]["mixing"], **config.get("preset", {}).get("mixing", {})})
