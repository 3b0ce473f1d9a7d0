"""How long a training lasts, and how it is divided; the same for every system."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

Settings = TypeVar("Settings", bound=Any)

LONGEST_MEMORY = 4.0  # by which the half-life of the moving average of a lengthened training grows at most (ours)


@dataclass(frozen=True)
class Duration:
    """The length of one stage of a training.

    A stage is divided into ticks, after each of which there is a status line, a checkpoint and a sample grid. A tick is
    a whole number of executions, an execution is `steps_per_execution` steps, and a step sees `batch` real images.

    Attributes:
        batch: real images per step, over all replicas.
        images: real images wanted; `total_images` is what whole ticks make of it.
        ticks: in the stage.
        steps_per_execution: steps that run without returning to Python.
    """

    batch: int
    images: float
    ticks: int
    steps_per_execution: int = 1

    @property
    def steps_per_tick(self) -> int:
        """Whole executions that cover `images` in `ticks` ticks; at least one."""
        wanted = self.images / (self.batch * self.ticks)
        return max(1, round(wanted / self.steps_per_execution)) * self.steps_per_execution

    @property
    def images_per_tick(self) -> int:
        """Real images per tick."""
        return self.steps_per_tick * self.batch

    @property
    def steps(self) -> int:
        """Steps of the stage."""
        return self.ticks * self.steps_per_tick

    @property
    def total_images(self) -> int:
        """Real images that the stage really takes."""
        return self.steps * self.batch


def lengthened(settings: Settings, factor: float, **images: float) -> Settings:
    """Return a stage's settings with `factor` times the images, `factor` times the ticks and a longer moving average.

    Args:
        settings: a frozen dataclass with `ticks` and `ema_half_life_images`.
        factor: above 0.
        images: the fields that say how many images there are, with their new values.
    """
    ticks = max(1, round(settings.ticks * factor))
    memory = settings.ema_half_life_images * min(factor, LONGEST_MEMORY)
    return replace(settings, ticks=ticks, ema_half_life_images=memory, **images)
