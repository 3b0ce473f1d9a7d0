"""The machine that benchmarks name."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "machine.py"


def _machine():
    spec = importlib.util.spec_from_file_location("machine", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_name_has_the_flags_that_decide_speed(tmp_path):
    file = tmp_path / "cpuinfo"
    core = "processor\t: {}\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n\n"
    file.write_text(core.format(0) + core.format(1))
    assert _machine().cpu_name(str(file)) == "Some CPU (avx2, avx512f, avx512_bf16, amx_bf16)"


def test_a_system_without_that_file_has_no_name(tmp_path):
    assert _machine().cpu_name(str(tmp_path / "absent")) == "unknown CPU"
