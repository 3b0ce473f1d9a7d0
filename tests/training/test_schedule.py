"""How long a stage lasts."""

import pytest

from training.schedule import Duration, lengthened_memory, lengthened_ticks


def test_a_tick_covers_its_share_in_whole_executions():
    duration = Duration(batch=4, images=200, ticks=4, steps_per_execution=5)
    assert duration.steps_per_tick == 10  # 50 steps in 4 ticks: 12.5, in fives
    assert (duration.images_per_tick, duration.steps, duration.total_images) == (40, 40, 160)


def test_a_tick_has_at_least_one_execution():
    assert Duration(batch=4, images=200, ticks=1000, steps_per_execution=5).steps_per_tick == 5


@pytest.mark.parametrize("factor, ticks", [(3, 12), (0.5, 2), (0.01, 1)])
def test_ticks_of_a_longer_stage_are_as_long(factor, ticks):
    assert lengthened_ticks(4, factor) == ticks


@pytest.mark.parametrize("factor, half_life", [(0.5, 50), (3, 300), (100, 400)])
def test_a_moving_average_remembers_longer_up_to_four_times(factor, half_life):
    assert lengthened_memory(100, factor) == half_life
