"""The device and precision of a training, chosen from the hardware and printed in one line.

training on: 2 CPU cores, float32, oneDNN (this CPU has neither AVX512-BF16 nor AMX)
"""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from preprocessing.json_file import read_json

PRECISIONS = ("float32", "mixed_bfloat16")
CPU_FLAGS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "the Arm BF16 extension"}
GPU_CAPABILITY = (8, 0)  # NVIDIA's compute capability from which on bfloat16 is computed, not emulated
STARTS = "starts.jsonl"
ALL_CORES = 0  # threads per operation, as TensorFlow says it


@dataclass(frozen=True)
class Device:
    """Where a training runs.

    Attributes:
        name: e.g. "2 CPU cores" or "2 × NVIDIA A100".
        precision: "float32" or "mixed_bfloat16", the policy of the hidden layers.
        reason: why that precision.
        one_dnn: whether TensorFlow computes with oneDNN; None on GPUs.
        unused_gpu: why a GPU that is present is not used; empty if there is none or it is used.
    """

    name: str
    precision: str
    reason: str
    one_dnn: bool | None = None
    unused_gpu: str = ""

    def lines(self) -> list[str]:
        """Return what a command prints first."""
        one_dnn = {True: ", oneDNN", False: ", without oneDNN", None: ""}[self.one_dnn]
        said = [f"training on: {self.name}, {self.precision}{one_dnn} ({self.reason})"]
        return said + ([f"warning: {self.unused_gpu}"] if self.unused_gpu else [])

    def record(self, run_folder: Path) -> None:
        """Append one line about this start of a run to its `starts.jsonl`: the device, the precision, versions."""
        versions = {name: version(name) for name in ("tensorflow", "keras", "numpy")}
        line = {**asdict(self), "cpu": cpu_model(), "python": platform.python_version(), **versions}
        with open(run_folder / STARTS, "a") as file:
            file.write(json.dumps(line) + "\n")


def choose_device(precision: str = "auto", run_folder: Path | None = None) -> Device:
    """Find the device that TensorFlow has, and choose the precision to train in.

    Args:
        precision: "float32", "mixed_bfloat16", or "auto": that of the run if it has begun, else bfloat16 where the
            hardware computes in it, else float32.
        run_folder: of the run, which may have begun already.
    """
    gpus = tf.config.list_physical_devices("GPU")
    computes, why = _bfloat16_of_gpus(gpus) if gpus else _bfloat16_of_cpu()
    begun = _recorded_precision(run_folder) if run_folder else None
    if precision != "auto":
        reason = "--precision"
    elif begun:
        slow = begun == "mixed_bfloat16" and not computes
        precision, reason = begun, "as this run began" + (f", slow here: {why}" if slow else "")
    else:
        precision, reason = PRECISIONS[computes], why
    return Device(
        name=_name_of_gpus(gpus) if gpus else _cores(),
        precision=precision,
        reason=reason,
        one_dnn=None if gpus else uses_one_dnn(),
        unused_gpu="" if gpus else _unused_gpu(),
    )


def limit_threads(threads: int) -> bool:
    """Set the number of threads on which this process's TensorFlow computes each operation.

    Args:
        threads: 1 or more, or `ALL_CORES`.

    Returns:
        False if that is not ours to decide (the user has set `TF_NUM_INTRAOP_THREADS`, or there are GPUs) or it is too
        late (TensorFlow has computed something already).
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ or tf.config.list_physical_devices("GPU"):
        return False
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        return False
    return True


def uses_one_dnn() -> bool:
    """Tell whether this process's TensorFlow computes with oneDNN; it decides once, when it is imported."""
    try:
        from tensorflow.python.util import _pywrap_util_port

        return bool(_pywrap_util_port.IsMklEnabled())
    except (ImportError, AttributeError):  # not a public name
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"


def cpu_flags() -> frozenset[str]:
    """Return the instruction sets of the CPU as Linux names them; empty elsewhere."""
    return frozenset(_cpuinfo("flags", "Features").split())


def cpu_model() -> str:
    """Return the name of the CPU."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*names: str) -> str:
    """The first value of one of these names in /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() in names), "")


def _cores() -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{count} CPU core" + ("s" if count > 1 else "")


def _name_of_gpus(gpus: list) -> str:
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return name if len(gpus) == 1 else f"{len(gpus)} × {name}"


def _bfloat16_of_cpu() -> tuple[bool, str]:
    """(whether the CPU computes in bfloat16, why)."""
    flags = cpu_flags()
    found = [name for flag, name in CPU_FLAGS.items() if flag in flags]
    if not found:
        return False, "this CPU has neither AVX512-BF16 nor AMX"
    if not uses_one_dnn():
        return False, "oneDNN is off, and only oneDNN computes in bfloat16"
    if "avx512_fp16" in flags and "amx_bf16" not in flags:
        # Sapphire Rapids and later under a hypervisor that hides AMX: half of float32's FLOP/s were measured (ours)
        return False, "without AMX, AVX512-BF16 is slower than float32 on this CPU"
    return True, f"this CPU computes in bfloat16: {' and '.join(found)}"


def _bfloat16_of_gpus(gpus: list) -> tuple[bool, str]:
    """(whether every GPU computes in bfloat16, why)."""
    weakest = min(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
    computes, what = weakest >= GPU_CAPABILITY, f"compute capability {weakest[0]}.{weakest[1]}"
    return computes, what if computes else f"{what} has no bfloat16"


def _unused_gpu() -> str:
    """Why a GPU that the operating system shows is not used by TensorFlow; empty where there is none."""
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        return ""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "a GPU is present but CUDA_VISIBLE_DEVICES hides it"
    return (
        "a GPU is present but TensorFlow cannot use it; install its libraries with "
        "pip install 'synthetic-mammography[gpu]'"
    )


def _recorded_precision(run_folder: Path) -> str | None:
    """The precision in the settings of a run that has begun, else None."""
    try:
        return read_json(run_folder / "config.json")["preset"]["precision"]
    except (OSError, ValueError, KeyError, TypeError):  # reported where the run is opened
        return None
