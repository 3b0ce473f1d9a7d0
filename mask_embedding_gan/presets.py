"""The training schedule as data: what a phase does is a pure function of the real images it has seen.

Nothing here is saved or restored: alpha, the learning rate and the end of a phase follow from the images seen alone.
"""

from dataclasses import dataclass, replace

import keras
from keras import ops

from mask_embedding_gan.blocks import NetworkConfig, resolution
from training.adam import FusedAdam

SHARED_FROM = 1_500_000  # numbers in the largest features of a batch, above which cores share an operation


@dataclass(frozen=True)
class PhaseSchedule:
    """One phase: `fade_in_images`, then `stable_images`, in batches of `batch`.

    Attributes:
        phase: 1…7.
        batch: images a step, over all replicas.
        learning_rate: of the generator's Adam.
        critic_learning_rate: of the critic's.
        fade_in_images: real images over which alpha goes from 0 to 1; phase 1 has nothing to fade in.
        stable_images: real images at alpha 1.
        ticks: status lines, checkpoints and sample grids in this phase.
        ema_half_life_images: half-life of the generator's moving average.
        steps_per_execution: steps that run without returning to Python.
        amplification: factors of the octaves that the critic sees, finest first (`amplification.amplifier`); empty:
            images as they are.
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

    @property
    def steps_per_tick(self) -> int:
        """Whole executions that cover the phase in `ticks` ticks; at least one."""
        wanted = (self.fade_in_images + self.stable_images) / (self.batch * self.ticks)
        return max(1, round(wanted / self.steps_per_execution)) * self.steps_per_execution

    @property
    def images(self) -> int:
        """Images the phase really takes: ticks are whole."""
        return self.ticks * self.steps_per_tick * self.batch

    def alpha(self, images_seen):
        """Weight of the new block after `images_seen` images of this phase, in [0, 1]; number or tensor."""
        if self.phase == 1 or self.fade_in_images == 0:
            return ops.ones_like(images_seen, dtype="float32")
        return ops.minimum(ops.cast(images_seen, "float32") / self.fade_in_images, 1.0)

    def threads_per_operation(self, network: NetworkConfig) -> int | None:
        """1 where an operation has too little to do to be worth sharing on a CPU; None where cores should share it.

        Operations still run next to each other. With one thread each, phases of `quick` up to 64×32 took 0.52 to 0.74
        of their time on two cores; the phases of `paper` from 64×32 on took up to 1.6 times as long (ours).
        """
        whole = network.windows_from - 1 if network.has_windows(self.phase) else self.phase
        height, width = resolution(whole)
        features = self.batch * height * width * network.filters(self.phase)
        return 1 if features <= SHARED_FROM else None

    def optimizers(self) -> tuple[keras.optimizers.Adam, keras.optimizers.Adam]:
        """The generator's and the critic's Adam(β₁ 0, β₂ 0.99, ε 1e−8)."""
        rates = self.learning_rate, self.critic_learning_rate
        return tuple(FusedAdam(rate, beta_1=0.0, beta_2=0.99, epsilon=1e-8) for rate in rates)


@dataclass(frozen=True)
class Diversity:
    """Asks that two latents differ (ours; after Yang et al., *Diversity-Sensitive Conditional GANs*, ICLR 2019).

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
    """Everything that decides what is trained, but the data and the seed."""

    name: str
    network: NetworkConfig
    phases: tuple[PhaseSchedule, ...]
    jitter: bool = True
    diversity: Diversity | None = None
    precision: str = "float32"
    phantoms: int = 2000

    def schedule(self, phase: int) -> PhaseSchedule:
        return self.phases[phase - 1]

    def lengthened(self, factor: float) -> "Preset":
        """The same with every duration multiplied: what more compute buys."""
        phases = tuple(
            replace(
                schedule,
                fade_in_images=round(schedule.fade_in_images * factor),
                stable_images=round(schedule.stable_images * factor),
                ticks=max(1, round(schedule.ticks * factor)),
                ema_half_life_images=schedule.ema_half_life_images * min(factor, 4.0),
            )
            for schedule in self.phases
        )
        return replace(self, phases=phases)


def _paper() -> Preset:
    """Ren et al. 2019, §6.2: batches and learning rates as printed, 600 k + 600 k images a phase (ours).

    Costs some weeks of one GPU; [A] trained a week on three.
    """
    batches = (192, 96, 48, 24, 12, 8, 8)
    rates = (0.001,) * 5 + (0.0018,) * 2
    phases = tuple(
        PhaseSchedule(
            phase=phase,
            batch=batch,
            learning_rate=rate,
            critic_learning_rate=rate,
            fade_in_images=600_000 if phase > 1 else 0,
            stable_images=600_000,
            ticks=60,
            ema_half_life_images=10_000,
            steps_per_execution=max(1, 32 // 2**phase),
        )
        for phase, (batch, rate) in enumerate(zip(batches, rates), start=1)
    )
    return Preset("paper", NetworkConfig(), phases, jitter=False, phantoms=20_000)


HALF_WIDTH = {"base_filters": 64, "latent_filters": (64, 51, 41, 33, 26, 21, 17)}
ADDITIONS = {  # to the paper's networks (ours), each of them a switch
    "second_convolution": True,
    "sum_of_levels": True,
    "times_mask": True,
    "noise_levels": (4, 5),
    "critic_convolutions": 3,
    "windows_from": 6,
}
# by level: a film's contrast (0.17) over the strength of its octave (0.046 at 32×16, 0.018 at 128×64, 0.008 at 512×256)
AMPLIFIED = {3: 4.0, 4: 6.0, 5: 9.0, 6: 14.0, 7: 20.0}
OCTAVES = 4  # amplified at most
FADING = 0.25  # of a phase on whole images


def _with_additions(name: str, rows: tuple[tuple[int, int, int, float, int, float], ...]) -> Preset:
    """A preset of half the paper's kernels with all additions.

    Args:
        rows: of each phase: batch, images, steps without returning to Python, the generator's learning rate, ticks, and
            images in which the moving average half forgets. The critic learns three times as fast: with one rate for
            both, in a short training on real films at 32×16, it saw a seventh of the distance between fakes and films.
    """
    network = NetworkConfig(**HALF_WIDTH, **ADDITIONS)
    phases = []
    for phase, (batch, images, execution, rate, ticks, half_life) in enumerate(rows, start=1):
        fading = round(FADING * images) if phase > 1 and not network.has_windows(phase) else 0
        phases.append(
            PhaseSchedule(
                phase=phase,
                batch=batch,
                learning_rate=rate,
                critic_learning_rate=3 * rate,
                fade_in_images=fading,
                stable_images=images - fading,
                ticks=ticks,
                ema_half_life_images=half_life,
                steps_per_execution=execution,
                amplification=tuple(AMPLIFIED[level] for level in range(phase, max(2, phase - OCTAVES), -1)),
            )
        )
    return Preset(name, network, tuple(phases), diversity=Diversity())


def _quick() -> Preset:
    """All seven phases in minutes on two CPU cores: `film` on a fiftieth of its images, at higher rates."""
    return _with_additions(
        "quick",
        (
            (16, 9_600, 50, 0.002, 4, 480),
            (16, 12_800, 50, 0.002, 4, 640),
            (16, 16_000, 25, 0.002, 4, 800),
            (16, 14_400, 10, 0.002, 4, 720),
            (8, 4_000, 5, 0.0014, 4, 290),
            (8, 1_200, 5, 0.0014, 4, 90),
            (8, 1_200, 5, 0.0014, 4, 90),
        ),
    )


def _film() -> Preset:
    """Images like film mammograms in about a day of one CPU core (ours).

    At rates of 0.002 and 0.006, images of 32×16 went round in circles: the critic chased patterns of single pixels that
    the generator exchanged for others, and the moving average of such generators was blurred.
    """
    return _with_additions(
        "film",
        (
            (16, 50_000, 50, 0.002, 5, 10_000),
            (16, 100_000, 50, 0.002, 10, 10_000),
            (16, 300_000, 25, 0.0007, 30, 10_000),
            (16, 600_000, 10, 0.0005, 60, 10_000),
            (16, 800_000, 5, 0.0005, 80, 10_000),
            (16, 600_000, 5, 0.0005, 60, 10_000),
            (16, 600_000, 5, 0.0005, 60, 10_000),
        ),
    )


PRESETS = {"quick": _quick, "film": _film, "paper": _paper}


def chosen_preset(
    name: str,
    *,
    length: float = 1.0,
    embedding: bool = True,
    diversity: bool | None = None,
    precision: str | None = None,
) -> Preset:
    """A preset by name with what a command line may change of it; None keeps the preset's.

    Args:
        name: "quick" or "paper".
        length: factor on every phase's images.
        embedding: False for the no-embedding baseline.
        diversity: whether latents are asked to matter (`Diversity`).
        precision: "float32" or "mixed_bfloat16".
    """
    preset = PRESETS[name]()
    if length != 1.0:
        preset = preset.lengthened(length)
    if not embedding:
        preset = replace(preset, network=preset.network.without_embedding())
    if diversity is not None:
        preset = replace(preset, diversity=Diversity() if diversity else None)
    if precision:
        preset = replace(preset, precision=precision)
    return preset
