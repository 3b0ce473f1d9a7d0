"""TensorFlow's settings are made before it is imported, and the user's own win."""

import os
import subprocess
import sys

import pytest
import tiny

PACKAGES = ["preprocessing", "training", "mask_embedding_gan", "pix2pix", "feature2mass", "evaluation"]


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    variables = {**kept, "PYTHONPATH": str(tiny.ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_switches_one_dnn_on_and_imports_nothing_heavy(package):
    done = run(f"import os, sys, {package}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'], 'tensorflow' in sys.modules)")
    assert done.stdout.split() == ["1", "False"], done.stderr


def test_a_setting_of_the_user_wins():
    done = run("import os, preprocessing; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])", TF_ENABLE_ONEDNN_OPTS="0")
    assert done.stdout.strip() == "0"


@pytest.mark.parametrize("environment", [{}, {"TF_CPP_MIN_LOG_LEVEL": "3"}], ids=["first start", "started again"])
def test_tensorflow_computes_with_one_dnn_and_starts_without_a_word(environment):
    code = (
        "from preprocessing.tensorflow_settings import import_tensorflow_quietly\n"
        "import_tensorflow_quietly()\n"
        "import tensorflow as tf\n"
        "from training.device import uses_one_dnn\n"
        "print(uses_one_dnn(), tf.constant(1.0).numpy())"
    )
    done = run(code, **environment)
    assert done.stdout.split() == ["True", "1.0"]
    assert done.stderr == ""


def test_standard_error_works_again_after_the_import():
    code = (
        "import sys\nfrom preprocessing.tensorflow_settings import import_tensorflow_quietly\n"
        "import_tensorflow_quietly()\nprint('heard', file=sys.stderr)"
    )
    assert run(code).stderr.strip() == "heard"


def test_an_import_that_fails_says_why(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'a library is missing\\n')\nraise ImportError('libcuda')\n"
    )
    code = "from preprocessing.tensorflow_settings import import_tensorflow_quietly\nimport_tensorflow_quietly()"
    done = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), str(tiny.ROOT)]))
    assert "a library is missing" in done.stderr and "ImportError: libcuda" in done.stderr
