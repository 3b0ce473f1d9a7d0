"""What a phase does is a pure function of the images it has seen."""

from dataclasses import replace

import pytest
import tensorflow as tf
import tiny

from mask_embedding_gan.generator import build_generator
from mask_embedding_gan.presets import PRESETS
from mask_embedding_gan.schedule import ADDITIONS, PhaseSchedule, Terms
from mask_embedding_gan.train_step import DRIFT_WEIGHT, PENALTY_WEIGHT
from training.additions import PresetError

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


def test_adam_is_that_of_the_design():
    for adam in SCHEDULE.optimizers():
        assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.0, 0.99, 1e-8)


def test_each_player_has_its_own_learning_rate():
    generator, critic = (float(adam.learning_rate) for adam in SCHEDULE.optimizers())
    assert (generator, critic) == (pytest.approx(0.002), pytest.approx(0.004))


# --- the paper ----------------------------------------------------------------------------------

FACES = "authors' release for faces"
PAPER = [  # (setting, the paper's value, where it is printed, our preset's value)
    ("latent vector", 100, "§4", lambda p: p.network.latent_size),
    ("mask embedding", 32, "§4", lambda p: p.network.embedding_size),
    ("features of mask blocks", 8, "§4", lambda p: p.network.mask_filters),
    ("features of the projection", 128, "§4", lambda p: p.network.base_filters),
    ("kernels of transposed convolutions", (128, 102, 82, 66, 53, 42, 34), "§4", lambda p: p.network.latent_filters),
    ("phases", 7, "§5", lambda p: len(p.phases)),
    ("fade-in of phase 1", 0, "§5", lambda p: p.schedule(1).fade_in_images),
    ("phases 2 to 7 fade in", True, "§5", lambda p: all(one.fade_in_images for one in p.phases[1:])),
    ("weight of the gradient penalty", 10, "§5 by its reference [5]", lambda p: PENALTY_WEIGHT),
    ("weight of the drift", 0.001, "§5 by its reference [5]", lambda p: DRIFT_WEIGHT),
    ("batches", [128, 64, 32, 32, 32, 16], FACES, lambda p: [one.batch for one in p.phases[1:]]),
    ("rates", [0.001] * 3 + [0.0012, 0.0018, 0.0018], FACES, lambda p: [one.learning_rate for one in p.phases[1:]]),
    (
        "rates of the critic",
        [0.001] * 3 + [0.0012, 0.0018, 0.0018],
        FACES,
        lambda p: [one.critic_learning_rate for one in p.phases[1:]],
    ),
]


def test_the_paper_preset_differs_from_the_paper_in_nothing():
    preset = PRESETS["paper"]
    differences = [(name, wanted, where, read(preset)) for name, wanted, where, read in PAPER if read(preset) != wanted]
    assert differences == []


def test_the_paper_preset_has_no_addition_that_changes_training():
    """The moving average is what is saved; no gradient depends on it."""
    assert [name for name, one in ADDITIONS.items() if one.present(PRESETS["paper"])] == ["moving_average"]


def test_no_layer_of_the_paper_s_generator_is_a_filter_or_noise():
    layers = build_generator(PRESETS["paper"].network, 5).layers
    assert not [layer.name for layer in layers if any(word in layer.name for word in ("low_pass", "noise", "second"))]


# --- additions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name, left_out", [("quick", ["independent_noise", "own_detail", "r1_penalty"]), ("film", [])])
def test_quick_and_film_have_the_additions_that_pay_at_their_length(name, left_out):
    left = {addition for addition, one in ADDITIONS.items() if not one.present(PRESETS[name])}
    assert left == set(left_out)


@pytest.mark.parametrize("addition", sorted(ADDITIONS))
def test_each_addition_can_be_switched_off(addition):
    builds_on_it = [name for name, one in ADDITIONS.items() if addition in one.needs]
    preset = PRESETS["film"].changed(adding=ADDITIONS, without=(addition, *builds_on_it))
    left = [name for name, one in ADDITIONS.items() if one.present(preset)]
    assert left == [name for name in ADDITIONS if name not in (addition, *builds_on_it)]


def test_the_paper_with_film_s_additions_differs_from_it_in_numbers_alone():
    preset = PRESETS["paper"].changed(adding=ADDITIONS)
    assert all(ADDITIONS[name].present(preset) for name in ADDITIONS)
    half = {"base_filters": 64, "latent_filters": (64, 51, 41, 33, 26, 21, 17)}
    assert replace(preset.network, **half) == PRESETS["film"].network
    assert [one.amplification for one in preset.phases] == [one.amplification for one in PRESETS["film"].phases]


def test_an_addition_that_is_there_keeps_its_values():
    assert PRESETS["film"].changed(adding=ADDITIONS) == PRESETS["film"]


def test_phases_without_windows_fade_in_again():
    preset = PRESETS["film"].changed(without=("windows_from",))
    assert [one.fade_in_images for one in preset.phases[5:]] == [75_000, 75_000]
    assert preset.schedule(6).duration == PRESETS["film"].schedule(6).duration


def test_windows_without_what_they_build_on_are_refused():
    with pytest.raises(PresetError, match="windows_from needs sum_of_levels; add --without windows_from"):
        PRESETS["film"].changed(without=("sum_of_levels",))


# --- every preset -------------------------------------------------------------------------------


@PRESET_NAMES
def test_a_preset_has_all_seven_phases_in_order(name):
    assert [schedule.phase for schedule in PRESETS[name].phases] == list(range(1, 8))


@PRESET_NAMES
def test_batches_hold_whole_groups_of_the_minibatch_deviation(name):
    preset = PRESETS[name]
    assert not [s.phase for s in preset.phases if s.batch % preset.network.group_size]


@PRESET_NAMES
def test_every_phase_gets_to_alpha_1(name):
    for schedule in PRESETS[name].phases:
        assert float(schedule.alpha(schedule.duration.total_images - schedule.batch)) == 1


@PRESET_NAMES
def test_whole_ticks_take_nearly_the_images_asked_for(name):
    for schedule in PRESETS[name].phases:
        assert schedule.duration.total_images == pytest.approx(schedule.duration.images, rel=0.2)


def test_a_lengthened_preset_takes_that_many_more_images():
    longer = tiny.preset().lengthened(3)
    for schedule, original in zip(longer.phases, tiny.preset().phases):
        assert schedule.duration.total_images == 3 * original.duration.total_images
        assert schedule.fade_in_images == 3 * original.fade_in_images


def test_r1_and_detail_begin_after_as_many_images_in_a_preset_of_any_length():
    begin = [(one.r1_from_images, one.detail_from_images) for one in PRESETS["film"].phases]
    assert begin == [(0, 0)] * 4 + [(240_000, 500_000)] + [(0, 0)] * 2
    for factor in (0.1, 1.26):
        longer = PRESETS["film"].lengthened(factor)
        assert [(one.r1_from_images, one.detail_from_images) for one in longer.phases] == begin


def test_film_has_both_before_its_phase_ends():
    schedule = PRESETS["film"].schedule(5)
    last = schedule.duration.total_images - schedule.batch
    assert schedule.terms(last) == Terms(fades_in=False, r1_weight=0.5, detail_weight=5)


def test_switched_off_an_addition_leaves_nothing_of_itself():
    without = PRESETS["film"].changed(without=("r1_penalty", "own_detail")).schedule(5)
    fields = ("r1_weight", "r1_from_images", "detail_weight", "detail_from_images")
    assert [getattr(without, name) for name in fields] == [0, 0, 0, 0]


def test_a_shortened_preset_still_has_a_tick_in_each_phase():
    assert {schedule.ticks for schedule in tiny.preset().lengthened(0.01).phases} == {1}


def test_the_baseline_is_chosen_with_a_longer_latent():
    network = PRESETS["paper"].changed(embedding=False).network
    assert (network.embedding_size, network.latent_size) == (0, 132)


def test_small_phases_compute_each_operation_on_one_thread():
    quick, paper = PRESETS["quick"], PRESETS["paper"]
    threads = [
        [preset.schedule(n).threads_per_operation(preset.network) for n in range(1, 8)] for preset in (quick, paper)
    ]
    assert threads == [[1, 1, 1, 1, None, 1, 1], [1, None, None, None, None, None, None]]


def test_precision_is_the_preset_s_unless_chosen():
    assert PRESETS["paper"].changed().precision == "float32"
    assert PRESETS["paper"].changed(precision="mixed_bfloat16").precision == "mixed_bfloat16"
