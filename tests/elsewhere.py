"""Saved networks opened where this package is not, on any backend of Keras."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

OURS = ("training", "mask_embedding_gan", "pix2pix", "feature2mass", "preprocessing")
OPENER = """
import sys

class Absent:
    # stands before every finder of modules: these cannot be imported, installed or not
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import keras, numpy
assert keras.backend.backend() == "{backend}"
inputs, outputs, *networks = sys.argv[1:]
values = list(numpy.load(inputs).values())
for network in networks:
    values = keras.models.load_model(network, safe_mode=True).predict(values, verbose=0)
numpy.save(outputs, values)
"""


def computed(backend: str, folder: Path, networks: Sequence[Path], inputs: Sequence[np.ndarray]) -> np.ndarray:
    """What the first network makes of inputs, and each next one of that, in a Python without this package.

    KERAS_JAX_PYTHON may name an interpreter that has Keras and JAX and nothing else of ours.
    """
    python = os.environ.get("KERAS_JAX_PYTHON", sys.executable) if backend == "jax" else sys.executable
    if backend == "jax" and subprocess.run([python, "-I", "-c", "import jax"], capture_output=True).returncode:
        pytest.skip("JAX is not installed; KERAS_JAX_PYTHON may name an interpreter that has it")
    np.savez(folder / "inputs.npz", *inputs)
    script = folder / "open.py"
    script.write_text(OPENER.format(backend=backend, absent=(*OURS, "tensorflow") if backend == "jax" else OURS))
    paths = [folder / "inputs.npz", folder / "outputs.npy", *networks]
    variables = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-I", str(script), *map(str, paths)]
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "outputs.npy")
