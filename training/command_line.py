"""What the commands that train have in common: options, a quiet terminal, and errors of one line."""

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
length_option = click.option(
    "--length",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    help="Multiply the real images that training sees.",
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
    """`--seed`, of all random draws."""
    return click.option("--seed", type=click.IntRange(0), default=0, help=f"Of {of}.")


def additions_options(*names: str) -> Callable:
    """`--with` and `--without`, which arrive as `adding` and `without`: what a preset has and its paper has not.

    Args:
        names: of all additions; `ADDITIONS` of the system has the same.
    """

    def chosen(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
        wanted = tuple(name.strip().replace("-", "_") for name in value.split(",") if name.strip())
        for name in wanted:
            if name not in names:
                raise click.BadParameter(f"there is no addition {name}; choose from {', '.join(names)}")
        return wanted

    def options(command: Callable) -> Callable:
        for flag, argument, text in (
            ("--without", "without", "Switch off additions to the paper (ours) that the preset has, as for --with."),
            ("--with", "adding", f"Switch on additions to the paper (ours), with commas between: {', '.join(names)}."),
        ):
            command = click.option(
                flag, argument, default="", show_default=False, metavar="NAMES", callback=chosen, help=text
            )(command)
        return command

    return options


def warn_of_old_flag(flag: str, instead: str) -> None:
    """Say in one line that a flag still works, and how it is spelled now."""
    click.echo(f"warning: {flag} is now {instead}; the old spelling still works", err=True)


@contextmanager
def training_command(*refusals: type[Exception]) -> Iterator[None]:
    """Settings of the libraries for a command that trains; what a user got wrong becomes one line.

    Args:
        refusals: more exceptions that say what a user got wrong.
    """
    import_tensorflow_quietly()
    from training.additions import PresetError
    from training.checkpoint import CheckpointError
    from training.cluster import together
    from training.export import ModelError
    from training.hosts import HostsError
    from training.run import RunError, configure_tensorflow

    known: tuple[type[Exception], ...] = (PresetError, RunError, CheckpointError, ModelError, HostsError, *refusals)
    configure_tensorflow()
    try:
        with together():
            yield
    except known as error:
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
