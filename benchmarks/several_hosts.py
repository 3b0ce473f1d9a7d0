"""Several hosts, as processes on loopback: the weights of one process, what a kill does, and resuming on other numbers.

    python benchmarks/several_hosts.py
    python benchmarks/several_hosts.py --precision float64 --phases 2 --part mask_embedding_gan --part feature2mass

Trains each system with the same global batches in one, two and three processes of one thread, and compares every
weight. One more process rounds differently (without oneDNN): no smaller difference can be expected. Adam's rates are
`--pace` times those of the presets: at full rates, a sum that is rounded to the other side of a LeakyReLU's kink makes
the difference grow about threefold per step. In float64 no rounding is large enough for that, and equal trainings stay
equal; `--flaw` plants a mistake, to show that it would be seen. Then kills the last of three processes in the middle of
a run, resumes it on two, kills the chief, and ends it on one, measuring how long the others take to end.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import click
import h5py
import numpy as np
from in_float64 import train_in_float64
from machine import cpu_name

ROOT = Path(__file__).parents[1]
BATCH = 24  # shared by one, two and three hosts in groups of four
PHANTOMS = 48
STEPS_PER_TICK = 5  # of the run that is killed
SYSTEMS = ("mask_embedding_gan", "pix2pix", "feature2mass")
NETWORKS = ("generator", "critic", "ema_generator")
FLAWS = ("batch norm", "sum")  # statistics of each process apart; gradients of processes summed, not averaged
OTHERWISE = {"TF_ENABLE_ONEDNN_OPTS": "0"}
MANY_TICKS = 12  # of the run that is killed


@dataclass(frozen=True)
class Settings:
    """How a system is trained.

    Attributes:
        steps, ticks: steps per tick, ticks.
        pace: learning rates, as a share of the preset's.
        precision: "float32" or "float64", of networks, optimizers and images.
        phases: of the mask-embedding GAN. A grown block starts with black at a kink, where roundings part ways.
        flaw: one of `FLAWS`.
    """

    steps: int = 20
    ticks: int = 1
    pace: float = 0.05
    precision: str = "float32"
    phases: int = 1
    flaw: str | None = None


# ------------------------------------------------------------------------------------ one process


def train_one(system: str, data: Path, folder: Path, settings: Settings) -> None:
    """One host of a training of the `quick` networks, with a batch of `BATCH`."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from training.command_line import training_command

    with training_command():
        import keras
        import tensorflow as tf

        from preprocessing.shards import open_dataset
        from training.cluster import current
        from training.run import RunDirectory, choose_strategy, run_config

        tf.config.threading.set_intra_op_parallelism_threads(1)
        keras.config.set_floatx(settings.precision)
        plant(settings.flaw)
        strategy = choose_strategy(hosts_wait=120)
        cluster = current()
        dataset = open_dataset(data / ("masses" if system == "feature2mass" else "mammograms"))
        plan, train = _plan(system, dataset, settings)
        run = cluster.after_chief(lambda: RunDirectory(folder, run_config(plan, dataset, 0)))
        train(dataset, run, plan, strategy=strategy, echo=cluster.echo)


def plant(flaw: str | None) -> None:
    """Make a mistake in how processes work together."""
    import keras
    import tensorflow as tf

    if flaw == "batch norm":
        keras.layers.BatchNormalization = partial(_batch_norm_apart, keras.layers.BatchNormalization)
    if flaw == "sum":
        tf.distribute.Strategy.num_replicas_in_sync = 1


def _batch_norm_apart(kind: type, *, synchronized: bool, **settings: object) -> object:
    return kind(synchronized=False, **settings)


def _plan(system: str, dataset: object, settings: Settings) -> tuple[object, Callable]:
    """(preset, train function)."""
    ticks, pace, precision = settings.ticks, settings.pace, settings.precision
    images = BATCH * settings.steps * ticks
    if system == "mask_embedding_gan":
        from mask_embedding_gan.presets import PRESETS
        from mask_embedding_gan.train import train

        if precision == "float64":
            train_in_float64()
        plan = PRESETS["quick"].changed(precision="float32")
        phases = tuple(
            replace(
                phase,
                batch=BATCH,
                learning_rate=pace * phase.learning_rate,
                critic_learning_rate=pace * phase.critic_learning_rate,
                fade_in_images=images // 2 if phase.phase > 1 else 0,
                stable_images=images // 2 if phase.phase > 1 else images,
                ticks=ticks,
                steps_per_execution=5,
            )
            for phase in plan.phases[: settings.phases]
        )
        plan = replace(plan, phases=phases)
        return plan, lambda *given, **named: train(*given, len(phases), **named)
    if system == "pix2pix":
        from pix2pix.presets import PRESETS
        from pix2pix.train import train

        plan = PRESETS["quick"].changed(height=64, precision=precision)
        plan = replace(plan, batch=BATCH, images=images, ticks=ticks, learning_rate=pace * plan.learning_rate)
        return plan, train
    from feature2mass.presets import PRESETS
    from feature2mass.train import train
    from preprocessing.batches import labelled_masses

    masses = len(labelled_masses(dataset, "train")[0])
    plan = PRESETS["quick"].changed(precision=precision)
    rates = {name: pace * getattr(plan, name) for name in ("learning_rate", "discriminator_learning_rate")}
    return replace(plan, batch=BATCH, epochs=images / masses, ticks=ticks, **rates), train


# ----------------------------------------------------------------------------------- all of them


@dataclass
class Host:
    """A process, and where what it prints goes."""

    process: subprocess.Popen
    printed: Path

    def last_line(self) -> str:
        lines = self.printed.read_text().strip().splitlines()
        return lines[-1] if lines else ""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def tf_config(count: int) -> list[dict[str, str]]:
    """Variables that tell each of `count` processes on loopback about the others, as TensorFlow writes them."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    tasks = [{"type": "worker", "index": number} for number in range(count)]
    return [{"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})} for task in tasks]


def slurm(count: int) -> list[dict[str, str]]:
    """The same as SLURM writes them for a job step on one node."""
    step = {
        "SLURM_JOB_ID": str(random.randrange(10**6)),
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_STEP_TASKS_PER_NODE": str(count),
        "SLURMD_NODENAME": "127.0.0.1",
    }
    return [{**step, "SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)} for number in range(count)]


def start(system: str, data: Path, folder: Path, settings: Settings, count: int, **more: str) -> list[Host]:
    """Start `count` processes on loopback that train together: two by TF_CONFIG, three as SLURM would.

    Args:
        more: environment variables.
    """
    variables = [{}] if count == 1 else tf_config(count) if count == 2 else slurm(count)
    started = []
    for number, told in enumerate(variables):
        given = [system, data, folder, json.dumps(asdict(settings))]
        printed = folder.with_name(f"{folder.name}-{count}-{number}.txt")
        command = [sys.executable, __file__, "one", *map(str, given)]
        with open(printed, "w") as file:
            environment = {**os.environ, **told, **more, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        started.append(Host(process, printed))
    return started


def finish(hosts: list[Host], seconds: float = 3600.0) -> None:
    for number, host in enumerate(hosts):
        code = host.process.wait(seconds)
        if code:
            raise SystemExit(f"host {number} ended with {code}: {host.printed.read_text()[-2000:]}")


def relative_differences(one: Path, other: Path) -> dict[str, float]:
    """Of two checkpoints' networks: the largest difference of a weight over the largest weight of its layer, the worst.

    Of the layer, for biases start at 0 and are small yet.
    """
    worst = {}
    with h5py.File(one) as a, h5py.File(other) as b:
        for network in NETWORKS:
            layers = {}  # name: (largest difference, largest weight)
            for name, weights in a[network].items():
                layer = weights.attrs["path"].rpartition("/")[0]
                found = np.abs(weights[()] - b[network][name][()]).max(), np.abs(weights[()]).max()
                layers[layer] = tuple(map(max, layers.get(layer, (0.0, 0.0)), found))
            worst[network] = max(difference / max(largest, 1e-30) for difference, largest in layers.values())
    return worst


def newest(folder: Path) -> dict[str, Path]:
    """The newest checkpoint of each phase, or of the run."""
    found = {}
    for path in sorted(folder.rglob("checkpoint-*.h5")):
        found[path.parent.name if path.parent != folder else ""] = path
    return found


def same_weights(systems: list[str], data: Path, folder: Path, settings: Settings) -> float:
    """Train with 1, 2 and 3 processes; prints and returns the worst relative difference of a weight."""
    others = {"2 processes": (2, {}), "3 processes": (3, {}), "1 process, rounded otherwise": (1, OTHERWISE)}
    worst = 0.0
    for system in systems:
        finish(start(system, data, folder / system, settings, 1))
        for number, (name, (count, more)) in enumerate(others.items()):
            began, run = time.perf_counter(), folder / f"{system}-{number}"
            finish(start(system, data, run, settings, count, **more))
            for phase, one in newest(folder / system).items():
                differences = relative_differences(one, newest(run)[phase])
                said = ", ".join(f"{network} {value:.1e}" for network, value in differences.items())
                click.echo(
                    f"{system} {phase}: {name}, {settings.steps} steps, {time.perf_counter() - began:.0f} s: {said}"
                )
                worst = max(worst, *differences.values()) if count > 1 else worst
    return worst


def log_lines(folder: Path) -> list[dict]:
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def kill(data: Path, folder: Path, settings: Settings, count: int, victim: int) -> None:
    """Start or resume the run on `count` hosts, kill one after two more ticks, and say what the others do."""
    before = len(log_lines(folder))
    hosts = start("pix2pix", data, folder, settings, count)
    while len(log_lines(folder)) < before + 2:
        if any(host.process.poll() is not None for host in hosts):
            raise SystemExit(f"a host ended early: {[host.last_line() for host in hosts]}")
        time.sleep(0.05)
    os.kill(hosts[victim].process.pid, signal.SIGKILL)
    killed = time.perf_counter()
    click.echo(f"{count} hosts, host {victim} killed at {log_lines(folder)[-1]['images_seen']} images:")
    for number, host in enumerate(hosts):
        code = host.process.wait(120)
        if number != victim:
            seconds = time.perf_counter() - killed
            click.echo(f"  host {number} ended after {seconds:.1f} s with code {code}: {host.last_line()}")


def resumed(data: Path, folder: Path, settings: Settings) -> float:
    """Kill hosts, resume on other numbers, and compare with an uninterrupted run of one process."""
    finish(start("pix2pix", data, folder / "whole", settings, 1))
    kill(data, folder / "broken", settings, 3, victim=2)
    kill(data, folder / "broken", settings, 2, victim=0)
    finish(start("pix2pix", data, folder / "broken", settings, 1))
    whole, broken = newest(folder / "whole")[""], newest(folder / "broken")[""]
    seen = [record["images_seen"] for record in log_lines(folder / "broken")]
    expected = [record["images_seen"] for record in log_lines(folder / "whole")]
    difference = max(relative_differences(whole, broken).values())
    click.echo(
        f"pix2pix: 3, 2 and 1 processes one after another against an uninterrupted one, "
        f"{settings.ticks * settings.steps} steps: "
        f"relative difference {difference:.1e}; log lines {'equal' if seen == expected else 'DIFFER'}"
    )
    return difference


@click.group(invoke_without_command=True, help=__doc__.split("\n")[0])
@click.option("--steps", default=20, show_default=True)
@click.option("--pace", default=0.05, show_default=True, help="Learning rates, as a share of the presets'.")
@click.option("--precision", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--phases", default=1, show_default=True, help="Of the mask-embedding GAN.")
@click.option("--flaw", type=click.Choice(FLAWS), help="Plant this mistake, which must be seen.")
@click.option("--part", type=click.Choice([*SYSTEMS, "kills"]), multiple=True, help="Only this; may be repeated.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Keep data and runs here; finished runs are not repeated."
)
@click.pass_context
def main(context: click.Context, part: tuple[str, ...], folder: Path | None, **given: object) -> None:
    if context.invoked_subcommand:
        return
    sys.path.insert(0, str(ROOT))
    from preprocessing.phantoms.mammogram import make_phantoms
    from preprocessing.phantoms.mass import make_mass_phantoms

    settings = Settings(**given)
    click.echo(f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or Path(temporary)
        make_phantoms(folder / "data" / "mammograms", PHANTOMS)
        make_mass_phantoms(folder / "data" / "masses", PHANTOMS)
        parts = part or (*SYSTEMS, "kills")
        worst = same_weights([system for system in SYSTEMS if system in parts], folder / "data", folder, settings)
        if "kills" in parts:
            resumed(folder / "data", folder, replace(settings, steps=STEPS_PER_TICK, ticks=MANY_TICKS))
    click.echo(f"worst relative difference of a weight over 1e-5: {worst / 1e-5:.2f}")


@main.command(hidden=True)
@click.argument("system", type=click.Choice(SYSTEMS))
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("settings", type=json.loads)
def one(settings: dict, **given: object) -> None:
    train_one(**given, settings=Settings(**settings))


if __name__ == "__main__":
    main()
