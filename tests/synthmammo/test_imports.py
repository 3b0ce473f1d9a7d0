"""What a user imports from `synthmammo`, and that importing it costs nothing."""

import subprocess
import sys
from importlib import import_module

import pytest
import tiny

import synthmammo


@pytest.mark.parametrize("name", synthmammo.PLACES)
def test_name_is_that_of_its_module(name):
    found = getattr(synthmammo, name)
    assert found is getattr(import_module(synthmammo.PLACES[name]), name)
    assert found.__module__ == synthmammo.PLACES[name]
    assert name in dir(synthmammo)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'synthmammo' has no attribute 'nothing'"):
        synthmammo.nothing  # noqa: B018


def test_packages_import_neither_tensorflow_nor_numpy():
    packages = sorted(path.parent.name for path in tiny.ROOT.glob("*/__init__.py"))
    code = f"import sys, {', '.join(packages)}\n"
    code += "print([name for name in ('tensorflow', 'keras', 'numpy', 'h5py', 'cv2') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tiny.ROOT)
    assert done.stdout == "[]\n", done.stderr
