"""How long a stage lasts."""

from dataclasses import dataclass

import pytest

from training.schedule import Duration, lengthened


def test_a_tick_covers_its_share_in_whole_executions():
    duration = Duration(batch=4, images=200, ticks=4, steps_per_execution=5)
    assert duration.steps_per_tick == 10  # 50 steps in 4 ticks: 12.5, in fives
    assert (duration.images_per_tick, duration.steps, duration.total_images) == (40, 40, 160)


def test_a_tick_has_at_least_one_execution():
    assert Duration(batch=4, images=200, ticks=1000, steps_per_execution=5).steps_per_tick == 5


@dataclass(frozen=True)
class Settings:
    images: int = 1000
    ticks: int = 4
    ema_half_life_images: float = 100.0


@pytest.mark.parametrize(
    "factor, ticks, half_life", [(0.5, 2, 50), (3, 12, 300), (100, 400, 400), (0.01, 1, 1)]
)  # a tick is as long as before; an average remembers four times as long at most
def test_a_longer_stage_has_more_ticks_and_a_longer_memory(factor, ticks, half_life):
    assert lengthened(Settings(), factor, images=7) == Settings(7, ticks, half_life)
