"""Commands in processes that begin as copies of one that has imported what takes seconds to import.

So a disturbance meets the command at its work, and not, as most would, while it imports TensorFlow.
"""

import atexit
import faulthandler
import importlib
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import NoReturn

from benchmarks.interrupting import run_tiny

HEAVY = ("keras", "h5py", "cv2", "pydicom", "highdicom", "imagecodecs", "matplotlib.figure", "rich.progress")


def import_what_takes_long() -> None:
    """Import what the commands import, and start nothing that a copy of the process would lack."""
    os.environ.update({"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"})
    importlib.import_module("preprocessing.tensorflow_settings").import_tensorflow_quietly()
    for name in HEAVY:
        importlib.import_module(name)


class Forked:
    """A command in a copy of this process, with a session of its own.

    Args:
        words: Name of the module in `train_scripts`, and arguments.
        limit: Largest file that it may write, in bytes. Defaults to none.
    """

    def __init__(self, words: Sequence[str], limit: int | None = None):
        self.returncode: int | None = None
        self._read, write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(words, limit, write)
        os.close(write)

    def communicate(self, timeout: float = 3600.0) -> str:
        """Return what it printed, once it and its workers have ended.

        Raises:
            TimeoutExpired: They have not.
        """
        deadline, said = time.monotonic() + timeout, b""
        while select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(self._read, 65536)
            said += part
            if not part:
                self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                os.close(self._read)
                return said.decode(errors="replace")
        raise subprocess.TimeoutExpired(str(self.pid), timeout, said)


def _run(words: Sequence[str], limit: int | None, output: int) -> NoReturn:
    """Be the command, as a shell would have started it."""
    code = 1
    try:
        os.setsid()
        for number, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
            os.dup2(descriptor, number)
        faulthandler.enable()  # says where, should it crash
        signal.signal(signal.SIGINT, signal.default_int_handler)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.orig_argv = [sys.executable, run_tiny.__file__, *words]  # by which a training starts again
        run_tiny.main(*words)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001, a user would see it
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
