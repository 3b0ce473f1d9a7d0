"""The smallest networks, schedule and data that are still the real thing; shared by the tests of several packages."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from mask_embedding_gan.blocks import NetworkConfig
from mask_embedding_gan.schedule import PhaseSchedule, Preset
from preprocessing.mammograms.item import mammogram_item
from preprocessing.shards import Dataset, DatasetWriter

ROOT = Path(__file__).parents[1]
NETWORK = NetworkConfig(
    latent_size=6, embedding_size=4, mask_filters=2, base_filters=8, latent_filters=(8, 8, 6, 6, 4, 4, 4)
)
FILM = replace(
    NETWORK,
    second_convolution=True,
    sum_of_levels=True,
    times_mask=True,
    noise_levels=(2, 3),
    critic_convolutions=2,
)
IMAGES = 40  # of which a fifth is for validation


def preset(**changes) -> Preset:
    """Three phases of three ticks; phases 2 and 3 fade in over their first half."""
    phases = tuple(
        PhaseSchedule(
            phase=phase,
            batch=8 if phase == 1 else 4,
            learning_rate=0.002,
            critic_learning_rate=0.002,
            fade_in_images=24 if phase > 1 else 0,
            stable_images=24 if phase > 1 else 48,
            ticks=3,
            ema_half_life_images=20.0,
            steps_per_execution=2,
        )
        for phase in (1, 2, 3)
    )
    return Preset(**{"name": "tiny", "network": NETWORK, "phases": phases, "jitter": True, "phantoms": 4, **changes})


def film() -> Preset:
    """The same with the additions of the preset `film`; phase 3 is trained on windows of 16×8.

    R1 and detail of each image's own begin after two of three ticks.
    """
    late = {"r1_weight": 0.5, "r1_from_images": 32, "detail_weight": 1.0, "detail_from_images": 32}
    phases = tuple(
        replace(schedule, amplification=(2.0,), **late)
        if schedule.phase < 3
        else replace(schedule, fade_in_images=0, stable_images=48)
        for schedule in preset().phases
    )
    network = replace(
        FILM, noise_levels=(2,), independent_noise=True, windows_from=3, levelled=True, keeps_averages=True
    )
    return preset(network=network, phases=phases)


def write_dataset(folder: Path, count: int = IMAGES, by: str = "tests") -> Dataset:
    """Half ellipses at the left edge with random tissue, at 8×4 to 32×16."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :16]
    items = []
    for number in range(count):
        radii = rng.uniform((9, 7), (15, 14))
        mask = ((y - 15.5) / radii[0]) ** 2 + (x / radii[1]) ** 2 < 1
        image = mask * rng.uniform(0.3, 0.9, mask.shape).astype(np.float32)
        items.append(mammogram_item(image, mask, subject=f"{number:016d}", laterality="L", view="CC"))
    writer = DatasetWriter(
        folder, count=count, made={"by": by}, levels=[(8, 4), (16, 8), (32, 16)], shard_size=-(-count // 2)
    )
    for shard, numbers in writer.missing():
        writer.write(shard, [items[number] for number in numbers])
    return writer.finish(validation_fraction=0.2)


def randomise(model, seed: int = 0) -> None:
    """Give every trainable weight, biases too, a value that no initialiser would."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape))


def inputs(phase: int, count: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random (images, masks, latents) for the tiny networks at a phase, float32."""
    rng = np.random.default_rng(seed)
    shape = (count, 4 * 2**phase, 2 * 2**phase, 1)
    masks = (rng.random(shape) > 0.4).astype(np.float32)
    return rng.random(shape, np.float32), masks, rng.standard_normal((count, NETWORK.latent_size), np.float32)


def free_addresses(count: int) -> tuple[str, ...]:
    """Addresses of this machine that nobody listens on, outside the ports that outgoing connections are given."""
    servers, rng = [], np.random.default_rng()
    while len(servers) < count:
        try:
            servers.append(socket.create_server(("127.0.0.1", int(rng.integers(10_000, 32_000)))))
        except OSError:  # taken
            continue
    addresses = tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return addresses


def run_driver(code: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python code in a fresh process that can import this repository and this module."""
    script = folder / "driver.py"
    script.write_text(code)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    variables = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=600)


def of_two_replicas(code: str, folder: Path, dataset: Path) -> dict:
    """What code finds that trains on one replica and on two, and writes it to `result.json` in the folder."""
    done = run_driver(code, folder, str(dataset), str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["replicas"] == 2
    return result
