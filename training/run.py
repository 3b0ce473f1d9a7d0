"""A run directory, its settings, and the devices it runs on.

runs/demo/config.json                          what the run was started with; a rerun must agree
runs/demo/log.jsonl                            one line per tick
runs/demo/begun.json                           its first phase, where it began with the networks of another run
runs/demo/starts.jsonl                         one line per start: device, precision, versions
runs/demo/tensorboard/                         the same figures and sample grids
runs/demo/phase-3/checkpoint-0000024000.h5     the last two
runs/demo/phase-3/samples-0000024000.png       fixed masks and latents
runs/demo/phase-3/generator.keras              once the phase is complete

A run without phases keeps its checkpoints and samples in the folder itself, and its log has no phase.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from preprocessing.atomic import write_whole
from preprocessing.counted import counted
from preprocessing.errors import UserError, system_errors_as
from preprocessing.json_file import parse_json, read_json
from preprocessing.lock import FolderLock, LockError
from training.cluster import current, join
from training.hosts import MEETING_SECONDS
from training.summation import sum_gradients_in_order


class RunError(UserError):
    """A run cannot start or continue; the message is for the user: what was wrong and what to do."""


class NonFiniteLossError(RunError):
    """A loss became NaN or infinite."""


def configure_tensorflow(*, deterministic: bool = True) -> None:
    """Set TensorFlow up for training; call before the first operation.

    Args:
        deterministic: the same numbers on every run of the same machine, which exact resume promises.
    """
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        sum_gradients_in_order()
    # the remapper fails on graphs with a gradient penalty, after an error line for each
    tf.config.optimizer.set_experimental_options({"remapping": False})


def choose_strategy(
    replicas: int | None = None,
    hosts: str | None = None,
    host_number: int | None = None,
    hosts_wait: float = MEETING_SECONDS,
) -> tf.distribute.Strategy:
    """Choose `MirroredStrategy` over the visible GPUs when there are several, else the default strategy.

    With several hosts it is `MultiWorkerMirroredStrategy`, over the GPUs of all, or the CPU of each.

    Args:
        replicas: use this many devices. Without GPUs the CPU is divided into as many logical devices (a way to try what
            several GPUs would do), which must happen before TensorFlow has touched it. Defaults to all GPUs.
        hosts, host_number: who takes part, as `training.hosts.find_members` takes them. Defaults to what TF_CONFIG or
            SLURM say, else to this host alone.
        hosts_wait: seconds for the other hosts to come.

    Raises:
        RunError: fewer devices than asked for.
        training.hosts.HostsError: hosts cannot train together.
    """
    gpus = tf.config.list_physical_devices("GPU")
    cluster = join(hosts, host_number, wait=hosts_wait, alike={"GPUs": len(gpus), "TensorFlow": tf.__version__})
    if cluster.count > 1:
        if replicas not in (None, max(1, len(gpus))):
            raise RunError(f"--replicas {replicas}: leave it out; each of several hosts uses all its GPUs, or its CPU")
        return cluster.strategy()
    if replicas is None:
        replicas = max(1, len(gpus))
    if gpus and replicas > len(gpus):
        raise RunError(f"--replicas {replicas}: only {counted(len(gpus), 'GPU')} can be seen")
    if replicas == 1:
        return tf.distribute.get_strategy()
    if not gpus:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        except RuntimeError as error:  # asking for the logical devices is what settles them: try first
            if len(tf.config.list_logical_devices("CPU")) < replicas:
                raise RunError(f"--replicas {replicas}: TensorFlow is in use already; start a new process") from error
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")[:replicas]
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_batch(batch: int, replicas: int, what: str = "", group: int = 1) -> None:
    """Raise a `RunError` when devices cannot have equal parts of a batch, in whole groups."""
    if batch % (replicas * group):
        groups = f" in groups of {group}" if group > 1 else ""
        fewer = "--replicas" if current().count == 1 else "hosts"
        raise RunError(f"{what}a batch of {batch} cannot be shared by {replicas} devices{groups}; use fewer {fewer}")


def run_config(preset: Any, dataset: Any, seed: int) -> dict:
    """Return what decides a run's result, as JSON: preset (a dataclass), seed, the data's checksums and classes."""
    config = {"preset": asdict(preset), "seed": seed, "data": [shard["sha256"] for shard in dataset.meta["shards"]]}
    if dataset.kind == "mass":
        config["classes"] = {name: dataset.classes(name) for name in ("margin", "shape")}
    return config


class RunDirectory:
    """The folder of one run.

    Args:
        path: made if absent.
        config: JSON-able settings that decide the result. Those of an existing folder must be equal.
        earlier: values of settings that the config.json of an earlier version lacks; JSON-able, nested like `config`.
            Any other setting that is missing on one side must be off (false, 0, empty) on the other.

    Attributes:
        recorded: the settings as config.json holds them, without those that are newer than the run.

    Raises:
        RunError: the folder cannot be written, or was made with other settings.
    """

    def __init__(self, path: Path, config: dict, earlier: dict | None = None):
        self.path = path
        self.config, self.earlier = (json.loads(json.dumps(settings)) for settings in (config, earlier or {}))
        with system_errors_as(RunError, f"--run {path}", cure="choose another folder"):
            path.mkdir(parents=True, exist_ok=True)
            try:
                # of several hosts the first writes; the lock ends with this object
                self._lock = FolderLock(path) if current().is_chief else None
            except LockError as error:
                raise RunError(f"--run {error}") from error
            self._agree()

    def _agree(self) -> None:
        file = self.path / "config.json"
        self.recorded = self.config
        if not file.exists():
            write_whole(file, json.dumps(self.config, indent=2) + "\n")
            return
        try:
            self.recorded = read_json(file)
        except ValueError as error:
            raise RunError(f"{file}: is damaged; restore it, or choose another --run") from error
        theirs = _completed(self.recorded, self.earlier)
        theirs, ours = _known(theirs, self.config), _known(self.config, theirs)
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                if name == "data":
                    raise RunError(
                        f"--run {self.path}: was trained on other images; use another folder, or the old --data"
                    )
                raise RunError(
                    f"--run {self.path}: was made with other settings ({_difference(name, theirs, ours)}); "
                    "use another folder, or the old settings"
                )

    def stage(self, name: str = "") -> "Stage":
        """Return a part of the run: "phase-3", or "" for all of a run without phases."""
        return Stage(self, name)

    def log(self, record: dict) -> None:
        """Append one line to log.jsonl."""
        with open(self.path / "log.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")

    def forget_log_after(self, stage: "Stage", images_seen: int) -> None:
        """Drop log lines later than the checkpoint being resumed: the run writes them again.

        Args:
            stage: that is resumed; later stages are dropped, too.
            images_seen: in that stage, at the checkpoint.
        """
        file = self.path / "log.jsonl"
        if not file.exists():
            return
        kept = []
        for line in file.read_text(errors="replace").splitlines():
            try:
                record = parse_json(line)
                when = record.get("phase", 0), record["images_seen"]
                if when <= (stage.fields.get("phase", 0), images_seen):
                    kept.append(line + "\n")
            except (ValueError, TypeError, KeyError, AttributeError):  # cut by the kill, or damaged
                continue
        write_whole(file, "".join(kept))


@dataclass(frozen=True)
class Stage:
    """A part of a run that trains one set of networks: a phase, or all of a run without phases.

    Attributes:
        run: that it belongs to.
        name: "phase-3"; "" for all of a run without phases, which keeps its files in the run's own folder.
    """

    run: RunDirectory
    name: str = ""

    @property
    def folder(self) -> Path:
        """Where its checkpoints, samples and generator are."""
        return self.run.path / self.name

    @property
    def generator(self) -> Path:
        """Where its finished generator is; it exists once the stage is complete."""
        return self.folder / "generator.keras"

    @property
    def fields(self) -> dict[str, int]:
        """What its log lines and checkpoints are marked with: {"phase": 3}, or nothing."""
        kind, _, number = self.name.partition("-")
        return {kind: int(number)} if number else {}

    @property
    def title(self) -> str:
        """What its messages begin with: "phase 3: ", or nothing."""
        return "".join(f"{kind} {number}: " for kind, number in self.fields.items())


def _completed(settings, earlier):
    """Settings completed, at any depth, with those of `earlier`."""
    if not isinstance(settings, dict) or not isinstance(earlier, dict):
        return settings
    return earlier | {name: _completed(value, earlier.get(name)) for name, value in settings.items()}


def _known(settings, others):
    """Settings without those that are off and unknown to the others: an older version did not have them yet."""
    if isinstance(settings, dict) and isinstance(others, dict):
        kept = {name: value for name, value in settings.items() if name in others or value}
        return {name: _known(value, others.get(name)) for name, value in kept.items()}
    if isinstance(settings, list) and isinstance(others, list) and len(settings) == len(others):
        return [_known(mine, theirs) for mine, theirs in zip(settings, others, strict=True)]
    return settings


def _difference(name: str, theirs: dict, ours: dict) -> str:
    """The first difference of two settings, at any depth."""
    a, b = theirs.get(name), ours.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
        inner = next(key for key in sorted({*a, *b}) if a.get(key) != b.get(key))
        return f"{name} " + _difference(inner, a, b)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        index = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
        return f"{name} {index + 1} " + _difference(name, {name: a[index]}, {name: b[index]}).removeprefix(f"{name} ")
    return f"{name}: {json.dumps(a)} there, {json.dumps(b)} here"
