"""A run directory, and what happens at every tick: check, print, record, draw, checkpoint.

runs/demo/config.json                          what the run was started with; a rerun must agree
runs/demo/log.jsonl                            a line a tick
runs/demo/tensorboard/                         the same figures and sample grids
runs/demo/phase-3/checkpoint-0000024000.h5     the last two
runs/demo/phase-3/samples-0000024000.png       fixed masks and latents
runs/demo/phase-3/generator.keras              once the phase is complete

A run of a single phase keeps its checkpoints and samples in the folder itself, and its log has no phase.
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf

from training.adversarial import AdversarialModel
from training.checkpoint import save_checkpoint


class RunError(ValueError):
    """A run cannot start or go on; the message is for the user: what was wrong and what to do."""


class NonFiniteLossError(RunError):
    """A loss became NaN or infinite."""


def configure_tensorflow(*, deterministic: bool = True) -> None:
    """Settings of a process that trains; call before the first operation.

    Args:
        deterministic: the same numbers on every run of the same machine, which exact resume promises.
    """
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    # the remapper fails on graphs with a gradient penalty, after an error line for each
    tf.config.optimizer.set_experimental_options({"remapping": False})


def choose_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """`MirroredStrategy` over the visible GPUs when there are several, else the default strategy.

    Args:
        replicas: use this many devices. Without GPUs the CPU is divided into as many logical devices (a way to try what
            several GPUs would do), which must happen before TensorFlow has touched it. Defaults to all GPUs.

    Raises:
        RunError: fewer devices than asked for.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if replicas is None:
        replicas = max(1, len(gpus))
    if gpus and replicas > len(gpus):
        raise RunError(f"--replicas {replicas}: only {len(gpus)} GPUs are visible")
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


class RunDirectory:
    """The folder of one run.

    Args:
        path: made if absent.
        config: JSON-able settings that decide the result. Those of an existing folder must be equal.

    Raises:
        RunError: the folder cannot be written, or was made with other settings.
    """

    def __init__(self, path: Path, config: dict):
        self.path = path
        self.config = json.loads(json.dumps(config))
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._agree()
        except OSError as error:
            raise RunError(f"--run {path}: cannot be written ({error.strerror}); choose another folder") from error

    def _agree(self) -> None:
        file = self.path / "config.json"
        if not file.exists():
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(self.config, indent=2) + "\n")
            os.replace(partial, file)
            return
        try:
            theirs = json.loads(file.read_text())
        except ValueError as error:
            raise RunError(f"{file}: is damaged; restore it, or choose another --run") from error
        for name in sorted({*theirs, *self.config}):
            if theirs.get(name) != self.config.get(name):
                raise RunError(
                    f"--run {self.path}: was made with other settings ({_difference(name, theirs, self.config)}); "
                    "use another folder, or the old settings"
                )

    def phase(self, phase: int | None) -> Path:
        """The folder of a phase; of a run of a single phase (None), its own."""
        return self.path if phase is None else self.path / f"phase-{phase}"

    def generator(self, phase: int | None) -> Path:
        """Where the finished generator of a phase, or of a run of a single one (None), is; it exists once complete."""
        return self.phase(phase) / "generator.keras"

    def log(self, record: dict) -> None:
        """Append one line to log.jsonl."""
        with open(self.path / "log.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")

    def forget_log_after(self, phase: int | None, images_seen: int) -> None:
        """Drop the lines of work that a kill undid: a resumed run writes them again."""
        file = self.path / "log.jsonl"
        if not file.exists():
            return
        kept = []
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the line that the kill cut
                continue
            if (record.get("phase", 0), record["images_seen"]) <= (phase or 0, images_seen):
                kept.append(line + "\n")
        partial = file.with_suffix(".partial")
        partial.write_text("".join(kept))
        os.replace(partial, file)


def _difference(name: str, theirs: dict, ours: dict) -> str:
    """The first place where two settings differ, however deep."""
    a, b = theirs.get(name), ours.get(name)
    if isinstance(a, dict) and isinstance(b, dict):
        inner = next(key for key in sorted({*a, *b}) if a.get(key) != b.get(key))
        return f"{name} " + _difference(inner, a, b)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        index = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
        return f"{name} {index + 1} " + _difference(name, {name: a[index]}, {name: b[index]}).removeprefix(f"{name} ")
    return f"{name}: {json.dumps(a)} there, {json.dumps(b)} here"


def grid(images: np.ndarray, gap: int = 2) -> np.ndarray:
    """Lay images out in a table.

    Args:
        images: float `(rows, columns, height, width)` in [0, 1].

    Returns:
        uint8 `(rows · (height + gap) − gap, columns · (width + gap) − gap)`, gaps mid-grey.
    """
    rows, columns, height, width = images.shape
    sheet = np.full((rows, height + gap, columns, width + gap), 96, np.uint8)
    shown = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    sheet[:, :height, :, :width] = shown.transpose(0, 2, 1, 3)
    return sheet.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap]


class Tick(keras.callbacks.Callback):
    """At the end of every tick (a Keras epoch), in this order: check, print, record, draw, checkpoint.

    Args:
        run: where.
        phase: number of the phase; None for a run of a single one.
        describe: () → fields to show and record beside the losses, e.g. alpha.
        images_per_tick, images_in_phase: of this phase.
        samples: () → sample images float `(rows, columns, height, width)`, from the moving average.
        echo: prints the status line.
    """

    def __init__(
        self,
        run: RunDirectory,
        phase: int | None,
        describe: Callable[[], dict[str, float]],
        images_per_tick: int,
        images_in_phase: int,
        samples: Callable[[], np.ndarray],
        echo: Callable[[str], None] = print,
    ):
        super().__init__()
        self.run, self.phase, self.describe = run, phase, describe
        self.images_per_tick, self.images_in_phase = images_per_tick, images_in_phase
        self.samples, self.echo = samples, echo
        self.numbered = {} if phase is None else {"phase": phase}
        events = run.path / "tensorboard"
        self.writer = tf.summary.create_file_writer(str(events if phase is None else events / f"phase-{phase}"))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.perf_counter() - self.began
        model: AdversarialModel = self.model
        images_seen = (epoch + 1) * self.images_per_tick
        losses = {name: float(logs[name]) for name in model.trackers}
        if not all(math.isfinite(value) for value in losses.values()):
            bad = ", ".join(name for name, value in losses.items() if not math.isfinite(value))
            raise NonFiniteLossError(self._diverged(bad, epoch))
        if not all(
            np.isfinite(np.asarray(weight)).all() for weight in (*model.generator.weights, *model.critic.weights)
        ):
            raise NonFiniteLossError(self._diverged("a weight", epoch))
        images_per_second = self.images_per_tick / seconds
        record = {
            **self.numbered,
            "images_seen": images_seen,
            **self.describe(),
            **losses,
            "images_per_second": images_per_second,
            "data_wait_percent": 100 * float(logs["data_wait_seconds"]) / seconds,
            "seconds": seconds,
        }
        self.echo(self._line(record, (self.images_in_phase - images_seen) / images_per_second))
        self.run.log(record)
        sheet = grid(self.samples())
        self._tensorboard(record, sheet)
        folder = self.run.phase(self.phase)
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"samples-{images_seen:010d}.png"), sheet)
        save_checkpoint(folder, model, images_seen, self.numbered)

    def _diverged(self, what: str, epoch: int) -> str:
        first, last = epoch * self.params["steps"], (epoch + 1) * self.params["steps"]
        where = "" if self.phase is None else f"phase {self.phase}: "
        return (
            f"{where}{what} became NaN or infinite between steps {first} and {last}; "
            f"the checkpoint before it is kept in {self.run.phase(self.phase)}; try --precision float32, a shorter "
            "training or another --seed"
        )

    def _line(self, record: dict, seconds_left: float) -> str:
        minutes, seconds = divmod(round(seconds_left), 60)
        fields = [
            *(f"{name} {number}" for name, number in self.numbered.items()),
            f"{record['images_seen'] / 1000:.1f} of {self.images_in_phase / 1000:.1f} kimg",
            *(f"{name} {value:.3g}" for name, value in self.describe().items()),
            *(f"{name} {record[name]:.3g}" for name in self.model.trackers),
            f"{record['images_per_second']:,.0f} images/s",
            f"data wait {record['data_wait_percent']:.1f} %",
            f"{'run' if self.phase is None else 'phase'} ends in {minutes} min {seconds} s",
        ]
        return " · ".join(fields)

    def _tensorboard(self, record: dict, sheet: np.ndarray) -> None:
        with self.writer.as_default(step=record["images_seen"]):
            for name, value in record.items():
                tf.summary.scalar(name, value)
            tf.summary.image("samples", sheet[None, :, :, None])
        self.writer.flush()
