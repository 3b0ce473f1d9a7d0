"""Training from phase to phase: what each starts from, and how a run goes on after a kill."""

import os
import shutil
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from folders import contents, quiet, without_times

from mask_embedding_gan import spectrum
from mask_embedding_gan import train as progressive
from mask_embedding_gan.generator import finished_generator
from mask_embedding_gan.handover import begin_with, save_networks
from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.presets import PRESETS
from mask_embedding_gan.train import PhaseTraining, WindowsTraining, phases_left, train
from preprocessing.shards import DataError
from training.checkpoint import checkpoints
from training.device import ALL_CORES
from training.export import open_model
from training.run import NonFiniteLossError, RunDirectory, RunError, run_config
from training.trainer import resumed


@pytest.fixture
def copied_run(tmp_path, tiny_run, tiny_dataset) -> RunDirectory:
    """A copy of the tiny run, to be damaged."""
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run", run_config(tiny.preset(), tiny_dataset, 0))


@pytest.fixture(scope="module")
def film_run(tmp_path_factory, tiny_dataset) -> RunDirectory:
    """Three phases with the additions of the preset `film`, the third on windows."""
    run = RunDirectory(tmp_path_factory.mktemp("film") / "run", run_config(tiny.film(), tiny_dataset, 0))
    train(tiny_dataset, run, tiny.film(), 3, echo=quiet)
    return run


# --- the filter of a finished generator ---------------------------------------------------------


def finished_film(film_run, tiny_dataset, monkeypatch, level_spectrum: bool, echo=quiet) -> keras.Model:
    """The generator of phase 3, as a preset with or without the filter leaves it."""
    monkeypatch.setattr(progressive, "LEVELLED_FROM", 3)
    preset = replace(tiny.film(), level_spectrum=level_spectrum)
    training = WindowsTraining(tiny_dataset, film_run, preset, 3, 0, echo)
    return training.finished(resumed(training))[film_run.stage("phase-3").generator]


def test_a_preset_with_the_filter_leaves_a_generator_that_has_it(film_run, tiny_dataset, monkeypatch):
    monkeypatch.setattr(spectrum, "window_size", lambda height: 8)
    monkeypatch.setattr(spectrum, "LEAST_WINDOWS", 1)
    monkeypatch.setattr(spectrum, "FILTER", 5)
    names = [layer.name for layer in finished_film(film_run, tiny_dataset, monkeypatch, True).layers]
    assert "image_levelled" in names
    assert "image_levelled" not in [
        layer.name for layer in finished_film(film_run, tiny_dataset, monkeypatch, False).layers
    ]


def test_windows_build_on_a_level_that_has_a_filter_of_its_own(film_run, tiny_dataset, monkeypatch):
    monkeypatch.setattr(spectrum, "window_size", lambda height: 4)
    monkeypatch.setattr(spectrum, "LEAST_WINDOWS", 1)
    monkeypatch.setattr(spectrum, "FILTER", 3)
    training = PhaseTraining(tiny_dataset, film_run, tiny.film(), 2, 0, quiet)
    generator = training.finished(resumed(training))[film_run.stage("phase-2").generator]
    taps = generator.get_layer("image_2_levelled").get_weights()[0][..., 0, 0]
    assert taps.sum() == pytest.approx(1)
    assert taps.shape == (3, 3)
    assert taps[1, 1] != pytest.approx(1, abs=0.01)


def test_a_level_without_room_for_windows_has_a_filter_that_changes_nothing(film_run):
    generator = open_model(film_run.stage("phase-3").generator)
    taps = generator.get_layer("image_2_levelled").get_weights()[0][..., 0, 0]
    np.testing.assert_array_equal(taps, spectrum.IDENTITY)


def test_windows_on_a_level_without_the_filter_that_they_need_are_refused(film_run, tiny_dataset, tmp_path):
    run, network = RunDirectory(tmp_path / "run", film_run.recorded), replace(tiny.film().network, levelled=False)
    before = finished_generator(build_players(network, 2, 0).ema_generator, network, 2)
    file = run.stage("phase-2").generator
    file.parent.mkdir(parents=True)
    before.save(file)
    with pytest.raises(RunError, match=r"phase-2/generator.keras: was trained without levelled; give --without levell"):
        WindowsTraining(tiny_dataset, run, tiny.film(), 3, 0, quiet).build()


def test_breasts_without_room_for_windows_are_said_and_the_generator_is_saved(film_run, tiny_dataset, monkeypatch):
    lines: list[str] = []
    generator = finished_film(film_run, tiny_dataset, monkeypatch, True, lines.append)
    assert generator.output_shape == (None, 32, 16, 1)
    assert lines == [
        "phase 3: no breast has room for 8 windows of 16×16 pixels, so the generator gets no filter that levels its "
        "spectrum"
    ]


# --- which phase starts from what ---------------------------------------------------------------


def test_a_finished_run_is_left_alone(tiny_run, tiny_dataset):
    before = contents(tiny_run.path)
    assert train(tiny_dataset, tiny_run, tiny.preset(), 2, echo=quiet) == []
    assert contents(tiny_run.path) == before


def test_a_phase_starts_from_its_own_newest_checkpoint(tiny_run):
    model = resumed(PhaseTraining(None, tiny_run, tiny.preset(), 2, 0))
    assert model.images_seen == 48 and int(model.iterations) == 12


def test_a_phase_without_a_checkpoint_grows_from_the_one_before(tiny_run):
    model = resumed(PhaseTraining(None, tiny_run, tiny.preset(), 3, 0))
    before = resumed(PhaseTraining(None, tiny_run, tiny.preset(), 2, 0))
    assert model.images_seen == 0
    for player in ("generator", "discriminator", "ema_generator"):
        old, new = (getattr(m, player).get_layer(name) for m, name in zip((before, model), kept_layers(player)))
        for a, b in zip(old.get_weights(), new.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def kept_layers(player: str) -> tuple[str, str]:
    return ("critic_1", "critic_1") if player == "discriminator" else ("latent_2", "latent_2")


def test_growing_starts_both_optimizers_anew(tiny_run):
    model = resumed(PhaseTraining(None, tiny_run, tiny.preset(), 3, 0))
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert not any(np.any(variable) for variable in optimizer.variables if "velocity" in variable.path)


def test_a_complete_phase_without_its_checkpoint_says_what_to_do(copied_run, tiny_dataset):
    for checkpoint in checkpoints(copied_run.stage("phase-2").folder):
        checkpoint.unlink()
    with pytest.raises(
        RunError, match=f"phase 2 is complete but its checkpoint is gone; remove {copied_run.stage('phase-2').folder}"
    ):
        train(tiny_dataset, copied_run, tiny.preset(), 3, echo=quiet)


def test_a_complete_phase_whose_checkpoint_is_damaged_says_what_to_do(copied_run, tiny_dataset):
    second = copied_run.stage("phase-2")
    checkpoint = checkpoints(second.folder)[0]
    checkpoint.write_bytes(b"")
    with pytest.raises(RunError, match=f"{checkpoint}: is damaged.*; delete it and {second.generator} to train"):
        train(tiny_dataset, copied_run, tiny.preset(), 3, echo=quiet)


def test_a_phase_killed_before_its_generator_was_saved_only_saves_it(copied_run, tiny_run, tiny_dataset):
    copied_run.stage("phase-2").generator.unlink()
    assert train(tiny_dataset, copied_run, tiny.preset(), 2, echo=quiet) == [copied_run.stage("phase-2").generator]
    assert copied_run.stage("phase-2").generator.read_bytes() == tiny_run.stage("phase-2").generator.read_bytes()


def test_a_phase_on_windows_killed_half_way_ends_bit_identical(tmp_path, film_run, tiny_dataset):
    shutil.copytree(film_run.path, tmp_path / "run")
    run = RunDirectory(tmp_path / "run", film_run.config)
    run.stage("phase-3").generator.unlink()
    checkpoints(run.stage("phase-3").folder)[0].unlink()
    lines = []
    train(tiny_dataset, run, tiny.film(), 3, echo=lines.append)
    assert lines[0] == "phase 3: continues from its checkpoint at 32 images"
    assert run.stage("phase-3").generator.read_bytes() == film_run.stage("phase-3").generator.read_bytes()
    assert (
        checkpoints(run.stage("phase-3").folder)[0].read_bytes()
        == checkpoints(film_run.stage("phase-3").folder)[0].read_bytes()
    )


def test_a_phase_on_windows_learns_its_block_and_keeps_the_rest(film_run):
    before, after = (keras.models.load_model(film_run.stage(f"phase-{phase}").generator) for phase in (2, 3))
    for layer in before.layers:
        for old, new in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(old, new), layer.name
    assert np.any(after.get_layer("to_image_3").get_weights()[0])


def test_the_critic_of_the_first_phase_on_windows_is_that_of_the_last_on_whole_images(film_run, tmp_path):
    shutil.copytree(film_run.path, tmp_path / "run")
    run = RunDirectory(tmp_path / "run", film_run.config)
    for checkpoint in checkpoints(run.stage("phase-3").folder):
        checkpoint.unlink()
    model = resumed(WindowsTraining(None, run, tiny.film(), 3, 0))
    before = resumed(PhaseTraining(None, run, tiny.film(), 2, 0))
    assert model.images_seen == 0
    for a, b in zip(model.discriminator.get_weights(), before.discriminator.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("phase", [2, 3], ids=["whole images", "windows"])
def test_a_run_begins_with_the_networks_of_another(tmp_path, film_run, tiny_dataset, phase):
    """Saved at the second tick of a phase, continued at the third, without the phases before."""
    shutil.copytree(film_run.path, tmp_path / "old")
    old = RunDirectory(tmp_path / "old", film_run.config)
    for later in range(phase, 4):
        old.stage(f"phase-{later}").generator.unlink()
        for checkpoint in checkpoints(old.stage(f"phase-{later}").folder)[: 1 if later == phase else None]:
            checkpoint.unlink()
    assert save_networks(old.path, tmp_path / "networks.h5")["phase"] == phase
    run = RunDirectory(tmp_path / "new", film_run.config)
    begin_with(run, tiny.film(), tmp_path / "networks.h5")
    lines = []
    assert train(tiny_dataset, run, tiny.film(), phase, echo=lines.append) == [run.stage(f"phase-{phase}").generator]
    assert lines[0] == f"phase {phase}: continues from its checkpoint at 32 images"
    assert not run.stage("phase-1").folder.exists()
    for a, b in zip(
        *(keras.models.load_model(one.stage(f"phase-{phase}").generator).get_weights() for one in (run, film_run))
    ):
        np.testing.assert_allclose(a, b, atol=0.05)


def test_a_run_that_has_begun_is_left_alone(film_run, tmp_path):
    save_networks(film_run.path, tmp_path / "networks.h5")
    before = contents(film_run.path)
    begin_with(film_run, tiny.film(), tmp_path / "networks.h5")
    assert contents(film_run.path) == before


@pytest.mark.parametrize("written", [1, 2])
def test_a_start_that_a_kill_interrupts_begins_again(film_run, tmp_path, monkeypatch, written):
    """Of three files only so many are written, then the same start is made again."""
    save_networks(film_run.path, tmp_path / "networks.h5")
    runs = [RunDirectory(tmp_path / name, film_run.config) for name in ("whole", "killed")]
    begin_with(runs[0], tiny.film(), tmp_path / "networks.h5")
    replace_file, left = os.replace, iter(range(written))

    def killed(*paths):
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace_file(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        begin_with(runs[1], tiny.film(), tmp_path / "networks.h5")
    monkeypatch.undo()
    with pytest.raises(RunError, match=f"{runs[1].path}: its networks of phase 3 are missing; give --networks again"):
        phases_left(runs[1], tiny.film(), 3)
    begin_with(runs[1], tiny.film(), tmp_path / "networks.h5")
    for name in ("begun.json", "phase-2/generator.keras", "phase-3/checkpoint-0000000048.h5"):
        assert (runs[1].path / name).read_bytes() == (runs[0].path / name).read_bytes()


def test_a_phase_before_that_which_a_run_began_with_is_refused(film_run, tmp_path, tiny_dataset):
    save_networks(film_run.path, tmp_path / "networks.h5")
    run = RunDirectory(tmp_path / "run", film_run.config)
    begin_with(run, tiny.film(), tmp_path / "networks.h5")
    with pytest.raises(RunError, match=f"--phase 2: {run.path} begins with phase 3; give --phase 3 or higher"):
        train(tiny_dataset, run, tiny.film(), 2, echo=quiet)


def test_a_level_that_the_dataset_lacks_is_noticed_before_the_first_phase_is_trained(tmp_path, tiny_dataset):
    run = RunDirectory(tmp_path / "run", run_config(tiny.preset(), tiny_dataset, 0))
    with pytest.raises(DataError, match="has no 64x32 images, only 8x4, 16x8, 32x16"):
        train(tiny_dataset, run, tiny.preset(), 4, echo=quiet)
    assert not list(run.path.glob("phase-*"))


def test_networks_without_the_generator_that_they_build_on_are_not_saved(film_run, tmp_path):
    shutil.copytree(film_run.path, tmp_path / "run")
    missing = tmp_path / "run" / "phase-2" / "generator.keras"
    missing.unlink()
    with pytest.raises(RunError, match=f"{missing}: is missing, and phase 3 builds on it; restore it"):
        save_networks(tmp_path / "run", tmp_path / "networks.h5")


def test_networks_of_a_longer_phase_are_refused(film_run, tmp_path):
    save_networks(film_run.path, tmp_path / "networks.h5")
    run = RunDirectory(tmp_path / "run", film_run.config)
    with pytest.raises(RunError, match="has seen 48 images of phase 3, which takes 32 here"):
        begin_with(run, tiny.film().lengthened(0.5), tmp_path / "networks.h5")
    assert not run.stage("phase-3").folder.exists()


def test_a_folder_without_a_checkpoint_has_no_networks_to_save(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint"):
        save_networks(tmp_path, tmp_path / "networks.h5")


def test_a_resumed_phase_says_so(copied_run, tiny_dataset):
    copied_run.stage("phase-2").generator.unlink()
    lines = []
    train(tiny_dataset, copied_run, tiny.preset(), 2, echo=lines.append)
    assert lines == ["phase 2: continues from its checkpoint at 48 images"]


def test_a_phase_killed_before_its_first_checkpoint_is_logged_once(copied_run, tiny_run, tiny_dataset):
    for path in [copied_run.stage("phase-2").generator, *checkpoints(copied_run.stage("phase-2").folder)]:
        path.unlink()
    train(tiny_dataset, copied_run, tiny.preset(), 2, echo=quiet)
    assert without_times(copied_run.path) == without_times(tiny_run.path)
    assert copied_run.stage("phase-2").generator.read_bytes() == tiny_run.stage("phase-2").generator.read_bytes()


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path, tiny_dataset):
    preset = tiny.preset(phases=tuple(replace(schedule, batch=6) for schedule in tiny.preset().phases))
    run = RunDirectory(tmp_path, run_config(preset, tiny_dataset, 0))
    with pytest.raises(RunError, match="phase 1: a batch of 6 cannot be shared by 1 devices in groups of 4"):
        train(tiny_dataset, run, preset, 1, echo=quiet)


def test_settings_that_decide_the_result_are_in_the_run_s_config(tiny_dataset):
    base = run_config(tiny.preset(), tiny_dataset, 0)
    assert base != run_config(tiny.preset(), tiny_dataset, 1)
    assert base != run_config(tiny.preset(jitter=False), tiny_dataset, 0)
    assert base != run_config(tiny.preset(network=tiny.NETWORK.without_embedding()), tiny_dataset, 0)


def test_the_baseline_trains_through_a_growth(tmp_path, tiny_dataset):
    short = tuple(replace(schedule, ticks=1) for schedule in tiny.preset().phases)
    preset = tiny.preset(network=tiny.NETWORK.without_embedding(), phases=short)
    run = RunDirectory(tmp_path, run_config(preset, tiny_dataset, 0))
    train(tiny_dataset, run, preset, 2, echo=quiet)
    assert keras.models.load_model(run.stage("phase-2").generator).input_shape[1] == (None, 6 + 4)


def test_bfloat16_trains_through_a_growth_and_saves_float32(tmp_path, tiny_dataset):
    short = tuple(replace(schedule, ticks=1) for schedule in tiny.preset().phases)
    preset = tiny.preset(precision="mixed_bfloat16", phases=short)
    run = RunDirectory(tmp_path, run_config(preset, tiny_dataset, 0))
    train(tiny_dataset, run, preset, 2, echo=quiet)
    loaded = keras.models.load_model(run.stage("phase-2").generator)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    assert {str(weight.dtype) for weight in loaded.weights} == {"float32"}


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_good(copied_run, tiny_dataset, monkeypatch):
    """Phase 3's fifth batch holds a NaN: its first tick of four steps is kept, its second is not."""
    reader = progressive.mammogram_batches

    def planted(*arguments, **options):
        def plant(number, batch):
            return {**batch, "image": tf.where(number == 4, np.nan, 1.0) * batch["image"]}

        return reader(*arguments, **options).enumerate().map(plant)

    monkeypatch.setattr(progressive, "mammogram_batches", planted)
    before = contents(copied_run.stage("phase-2").folder)
    with pytest.raises(NonFiniteLossError, match="phase 3: .* between steps 4 and 8"):
        train(tiny_dataset, copied_run, tiny.preset(), 3, echo=quiet)
    assert [path.name for path in checkpoints(copied_run.stage("phase-3").folder)] == ["checkpoint-0000000016.h5"]
    assert contents(copied_run.stage("phase-2").folder) == before
    assert not copied_run.stage("phase-3").generator.exists()


def test_finished_generators_of_a_phase_do_not_depend_on_fading(tiny_run):
    """What is saved is the network at alpha 1, wherever the fade-in stood."""
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    _, masks, latents = tiny.inputs(2)
    wanted = model.ema_generator([masks, latents, np.ones(1, np.float32)])
    finished = finished_generator(model.ema_generator, tiny.NETWORK, 2)
    np.testing.assert_allclose(finished([masks, latents]), np.clip(wanted, 0, 1), atol=1e-5)


@pytest.mark.parametrize(("finished", "last", "threads"), [(0, 4, 1), (4, 5, ALL_CORES), (5, 7, 1)])
def test_a_process_trains_the_phases_that_want_the_same_threads(tmp_path, monkeypatch, finished, last, threads):
    """Of `quick` all but phase 5 want one per operation: a run that a kill interrupts anywhere keeps its numbers."""
    run, asked = RunDirectory(tmp_path, {"preset": asdict(PRESETS["quick"])}), []
    for phase in range(1, finished + 1):
        run.stage(f"phase-{phase}").folder.mkdir()
        run.stage(f"phase-{phase}").generator.touch()
    monkeypatch.setattr(progressive, "limit_threads", lambda count: asked.append(count) or True)
    strategy = tf.distribute.get_strategy()
    assert progressive.last_phase_with_these_threads(run, PRESETS["quick"], 7, strategy) == last
    assert asked == [threads]
