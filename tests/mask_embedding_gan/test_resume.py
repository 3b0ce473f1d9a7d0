"""A run that is killed and started again ends in the same bytes as one that was not."""

import json
from pathlib import Path

import pytest
import tiny
from folders import without_times

RESUME = """
import json, os, signal, sys
import tensorflow as tf
import tiny
from mask_embedding_gan import train as progressive
from preprocessing.shards import open_dataset
from training.run import RunDirectory, configure_tensorflow, run_config

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
        dataset, plan = open_dataset(data), getattr(tiny, sys.argv[3])()
        run = RunDirectory(progressive.Path(folder), run_config(plan, dataset, 0))
        progressive.train(dataset, run, plan, phases)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (-signal.SIGKILL if moment else 0), (folder, moment, code)
"""


def trained_with_kills(folder: Path, dataset, moments: list[str], phases: int, plan: str) -> tuple[Path, Path]:
    """(an uninterrupted run, one killed at each moment in turn and started again with the same command)."""
    plain, killed = folder / "plain", folder / "killed"
    stages = [(str(plain), None, phases), *((str(killed), moment, phases) for moment in moments)]
    stages.append((str(killed), None, phases))
    done = tiny.run_driver(RESUME, folder, str(dataset.folder), json.dumps(stages), plan)
    assert done.returncode == 0, done.stdout + done.stderr
    return plain, killed


def assert_equal_runs(plain: Path, killed: Path, phases: int) -> None:
    for phase in range(1, phases + 1):
        file = f"phase-{phase}/generator.keras"
        assert (plain / file).read_bytes() == (killed / file).read_bytes(), file
    assert without_times(plain) == without_times(killed)


def test_a_run_killed_after_r1_began_ends_bit_identical(tmp_path, tiny_dataset):
    plain, killed = trained_with_kills(tmp_path, tiny_dataset, ["write:phase-2/checkpoint-0000000048.h5"], 2, "film")
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
    plain, killed = trained_with_kills(tmp_path, tiny_dataset, moments, 3, "preset")
    assert_equal_runs(plain, killed, 3)
