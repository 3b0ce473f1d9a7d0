"""What a phase does is a pure function of the images it has seen."""

from dataclasses import replace

import pytest
import tensorflow as tf
import tiny

from mask_embedding_gan.blocks import NetworkConfig
from mask_embedding_gan.presets import PRESETS, PhaseSchedule, chosen_preset

SCHEDULE = PhaseSchedule(
    phase=2,
    batch=4,
    learning_rate=0.002,
    critic_learning_rate=0.004,
    fade_in_images=80,
    stable_images=120,
    ticks=4,
    ema_half_life_images=50.0,
    steps_per_execution=5,
)
PRESET_NAMES = pytest.mark.parametrize("name", sorted(PRESETS))


@pytest.mark.parametrize("images, alpha", [(0, 0.0), (20, 0.25), (79, 79 / 80), (80, 1.0), (200, 1.0)])
def test_alpha_rises_linearly_to_1_and_stays(images, alpha):
    assert float(SCHEDULE.alpha(images)) == pytest.approx(alpha)


def test_alpha_of_a_tensor_is_that_of_the_number():
    assert float(SCHEDULE.alpha(tf.constant(20, tf.int64))) == float(SCHEDULE.alpha(20)) == 0.25


@pytest.mark.parametrize("images", [0, 10])
@pytest.mark.parametrize("changes", [{"phase": 1}, {"fade_in_images": 0}], ids=["phase 1", "no fade-in"])
def test_alpha_is_1_where_nothing_fades_in(changes, images):
    assert float(replace(SCHEDULE, **changes).alpha(images)) == 1
    assert float(replace(SCHEDULE, **changes).alpha(tf.constant(images, tf.int64))) == 1


def test_alpha_has_no_memory():
    values = [float(SCHEDULE.alpha(images)) for images in (40, 80, 0, 40)]
    assert values[0] == values[-1] == 0.5


def test_steps_of_a_tick_cover_the_phase_in_whole_executions():
    assert SCHEDULE.steps_per_tick == 10  # 50 steps in 4 ticks: 12.5, in fives
    assert SCHEDULE.images == 4 * 10 * 4


def test_a_tick_has_at_least_one_execution():
    assert replace(SCHEDULE, ticks=1000).steps_per_tick == 5


def test_adam_is_as_printed():
    for adam in SCHEDULE.optimizers():
        assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.0, 0.99, 1e-8)


def test_each_player_has_its_own_learning_rate():
    generator, critic = (float(adam.learning_rate) for adam in SCHEDULE.optimizers())
    assert (generator, critic) == (pytest.approx(0.002), pytest.approx(0.004))


def test_paper_preset_has_the_printed_batches():
    assert [schedule.batch for schedule in PRESETS["paper"]().phases] == [192, 96, 48, 24, 12, 8, 8]


def test_paper_preset_has_the_printed_learning_rates():
    phases = PRESETS["paper"]().phases
    assert [schedule.learning_rate for schedule in phases] == [0.001] * 5 + [0.0018] * 2
    assert [schedule.critic_learning_rate for schedule in phases] == [0.001] * 5 + [0.0018] * 2


def test_paper_preset_has_the_printed_network():
    assert PRESETS["paper"]().network == NetworkConfig()


def test_paper_preset_fades_in_over_600_000_images_and_then_takes_as_many():
    phases = PRESETS["paper"]().phases
    assert [schedule.fade_in_images for schedule in phases] == [0] + [600_000] * 6
    assert {schedule.stable_images for schedule in phases} == {600_000}


@PRESET_NAMES
def test_a_preset_has_all_seven_phases_in_order(name):
    assert [schedule.phase for schedule in PRESETS[name]().phases] == list(range(1, 8))


@PRESET_NAMES
def test_batches_hold_whole_groups_of_the_minibatch_deviation(name):
    preset = PRESETS[name]()
    assert not [s.phase for s in preset.phases if s.batch % preset.network.group_size]


@PRESET_NAMES
def test_every_phase_gets_to_alpha_1(name):
    for schedule in PRESETS[name]().phases:
        assert float(schedule.alpha(schedule.images - schedule.batch)) == 1


@PRESET_NAMES
def test_whole_ticks_take_nearly_the_images_asked_for(name):
    for schedule in PRESETS[name]().phases:
        assert schedule.images == pytest.approx(schedule.fade_in_images + schedule.stable_images, rel=0.2)


def test_a_lengthened_preset_takes_that_many_more_images():
    longer = tiny.preset().lengthened(3)
    for schedule, original in zip(longer.phases, tiny.preset().phases):
        assert schedule.images == 3 * original.images
        assert schedule.fade_in_images == 3 * original.fade_in_images


def test_a_shortened_preset_still_has_a_tick_in_each_phase():
    assert {schedule.ticks for schedule in tiny.preset().lengthened(0.01).phases} == {1}


def test_the_baseline_is_chosen_with_a_longer_latent():
    network = chosen_preset("paper", embedding=False).network
    assert (network.embedding_size, network.latent_size) == (0, 132)


def test_small_phases_compute_each_operation_on_one_thread():
    quick, paper = PRESETS["quick"](), PRESETS["paper"]()
    threads = [
        [preset.schedule(n).threads_per_operation(preset.network) for n in range(1, 8)] for preset in (quick, paper)
    ]
    assert threads == [[1, 1, 1, 1, None, 1, 1], [1, 1, None, None, None, None, None]]


def test_precision_is_the_preset_s_unless_chosen():
    assert chosen_preset("paper").precision == PRESETS["paper"]().precision
    assert chosen_preset("paper", precision="mixed_bfloat16").precision == "mixed_bfloat16"


@pytest.mark.parametrize("name, default", [("quick", True), ("film", True), ("paper", False)])
def test_diversity_can_be_switched_off_and_on(name, default):
    for wanted in (None, True, False):
        plan = chosen_preset(name, diversity=wanted)
        assert (plan.diversity is not None) == (default if wanted is None else wanted)
