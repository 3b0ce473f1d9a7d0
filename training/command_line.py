"""What the commands that train have in common: options, the way to the first step, and errors of one line."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from preprocessing.command_line import PATH, with_options
from preprocessing.errors import UserError
from preprocessing.tensorflow_settings import import_tensorflow_quietly
from training.hosts import MEETING_SECONDS

if TYPE_CHECKING:
    import tensorflow as tf

    from training.cluster import Cluster
    from training.device import Device
    from training.run import RunDirectory


@dataclass(frozen=True)
class Options:
    """The options of every command that trains; `training_options` adds them to a command.

    Attributes:
        data: dataset folder; None for phantoms.
        run_folder: run directory.
        preset: name of the preset.
        length: factor on the real images that training sees.
        adding, without: additions to the paper (ours) that are switched on and off.
        precision: "auto", "float32" or "mixed_bfloat16".
        seed: of all random draws.
        replicas: devices that share a batch; None for every GPU, or 1.
        hosts, host_number, hosts_wait: as `training.run.choose_strategy` takes them.
    """

    data: Path | None
    run_folder: Path
    preset: str
    length: float
    adding: tuple[str, ...]
    without: tuple[str, ...]
    precision: str
    seed: int
    replicas: int | None
    hosts: str | None
    host_number: int | None
    hosts_wait: float


@dataclass(frozen=True)
class Begun:
    """A training whose hosts have met and whose data and run directory are open."""

    preset: Any
    dataset: Any
    run: "RunDirectory"
    strategy: "tf.distribute.Strategy"
    cluster: "Cluster"


def training_options(run: str, presets: Mapping[str, str], additions: Sequence[str], seeds: str) -> Callable:
    """Make the decorator that adds the options of `Options` to a command.

    Args:
        run: default run directory.
        presets: what each preset is, by name; the first is the default.
        additions: names of all additions, those of the system's `ADDITIONS`.
        seeds: what is drawn from the seed.
    """
    described = " ".join(f"{name}: {text}" for name, text in presets.items())
    options = [
        click.option("--data", type=PATH, show_default="phantoms, drawn once", help="Dataset to train on."),
        click.option("--run", "run_folder", type=PATH, default=run, help="Folder of checkpoints, logs and results."),
        click.option("--preset", type=click.Choice(list(presets)), default=next(iter(presets)), help=described),
        click.option(
            "--length",
            type=click.FloatRange(0, min_open=True),
            default=1.0,
            help="Train this many times as long as the preset.",
        ),
        *_additions_options(additions),
        click.option(
            "--precision",
            type=click.Choice(["auto", "float32", "mixed_bfloat16"]),
            default="auto",
            help="Arithmetic of the hidden layers. auto: bfloat16 where the hardware computes in it, else float32.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, help=f"Random seed of {seeds}."),
        click.option(
            "--replicas",
            type=click.IntRange(1),
            show_default="every GPU, or 1",
            help="Number of devices that share a batch.",
        ),
        click.option(
            "--hosts",
            show_default="TF_CONFIG, else the tasks of a SLURM job step, else this host alone",
            help="Hosts that train together: address:port of each, separated by commas; or slurm; or none, to train "
            "alone. All run the same command, with --data and --run on a file system that they share.",
        ),
        click.option("--host-number", type=int, help="Position of this host in --hosts, 0 for the first."),
        click.option(
            "--hosts-wait", type=click.FloatRange(1), default=MEETING_SECONDS, help="Seconds to wait for other hosts."
        ),
    ]
    return with_options(options)


def _additions_options(names: Sequence[str]) -> list[Callable]:
    """Make `--with` and `--without`, which arrive as `adding` and `without`."""

    def chosen(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
        wanted = tuple(name.strip().replace("-", "_") for name in value.split(",") if name.strip())
        for name in wanted:
            if name not in names:
                raise click.BadParameter(f"there is no addition {name}; choose from {', '.join(names)}")
        return wanted

    helps = {
        "--with": ("adding", f"Additions to the paper's method to switch on, separated by commas: {', '.join(names)}."),
        "--without": ("without", "Additions of the preset to switch off, named as for --with."),
    }
    return [
        click.option(flag, argument, default="", show_default=False, metavar="NAMES", callback=chosen, help=text)
        for flag, (argument, text) in helps.items()
    ]


def warn_of_old_flag(flag: str, instead: str) -> None:
    """Say in one line that a flag still works, and how it is spelled now."""
    click.echo(f"warning: {flag} is now {instead}; the old spelling still works", err=True)


@contextmanager
def training_command() -> Iterator[None]:
    """Set up the libraries for a command that trains; what a user got wrong becomes one line."""
    import_tensorflow_quietly()
    from training.cluster import together
    from training.run import configure_tensorflow

    configure_tensorflow()
    try:
        with together():
            yield
    except UserError as error:
        raise click.ClickException(str(error)) from error


def begin(
    options: Options,
    presets: Mapping[str, Any],
    *,
    kind: str,
    finished: str,
    earlier: dict | None = None,
    **changes: Any,
) -> Begun:
    """Meet the other hosts, print the device, and open data and run directory.

    Args:
        kind: of the data, "mammogram" or "mass".
        finished: file of the run directory that a complete training leaves.
        earlier: as `RunDirectory` takes it.
        changes: more that the command changes of the preset.
    """
    from preprocessing.training_data import open_training_data
    from training.cluster import current
    from training.run import RunDirectory, choose_strategy, run_config

    strategy = choose_strategy(options.replicas, options.hosts, options.host_number, options.hosts_wait)
    cluster, device = current(), _announced_device(options)
    switches = {"length": options.length, "adding": options.adding, "without": options.without}
    preset = presets[options.preset].changed(**switches, precision=device.precision, **changes)
    dataset = cluster.after_chief(lambda: open_training_data(options.data, kind, preset.phantoms, cluster.echo))
    config = run_config(preset, dataset, options.seed)
    run = cluster.after_chief(lambda: RunDirectory(options.run_folder, config, earlier))
    if cluster.is_chief and not (run.path / finished).exists():
        device.record(run.path)
    return Begun(preset, dataset, run, strategy, cluster)


def _announced_device(options: Options) -> "Device":
    """Choose the device and print it; the first of several hosts decides on the precision."""
    from training.cluster import current
    from training.device import choose_device

    cluster, device = current(), choose_device(options.precision, options.run_folder)
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
