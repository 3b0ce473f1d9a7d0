"""What a preset of the mask-embedding GAN consists of; the presets themselves are data, in `presets.py`.

What a phase does is a pure function of the real images it has seen: alpha, the learning rate and the end of a phase
follow from them alone, and nothing here is saved or restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
from keras import ops

from mask_embedding_gan.blocks import NetworkConfig, resolution
from training.adam import FusedAdam
from training.additions import Addition, changed, setting
from training.schedule import Duration, lengthened

SHARED_FROM = 1_500_000  # numbers in the largest features of a batch, above which cores share an operation
FADING = 0.25  # of a phase on whole images, where the phase was trained on windows (ours)
# Factors of the octaves that the critic sees, by level: a film's contrast (0.17) over the strength of its octave
# (0.046 at 32×16, 0.018 at 128×64, 0.008 at 512×256) (ours)
AMPLIFIED = {3: 4.0, 4: 6.0, 5: 9.0, 6: 14.0, 7: 20.0}
OCTAVES = 4  # amplified at most
LATE_PHASE = 5  # that can have R1 and detail of each image's own: the finest whole images of `film` (ours)
R1_WEIGHT, DETAIL_WEIGHT = 0.5, 5.0  # there; R1 of amplified images (ours)
EMA_HALF_LIFE_IMAGES = 10_000.0  # where a preset without a moving average gets one


class Terms(NamedTuple):
    """What a step consists of; `PhaseSchedule.terms` gives that after a number of images.

    Attributes:
        fades_in: whether the new block still fades in.
        r1_weight, detail_weight: those of the schedule; 0 until they begin.
    """

    fades_in: bool = False
    r1_weight: float = 0.0
    detail_weight: float = 0.0


@dataclass(frozen=True)
class PhaseSchedule:
    """One phase: `fade_in_images`, then `stable_images`, in batches of `batch`.

    Attributes:
        phase: 1…7.
        batch: real images per step, over all replicas.
        learning_rate, critic_learning_rate: of the generator's and the critic's Adam.
        fade_in_images: real images over which alpha goes from 0 to 1; phase 1 has nothing to fade in.
        stable_images: real images at alpha 1.
        ticks: status lines, checkpoints and sample grids in this phase.
        ema_half_life_images: half-life of the generator's moving average; 0: none.
        steps_per_execution: steps that run without returning to Python.
        amplification: factors of the octaves that the critic sees, finest first (`amplification.amplifier`); empty:
            images as they are.
        r1_weight: of the R1 penalty; logistic losses with it replace those of WGAN-GP (ours, `train_step.critic_step`).
            0: WGAN-GP to the end.
        detail_weight: what a correlation of 1 between the details of two images of one mask costs the generator (ours,
            `diversity.shared_detail`); 0: nothing.
        r1_from_images, detail_from_images: real images of this phase after which each begins, at alpha 1 at the
            earliest. A number of images rather than a share of the phase: both harm networks that are far from
            trained, however short the phase (ours).
    """

    phase: int
    batch: int
    learning_rate: float
    critic_learning_rate: float
    fade_in_images: int
    stable_images: int
    ticks: int
    ema_half_life_images: float
    steps_per_execution: int = 1
    amplification: tuple[float, ...] = ()
    r1_weight: float = 0.0
    detail_weight: float = 0.0
    r1_from_images: int = 0
    detail_from_images: int = 0

    @property
    def duration(self) -> Duration:
        """The length of the phase."""
        return Duration(self.batch, self.fade_in_images + self.stable_images, self.ticks, self.steps_per_execution)

    def alpha(self, images_seen):
        """Return the weight of the new block after `images_seen` images of this phase, in [0, 1]; number or tensor."""
        if self.phase == 1 or self.fade_in_images == 0:
            return ops.ones_like(images_seen, dtype="float32")
        return ops.minimum(ops.cast(images_seen, "float32") / self.fade_in_images, 1.0)

    def terms(self, images_seen: int) -> Terms:
        """Return what the step after `images_seen` images of this phase consists of."""
        if images_seen < self.fade_in_images:
            return Terms(fades_in=True)
        return Terms(
            r1_weight=self.r1_weight if images_seen >= self.r1_from_images else 0.0,
            detail_weight=self.detail_weight if images_seen >= self.detail_from_images else 0.0,
        )

    def threads_per_operation(self, network: NetworkConfig) -> int | None:
        """Return 1 where an operation has too little to do to be worth sharing on a CPU, None where cores share it.

        Operations still run next to each other. With one thread each, phases of `quick` up to 64×32 took 0.52 to 0.74
        of their time on two cores; phases with the paper's networks, from 64×32 on, up to 1.6 times as long (ours).
        """
        whole = network.windows_from - 1 if network.has_windows(self.phase) else self.phase
        height, width = resolution(whole)
        features = self.batch * height * width * network.filters(self.phase)
        return 1 if features <= SHARED_FROM else None

    def optimizers(self) -> tuple[keras.optimizers.Adam, keras.optimizers.Adam]:
        """Make the generator's and the critic's Adam: β₁ 0, β₂ 0.99, ε 1e−8 (ours)."""
        rates = self.learning_rate, self.critic_learning_rate
        generator, critic = (FusedAdam(rate, beta_1=0.0, beta_2=0.99, epsilon=1e-8) for rate in rates)
        return generator, critic

    def lengthened(self, factor: float) -> "PhaseSchedule":
        """Return the same with `factor` times the images; `r1_from_images` and `detail_from_images` stay."""
        fading, stable = (round(images * factor) for images in (self.fade_in_images, self.stable_images))
        return lengthened(self, factor, fade_in_images=fading, stable_images=stable)


@dataclass(frozen=True)
class Diversity:
    """Ask that two latents differ (ours; after Yang et al., *Diversity-Sensitive Conditional GANs*, ICLR 2019).

    A conditional generator that is trained briefly learns to ignore its latent. For every fourth mask a second latent
    is drawn, and the generator pays for each unit of distance by which the two images fall short of `share` times the
    distance of two real images.

    Attributes:
        weight: price, where the critic's slope is 1.
        share: of the root mean square difference of two real images; beyond it nothing is asked.
    """

    weight: float = 0.1
    share: float = 0.75


@dataclass(frozen=True)
class Preset:
    """Everything that decides what is trained, except the data and the seed.

    Attributes:
        network: sizes of the generator and the critic.
        phases: schedules, in order.
        jitter: random geometry of training images and masks (ours).
        diversity: asks that latents matter (ours); None: the paper's loss alone.
        level_spectrum: whether finished generators of 256×128 and 512×256 get a filter that gives their images the
            power spectrum of training images (ours, `mask_embedding_gan.spectrum`).
        precision: policy of the hidden layers, "float32" or "mixed_bfloat16".
        phantoms: mammograms to draw where no data is given.
    """

    name: str
    network: NetworkConfig
    phases: tuple[PhaseSchedule, ...]
    jitter: bool = False
    diversity: Diversity | None = None
    level_spectrum: bool = False
    precision: str = "float32"
    phantoms: int = 2000

    def schedule(self, phase: int) -> PhaseSchedule:
        """Return the schedule of a phase, 1…7."""
        return self.phases[phase - 1]

    def lengthened(self, factor: float) -> "Preset":
        """Return the same with `factor` times the images in every phase."""
        return replace(self, phases=tuple(schedule.lengthened(factor) for schedule in self.phases))

    def changed(self, *, embedding: bool = True, **options: Any) -> "Preset":
        """Return the same with what a command line may change of it.

        Args:
            embedding: False for the no-embedding baseline (Ren et al. 2019, §6.4).
            options: of `training.additions.changed`.
        """
        preset = self if embedding else replace(self, network=self.network.without_embedding())
        return changed(preset, ADDITIONS, **options)


def phases(**columns: Sequence) -> tuple[PhaseSchedule, ...]:
    """Make schedules of all phases from a column of values for each field of `PhaseSchedule` but `phase`."""
    rows = zip(*columns.values(), strict=True)
    return tuple(
        PhaseSchedule(phase=phase, **dict(zip(columns, row, strict=True))) for phase, row in enumerate(rows, start=1)
    )


def amplified(phase: int) -> tuple[float, ...]:
    """List factors of the octaves that the critic of a phase sees with the addition `amplification`, finest first."""
    return tuple(AMPLIFIED[level] for level in range(phase, max(2, phase - OCTAVES), -1))


# ------------------------------------------------------------------------ additions, as switches


def _in_each_phase(field: str, on, off, needs: tuple[str, ...] = ()) -> Addition:
    """An addition that is one field of every `PhaseSchedule`; `on` is a function of the phase."""

    def write(preset: Preset, value) -> Preset:
        return replace(preset, phases=tuple(replace(one, **{field: value(one.phase)}) for one in preset.phases))

    return Addition(
        present=lambda preset: any(getattr(one, field) != off for one in preset.phases),
        added=lambda preset: write(preset, on),
        removed=lambda preset: write(preset, lambda phase: off),
        needs=needs,
    )


def _late_term(name: str, weight: float, needs: tuple[str, ...] = ()) -> Addition:
    """An addition that is a term of the loss in `LATE_PHASE`: `<name>_weight`, from `<name>_from_images` on."""
    term = _in_each_phase(f"{name}_weight", lambda phase: weight if phase == LATE_PHASE else 0.0, 0.0, needs)
    beginning = _in_each_phase(f"{name}_from_images", lambda phase: 0, 0)
    return replace(term, removed=lambda preset: beginning.removed(term.removed(preset)))


def _with_windows_from(preset: Preset, level: int) -> Preset:
    """Phases on windows have nothing to fade in; the others fade in."""
    network = replace(preset.network, windows_from=level)
    schedules = []
    for one in preset.phases:
        images = one.fade_in_images + one.stable_images
        was, becomes = preset.network.has_windows(one.phase), network.has_windows(one.phase)
        fading = one.fade_in_images if was == becomes else 0 if becomes else round(FADING * images)
        schedules.append(replace(one, fade_in_images=fading, stable_images=images - fading))
    return replace(preset, network=network, phases=tuple(schedules))


ADDITIONS = {  # to Ren et al. 2019 (ours)
    "second_convolution": setting("network.second_convolution", True, False),
    "sum_of_levels": setting("network.sum_of_levels", True, False),
    "times_mask": setting("network.times_mask", True, False),
    "noise_levels": setting("network.noise_levels", (4, 5), ()),
    "independent_noise": setting("network.independent_noise", True, False, needs=("noise_levels",)),
    "critic_convolutions": setting("network.critic_convolutions", 3, 0),
    "windows_from": Addition(
        present=lambda preset: preset.network.windows_from > 0,
        added=lambda preset: _with_windows_from(preset, 6),
        removed=lambda preset: _with_windows_from(preset, 0),
        needs=("second_convolution", "sum_of_levels", "times_mask"),
    ),
    "levelled": setting("network.levelled", True, False),
    "keeps_averages": setting("network.keeps_averages", True, False),
    "amplification": _in_each_phase("amplification", amplified, ()),
    "r1_penalty": _late_term("r1", R1_WEIGHT),
    "diversity": setting("diversity", Diversity(), None),
    "own_detail": _late_term("detail", DETAIL_WEIGHT, needs=("diversity",)),
    "level_spectrum": setting("level_spectrum", True, False, needs=("times_mask",)),
    "jitter": setting("jitter", True, False),
    "moving_average": _in_each_phase("ema_half_life_images", lambda phase: EMA_HALF_LIFE_IMAGES, 0.0),
}
