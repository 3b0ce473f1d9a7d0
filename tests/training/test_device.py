"""Which precision a training gets, on hardware that is described instead of had."""

import json

import pytest

from training import device
from training.device import Device, choose_device


@pytest.fixture
def cpu(monkeypatch):
    """Describe the CPU: its flags, and whether TensorFlow computes with oneDNN on it."""

    def describe(*flags: str, one_dnn: bool = True):
        monkeypatch.setattr(device.tf.config, "list_physical_devices", lambda kind: [])
        monkeypatch.setattr(device, "cpu_flags", lambda: frozenset(flags))
        monkeypatch.setattr(device, "uses_one_dnn", lambda: one_dnn)

    return describe


@pytest.fixture
def gpus(monkeypatch):
    """Describe the GPUs by name and compute capability."""

    def describe(name: str, *capabilities: tuple[int, int]):
        details = [{"device_name": name, "compute_capability": capability} for capability in capabilities]
        monkeypatch.setattr(device.tf.config, "list_physical_devices", lambda kind: details)
        monkeypatch.setattr(device.tf.config.experimental, "get_device_details", lambda gpu: gpu)

    return describe


def begun(folder, precision: str):
    (folder / "config.json").write_text(json.dumps({"preset": {"precision": precision}}))
    return folder


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_cpu_that_computes_in_bfloat16_trains_in_it(cpu, flag):
    cpu("avx2", flag)
    assert choose_device().precision == "mixed_bfloat16"


def test_other_cpus_train_in_float32(cpu):
    cpu("avx2", "avx512f", "avx512_vnni")
    assert choose_device().precision == "float32"


def test_a_cpu_whose_amx_is_hidden_trains_in_float32(cpu):
    """Its AVX512-BF16 computes half as fast as float32."""
    cpu("avx512_bf16", "avx512_fp16")
    assert choose_device().precision == "float32"
    cpu("avx512_bf16", "avx512_fp16", "amx_bf16")
    assert choose_device().precision == "mixed_bfloat16"


def test_bfloat16_is_not_chosen_without_one_dnn(cpu):
    """TensorFlow's own kernels convert every number to float32 and back."""
    cpu("avx512_bf16", one_dnn=False)
    chosen = choose_device()
    assert chosen.precision == "float32" and "oneDNN is off" in chosen.reason


@pytest.mark.parametrize(
    "capabilities, precision",
    [
        ([(8, 0)], "mixed_bfloat16"),
        ([(9, 0), (8, 6)], "mixed_bfloat16"),
        ([(7, 5)], "float32"),
        ([(9, 0), (7, 0)], "float32"),
    ],
)
def test_gpus_train_in_bfloat16_where_all_of_them_compute_in_it(gpus, capabilities, precision):
    gpus("GPU", *capabilities)
    assert choose_device().precision == precision


def test_gpus_are_named_and_counted(gpus):
    gpus("NVIDIA A100", (8, 0), (8, 0))
    assert choose_device().lines()[0].startswith("training on: 2 × NVIDIA A100, mixed_bfloat16 (")


def test_a_precision_that_is_asked_for_wins_over_hardware_and_run(cpu, tmp_path):
    cpu("avx512_bf16")
    chosen = choose_device("float32", begun(tmp_path, "mixed_bfloat16"))
    assert (chosen.precision, chosen.reason) == ("float32", "--precision")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_run_keeps_the_precision_that_it_began_with(cpu, tmp_path, precision):
    cpu("avx512_bf16")
    chosen = choose_device("auto", begun(tmp_path, precision))
    assert (chosen.precision, chosen.reason) == (precision, "as this run began")


def test_a_run_in_bfloat16_says_why_it_is_slow_on_another_cpu(cpu, tmp_path):
    cpu("avx2")
    chosen = choose_device("auto", begun(tmp_path, "mixed_bfloat16"))
    assert chosen.precision == "mixed_bfloat16" and "slow here" in chosen.reason


def test_a_new_run_asks_the_hardware(cpu, tmp_path):
    cpu("avx2")
    assert choose_device("auto", tmp_path / "new").precision == "float32"


def test_the_first_line_names_cores_precision_one_dnn_and_the_reason():
    line = Device("2 CPU cores", "float32", "why", one_dnn=True).lines()
    assert line == ["training on: 2 CPU cores, float32, oneDNN (why)"]


def test_a_gpu_that_cannot_be_used_is_said_in_one_line_more():
    said = Device("2 CPU cores", "float32", "why", one_dnn=True, unused_gpu="a GPU is present but …").lines()
    assert said[1:] == ["warning: a GPU is present but …"]


def test_every_start_is_recorded(tmp_path):
    for name in ("1 CPU core", "2 CPU cores"):
        Device(name, "float32", "why", one_dnn=True).record(tmp_path)
    records = [json.loads(line) for line in (tmp_path / "starts.jsonl").read_text().splitlines()]
    assert [record["name"] for record in records] == ["1 CPU core", "2 CPU cores"]
    assert {"precision", "reason", "one_dnn", "cpu", "tensorflow"} <= records[0].keys()
