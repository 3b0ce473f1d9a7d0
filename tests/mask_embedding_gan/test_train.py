"""Training from phase to phase: what a run leaves, how it goes on after a kill, and on several replicas."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from folders import contents, quiet, records, without_times

from mask_embedding_gan import train as progressive
from mask_embedding_gan.generator import finished_generator
from mask_embedding_gan.handover import begin_with, save_networks
from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.train import PhaseTraining, WindowsTraining, run_config, train
from mask_embedding_gan.train_step import LOSS_NAMES
from training.checkpoint import checkpoints, restore_checkpoint
from training.run import NonFiniteLossError, RunDirectory, RunError
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


# --- what a run leaves --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [1, 2])
def test_each_phase_leaves_a_generator(tiny_run, phase):
    model = keras.models.load_model(tiny_run.stage(f"phase-{phase}").generator, safe_mode=True)
    assert model.output_shape == (None, 4 * 2**phase, 2 * 2**phase, 1)


def test_the_last_two_checkpoints_of_each_phase_are_kept(tiny_run):
    assert [path.name for path in checkpoints(tiny_run.stage("phase-2").folder)] == [
        "checkpoint-0000000048.h5",
        "checkpoint-0000000032.h5",
    ]


def test_a_line_is_logged_at_every_tick(tiny_run):
    positions = [(record["phase"], record["images_seen"]) for record in records(tiny_run.path)]
    assert positions == [(1, 16), (1, 32), (1, 48), (2, 16), (2, 32), (2, 48)]


def test_logged_alpha_is_that_of_the_images_seen(tiny_run):
    schedule = tiny.preset().schedule(2)
    for record in records(tiny_run.path)[3:]:
        assert record["alpha"] == pytest.approx(float(schedule.alpha(record["images_seen"])))


def test_every_loss_is_logged(tiny_run):
    for record in records(tiny_run.path):
        assert all(np.isfinite(record[name]) for name in LOSS_NAMES)


def test_samples_are_a_row_of_mask_real_and_four_fakes_for_each_of_four_masks(tiny_run):
    sheet = cv2.imread(str(tiny_run.stage("phase-2").folder / "samples-0000000048.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (4 * 16 + 3 * 2, 6 * 8 + 5 * 2)
    masks = np.concatenate([sheet[row * 18 : row * 18 + 16, :8] for row in range(4)])
    assert set(np.unique(masks)) == {0, 255}


def test_the_same_masks_are_drawn_at_every_tick(tiny_run):
    sheets = [cv2.imread(str(path)) for path in sorted(tiny_run.stage("phase-2").folder.glob("samples-*.png"))]
    assert len(sheets) == 3
    for sheet in sheets[1:]:
        np.testing.assert_array_equal(sheet[:, :18], sheets[0][:, :18])


def test_nothing_half_written_is_left(tiny_run):
    assert not [path for path in tiny_run.path.rglob("*") if path.suffix == ".partial" or "draft" in path.name]


def test_the_generator_is_the_moving_average_at_the_last_checkpoint(tiny_run):
    """Loaded by plain Keras, in safe mode, against the network that was trained."""
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    _, masks, latents = tiny.inputs(2)
    wanted = np.clip(model.ema_generator([masks, latents, np.ones(1, np.float32)]), 0, 1)
    loaded = keras.models.load_model(tiny_run.stage("phase-2").generator, safe_mode=True)
    np.testing.assert_allclose(loaded([masks, latents]), wanted, atol=1e-5)


def test_the_moving_average_is_not_the_generator(tiny_run):
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    pairs = zip(model.generator.trainable_weights, model.ema_generator.weights)
    assert any(not np.array_equal(a, b) for a, b in pairs)


LOADER = """
import sys

class Absent:
    # stands before every finder of modules: these cannot be imported, installed or not
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("training", "mask_embedding_gan", "preprocessing", {absent}):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import keras, numpy
assert keras.backend.backend() == "{backend}"
model = keras.models.load_model(sys.argv[1], safe_mode=True)
data = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model.predict([data["masks"], data["latents"]], verbose=0))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_generator_opens_where_this_package_is_not(tmp_path, tiny_run, backend):
    """KERAS_JAX_PYTHON may name an interpreter that has Keras and JAX and nothing else of ours."""
    python = os.environ.get("KERAS_JAX_PYTHON", sys.executable) if backend == "jax" else sys.executable
    if backend == "jax" and subprocess.run([python, "-I", "-c", "import jax"], capture_output=True).returncode:
        pytest.skip("JAX is not installed; KERAS_JAX_PYTHON may name an interpreter that has it")
    _, masks, latents = tiny.inputs(2)
    np.savez(tmp_path / "inputs.npz", masks=masks, latents=latents)
    script = tmp_path / "load.py"
    script.write_text(LOADER.format(backend=backend, absent='"tensorflow"' if backend == "jax" else ""))
    paths = [tiny_run.stage("phase-2").generator, tmp_path / "inputs.npz", tmp_path / "images.npy"]
    variables = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, "-I", str(script), *map(str, paths)], env=variables, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    model = compiled(build_players(tiny.NETWORK, 2, 0), tiny.preset(), 2, 0)
    restore_checkpoint(checkpoints(tiny_run.stage("phase-2").folder)[0], model)
    wanted = np.clip(model.ema_generator([masks, latents, np.ones(1, np.float32)]), 0, 1)
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), wanted, atol=1e-5)


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


# --- exact resume -------------------------------------------------------------------------------

RESUME = """
import json, os, signal, sys
import tensorflow as tf
import tiny
from mask_embedding_gan import train as progressive
from preprocessing.shards import open_dataset
from training.run import RunDirectory, configure_tensorflow

data, stages = sys.argv[1], json.loads(sys.argv[2])

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def kill_in_a_write(name):
    replace = os.replace
    def until(source, target):
        kill() if str(target).endswith(name) else replace(source, target)
    os.replace = until

def kill_while_reading(name):
    height, number = map(int, name.split("/"))
    reader = progressive.mammogram_batches
    def until(dataset, split, rows, *arguments, **options):
        def look(count):
            if rows == height and count >= number:
                kill()
            return count
        def seen(count, batch):
            with tf.control_dependencies([tf.numpy_function(look, [count], tf.int64)]):
                return {name: tf.identity(value) for name, value in batch.items()}
        return reader(dataset, split, rows, *arguments, **options).enumerate().map(seen)
    progressive.mammogram_batches = until

for folder, moment, phases in stages:
    child = os.fork()  # TensorFlow is imported, not yet started
    if child == 0:
        if moment:
            how, name = moment.split(":")
            {"write": kill_in_a_write, "read": kill_while_reading}[how](name)
        configure_tensorflow()
        dataset, plan = open_dataset(data), tiny.preset()
        run = RunDirectory(progressive.Path(folder), progressive.run_config(plan, dataset, 0))
        progressive.train(dataset, run, plan, phases)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (-signal.SIGKILL if moment else 0), (folder, moment, code)
"""


def trained_with_kills(folder: Path, dataset, moments: list[str], phases: int) -> tuple[Path, Path]:
    """(an uninterrupted run, one killed at each moment in turn and started again with the same command)."""
    plain, killed = folder / "plain", folder / "killed"
    stages = [(str(plain), None, phases), *((str(killed), moment, phases) for moment in moments)]
    done = tiny.run_driver(RESUME, folder, str(dataset.folder), json.dumps([*stages, (str(killed), None, phases)]))
    assert done.returncode == 0, done.stdout + done.stderr
    return plain, killed


def assert_equal_runs(plain: Path, killed: Path, phases: int) -> None:
    for phase in range(1, phases + 1):
        file = f"phase-{phase}/generator.keras"
        assert (plain / file).read_bytes() == (killed / file).read_bytes(), file
    assert without_times(plain) == without_times(killed)


def test_a_run_killed_in_a_fade_in_while_it_wrote_a_checkpoint_ends_bit_identical(tmp_path, tiny_dataset):
    plain, killed = trained_with_kills(tmp_path, tiny_dataset, ["write:phase-2/checkpoint-0000000032.h5"], 2)
    assert_equal_runs(plain, killed, 2)


@pytest.mark.slow
def test_a_run_killed_at_six_moments_ends_bit_identical(tmp_path, tiny_dataset):
    moments = [
        "read:8/3",  # in phase 1, within its first tick or second
        "write:phase-1/generator.keras",
        "write:phase-2/checkpoint-0000000016.h5",  # the first of a phase, in its fade-in
        "read:16/5",  # in the fade-in of phase 2
        "write:phase-3/checkpoint-0000000048.h5",
        "write:phase-3/generator.keras",
    ]
    plain, killed = trained_with_kills(tmp_path, tiny_dataset, moments, 3)
    assert_equal_runs(plain, killed, 3)


# --- replicas -----------------------------------------------------------------------------------

REPLICAS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import tensorflow as tf
import tiny
from mask_embedding_gan import train as progressive
from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.train import run_config, train
from mask_embedding_gan.schedule import Diversity
from preprocessing.batches import mammogram_batches
from preprocessing.shards import open_dataset
from training.checkpoint import checkpoints, restore_checkpoint, save_checkpoint
from training.run import NonFiniteLossError, RunDirectory, choose_strategy, configure_tensorflow

configure_tensorflow()
two = choose_strategy(2)
one = tf.distribute.get_strategy()
dataset = open_dataset(sys.argv[1])
folder = Path(sys.argv[2])
schedule = replace(
    tiny.preset().schedule(2), batch=8, fade_in_images=80, stable_images=80, ticks=2, ema_half_life_images=40.0
)
result = {"replicas": two.num_replicas_in_sync}

preset = tiny.preset(phases=(replace(schedule, phase=1), schedule), diversity=Diversity(weight=1.0, share=3.0))

def made(strategy):
    with strategy.scope():
        return compiled(build_players(tiny.NETWORK, 2, 0), preset, 2, 0)

def fit(model, first_step, steps):
    batches = mammogram_batches(dataset, "train", 16, 8, 8, seed=0, first_image=8 * first_step)
    history = model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False).history
    return {name: values[0] for name, values in history.items()}

def weights(model):
    players = {name: getattr(model, name) for name in ("generator", "discriminator", "ema_generator")}
    return {name: [np.array(weight) for weight in player.weights] for name, player in players.items()}

def difference(a, b):
    # largest of all tensors' ‖a − b‖ / ‖a‖, by player
    return {
        player: max(
            float(np.linalg.norm(x - y) / max(np.linalg.norm(x), 1e-30)) for x, y in zip(a[player], b[player])
        )
        for player in a
    }

# 1) twenty steps, ten of them fading in
single, double = made(one), made(two)
start = weights(single)
losses = [fit(single, 0, 10), fit(double, 0, 10)]
stopped = save_checkpoint(folder / "stopped", single, {})
fit(single, 10, 10), fit(double, 10, 10)
result["losses"] = losses
result["moved"] = difference(weights(single), start)
result["difference"] = difference(weights(single), weights(double))

# 2) ten steps on one replica, then ten on two
restore_checkpoint(stopped, double)
result["resumed_iterations"] = [
    int(np.asarray(o.iterations)) for o in (double.discriminator_optimizer, double.generator_optimizer)
]
fit(double, 10, 10)
result["resumed_difference"] = difference(weights(single), weights(double))

# 3) growth, and then a NaN that only the second replica sees, in the fourteenth batch of phase 2
def planted(data, split, height, *arguments, **options):
    def plant(number, batch):
        bad = tf.reshape(tf.repeat([1.0, np.nan], 4), (8, 1, 1, 1))
        return {**batch, "image": tf.where(height == 16 and number == 13, bad, 1.0) * batch["image"]}
    return mammogram_batches(data, split, height, *arguments, **options).enumerate().map(plant)

progressive.mammogram_batches = planted
first = replace(schedule, phase=1, fade_in_images=0, ticks=1)
preset = tiny.preset(phases=(first, schedule))
run = RunDirectory(folder / "planted", run_config(preset, dataset, 0))
try:
    train(dataset, run, preset, 2, strategy=two)
except NonFiniteLossError as error:
    result["stopped"] = str(error)
result["grown"] = run.stage("phase-1").generator.exists()
result["kept"] = [path.name for path in checkpoints(run.stage("phase-2").folder)]
(folder / "result.json").write_text(json.dumps(result))
"""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, tiny_dataset) -> dict:
    """What one and two replicas made of the same global batches, from one process of its own."""
    folder = tmp_path_factory.mktemp("replicas")
    done = tiny.run_driver(REPLICAS, folder, str(tiny_dataset.folder), str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["replicas"] == 2
    return result


PLAYERS = pytest.mark.parametrize("player", ["generator", "discriminator", "ema_generator"])


@PLAYERS
def test_two_replicas_train_the_same_weights_as_one(replicas, player):
    """Twenty steps, the first ten fading in, with every term of the losses."""
    assert replicas["moved"][player] > 1e-3
    assert replicas["difference"][player] < 1e-5


def test_two_replicas_report_the_losses_of_one(replicas):
    one, two = replicas["losses"]
    assert one.keys() == two.keys() == set(LOSS_NAMES)
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name


@PLAYERS
def test_a_run_stopped_on_one_replica_goes_on_with_two(replicas, player):
    assert replicas["resumed_iterations"] == [10, 10]
    assert replicas["resumed_difference"][player] < 1e-5


def test_a_nan_on_the_second_replica_stops_the_run(replicas):
    assert "phase 2: " in replicas["stopped"] and "between steps 10 and 20" in replicas["stopped"]


def test_a_nan_on_the_second_replica_keeps_the_checkpoint_before_it(replicas):
    assert replicas["grown"] and replicas["kept"] == ["checkpoint-0000000080.h5"]
