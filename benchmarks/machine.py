"""The machine that a benchmark ran on: its CPU's name, and the highest rate that it reached."""

import time
from collections.abc import Callable

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
REPEATS = 5  # timed runs of each operation, after one that is not
PEAK_SIZES = (1024, 2048, 4096)  # of the square matrices whose product shows it


def cpu_name(file: str = "/proc/cpuinfo") -> str:
    """The CPU's model, as the system names it, and the vector instructions that decide how fast it trains."""
    try:
        with open(file) as lines:
            fields = dict(line.split(":", 1) for line in lines.read().split("\n\n")[0].splitlines() if ":" in line)
    except OSError:
        return "unknown CPU"
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = [flag for flag in FLAGS if flag in fields.get("flags", "").split()]
    return f"{fields.get('model name', 'unknown CPU')} ({', '.join(flags) or 'none of ' + ', '.join(FLAGS)})"


def fastest(trials: dict[int, Callable[[], object]]) -> float:
    """The highest rate of several operations, given by the floating-point operations of each, in FLOP/s."""
    rates = []
    for operations, run in trials.items():
        run()
        for _ in range(REPEATS):
            began = time.perf_counter()
            run()
            rates.append(operations / (time.perf_counter() - began))
    return max(rates)
