"""The import of TensorFlow, without its start-up notes; what it reads then is set in `preprocessing/__init__.py`."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def import_tensorflow_quietly() -> None:
    """Import TensorFlow without its start-up notes, and keep its later ones to errors.

    The notes are written to standard error before any setting of TensorFlow's logs is read, so standard error is held
    back meanwhile; if the import fails, what was held back is written. Nothing is hidden where the user has set
    `TF_CPP_MIN_LOG_LEVEL` to less than 3.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if "tensorflow" in sys.modules:
        return
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        import tensorflow  # noqa: F401

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with _standard_error_held_back():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextmanager
def _standard_error_held_back() -> Iterator[None]:
    """Keep what C++ and Python write to standard error (descriptor 2); write it only if an exception leaves."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
