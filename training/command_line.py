"""What the commands that train have in common: options, data, a quiet terminal, and errors of one line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly

if TYPE_CHECKING:
    from preprocessing.shards import Dataset
    from training.device import Device

data_option = click.option(
    "--data", type=click.Path(path_type=Path), show_default="phantoms, made once", help="Dataset folder."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "mixed_bfloat16"]),
    default="auto",
    help="Arithmetic of the hidden layers. auto: bfloat16 where the hardware computes in it, else float32.",
)
replicas_option = click.option(
    "--replicas", type=click.IntRange(1), show_default="every GPU, or 1", help="Devices that share a batch."
)


def hosts_options(command: Callable) -> Callable:
    """`--hosts`, `--host-number` and `--hosts-wait`, of a training that several hosts share."""
    options = (
        click.option(
            "--hosts",
            show_default="TF_CONFIG, else the tasks of a SLURM job step, else this host alone",
            help="Hosts that train together: address:port of each, separated by commas; or slurm, or none. All run the "
            "same command, with --data and --run on a file system that they share; the first writes.",
        ),
        click.option("--host-number", type=int, help="Place of this host in --hosts, 0 for the first."),
        click.option("--hosts-wait", type=click.FloatRange(1), default=300.0, help="Seconds to wait for other hosts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def run_option(default: str) -> Callable:
    """`--run`, which arrives as `run_folder`."""
    return click.option("--run", "run_folder", type=click.Path(path_type=Path), default=default, help="Run directory.")


def preset_option(**what: str) -> Callable:
    """`--preset`, the first by default; `what` says what each is."""
    names = list(what)
    text = " ".join(f"{name}: {what[name]}" for name in names)
    return click.option("--preset", type=click.Choice(names), default=names[0], help=text)


def seed_option(of: str) -> Callable:
    """`--seed`, of everything drawn by lot."""
    return click.option("--seed", type=click.IntRange(0), default=0, help=f"Of {of}.")


@contextmanager
def training_command() -> Iterator[None]:
    """Settings of the libraries for a command that trains; what a user got wrong becomes one line."""
    import_tensorflow_quietly()
    from preprocessing.shards import DataError
    from training.checkpoint import CheckpointError
    from training.cluster import together
    from training.hosts import HostsError
    from training.run import RunError, configure_tensorflow

    configure_tensorflow()
    try:
        with together():
            yield
    except (DataError, RunError, CheckpointError, HostsError) as error:
        raise click.ClickException(str(error)) from error


def announced_device(precision: str, run_folder: Path) -> "Device":
    """The device and precision that a run will train on, printed: the first line of every command that trains.

    Of several hosts the first decides on the precision.

    Args:
        precision: of `--precision`.
        run_folder: of `--run`; a run that has begun keeps its precision.
    """
    from training.cluster import current
    from training.device import choose_device

    cluster, device = current(), choose_device(precision, run_folder)
    chosen = cluster.from_chief(lambda: {"precision": device.precision, "reason": device.reason})
    if cluster.count > 1:
        device = replace(device, name=f"{cluster.description}, each {device.name}", **chosen)
    for line in device.lines():
        cluster.echo(line)
    return device


def start_again() -> NoReturn:
    """Replace this process by one with the same command line, in which the run continues."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def open_training_data(folder: Path | None, kind: str, phantoms: int) -> "Dataset":
    """The dataset of a folder, checksums verified; without one (None), phantoms that are made once and kept.

    Args:
        folder: of `--data`.
        kind: "mammogram" or "mass".
        phantoms: how many to make.

    Raises:
        preprocessing.shards.DataError: the dataset cannot be opened, or phantoms cannot be written.
    """
    from preprocessing.phantoms.mammogram import make_phantoms
    from preprocessing.phantoms.mass import make_mass_phantoms
    from preprocessing.shards import open_dataset
    from training.cluster import current

    if folder is None:
        noun, parent, make = {
            "mammogram": ("phantoms", "data/phantoms", make_phantoms),
            "mass": ("mass phantoms", "data/mass-phantoms", make_mass_phantoms),
        }[kind]
        folder = Path(parent) / f"{phantoms}"
        current().echo(f"no --data: training on {phantoms} {noun}, kept in {folder}")
        make(folder, phantoms)
    return open_dataset(folder, kind=kind, verify=True)
