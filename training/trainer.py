"""One trainer for every system: `train_stage` resumes, trains tick by tick, and saves what is finished.

What differs from system to system is a `Training`. At each tick: check, print, record, draw, checkpoint.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf

from preprocessing.atomic import remove_left_over, write_whole
from training.checkpoint import CheckpointError, DamagedCheckpointError, restore_checkpoint, save_checkpoint
from training.cluster import current
from training.export import save_model
from training.model import AdversarialModel
from training.run import NonFiniteLossError, Stage, check_batch, choose_strategy
from training.schedule import Duration


class Training(ABC):
    """What one system brings to the training of one stage.

    Attributes:
        stage: where its files are.
        duration: how long it lasts.
        group_size: images that must be on one device together.
    """

    stage: Stage
    duration: Duration
    group_size: int = 1

    @abstractmethod
    def build(self) -> AdversarialModel:
        """Build the compiled model with networks as drawn; a function of the seed alone."""

    def begin(self, model: AdversarialModel) -> None:  # noqa: B027  networks as drawn are a way to begin
        """Fill the networks of a stage that has no checkpoint yet; by default they stay as drawn."""

    @abstractmethod
    def batches(self, first_image: int) -> tf.data.Dataset:
        """Read endless batches of real images from the first that the model has not seen; this host's share of each."""

    @abstractmethod
    def sampler(self, model: AdversarialModel) -> Callable[[], np.ndarray]:
        """Return () → sample images of the moving average, float (rows, columns, height, width) in [0, 1]."""

    def fields(self, model: AdversarialModel) -> dict[str, float]:
        """Return what status lines show and logs record next to the losses, e.g. alpha."""
        return {}

    @abstractmethod
    def finished(self, model: AdversarialModel) -> dict[Path, keras.Model]:
        """Return the networks to save once training is complete, by file, in the order in which they are written."""


def train_stage(
    training: Training, strategy: tf.distribute.Strategy | None = None, echo: Callable[[str], None] = print
) -> None:
    """Train a stage to its end, from its newest checkpoint if it has one, and save its finished networks.

    Args:
        strategy: the devices. Defaults to those of `training.run.choose_strategy`, which may be on several hosts.

    Raises:
        RunError: the batch cannot be shared by the devices.
        CheckpointError: the newest checkpoint is of another network, or all are damaged.
        NonFiniteLossError: training diverged; the checkpoint before it is kept.
    """
    strategy = strategy or choose_strategy()
    stage, duration, cluster = training.stage, training.duration, current()
    check_batch(duration.batch, strategy.num_replicas_in_sync, what=stage.title, group=training.group_size)
    with strategy.scope():
        model = resumed(training, echo if cluster.is_chief else lambda line: None)
    cluster.same_start(model)
    images_seen = model.images_seen
    if cluster.is_chief:
        if images_seen:
            echo(f"{stage.title}continues from its checkpoint at {images_seen} images")
        stage.run.forget_log_after(stage, images_seen)
    tick = Tick(stage, training.sampler(model), lambda: training.fields(model), echo)
    fit(model, training.batches(images_seen), tick)
    finished = training.finished(model)
    if cluster.is_chief:
        remove_left_over(stage.folder)
        for file, network in finished.items():
            save_model(network, file)


def resumed(training: Training, echo: Callable[[str], None] = print) -> AdversarialModel:
    """Build the compiled model of a stage, as far as it has been trained; call inside the strategy's scope.

    Raises:
        CheckpointError: the newest checkpoint is of another network, or all are damaged.
    """
    model, folder = training.build(), training.stage.folder
    damaged = ""
    # 1. this stage's own newest whole checkpoint
    for checkpoint in current().checkpoints(folder):
        if damaged:
            echo(f"{damaged}; the one before it is used")
        try:
            restore_checkpoint(checkpoint, model)
            return model
        except DamagedCheckpointError as error:
            damaged = str(error)
    if damaged:
        raise CheckpointError(f"{damaged}, and there is none before it; restore it, or remove {folder} to begin anew")
    # 2. what the system begins with
    training.begin(model)
    return model


def fit(model: AdversarialModel, batches: tf.data.Dataset, tick: "Tick") -> None:
    """Train a compiled model to the end of its duration, which it may have begun; a tick is a Keras epoch."""
    model.fit(
        _per_replica(batches, model.distribute_strategy),
        epochs=model.duration.ticks,
        initial_epoch=model.images_seen // model.duration.images_per_tick,
        steps_per_epoch=model.duration.steps_per_tick,
        verbose=0,
        shuffle=False,  # the reader has shuffled
        callbacks=[tick],
    )


def _per_replica(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> tf.data.Dataset:
    """What `fit` takes: on one host it divides batches itself; of several, each feeds its share to its own devices."""
    if current().count == 1:
        return batches
    devices = len(strategy.extended.worker_devices)

    def divided(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if devices == 1:
            return batches
        return batches.map(
            lambda batch: tf.nest.map_structure(lambda part: tf.stack(tf.split(part, devices)), batch)
        ).unbatch()

    return strategy.distribute_datasets_from_function(divided)


def grid(images: np.ndarray, gap: int = 2) -> np.ndarray:
    """Lay images out in a table.

    Args:
        images: float `(rows, columns, height, width)` in [0, 1].

    Returns:
        uint8 `(rows · (height + gap) − gap, columns · (width + gap) − gap)`, gaps dark grey.
    """
    rows, columns, height, width = images.shape
    sheet = np.full((rows, height + gap, columns, width + gap), 96, np.uint8)
    shown = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    sheet[:, :height, :, :width] = shown.transpose(0, 2, 1, 3)
    return sheet.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap]


class Tick(keras.callbacks.Callback):
    """At the end of every tick (a Keras epoch), in this order: check, print, record, draw, checkpoint.

    Args:
        samples: () → sample images float (rows, columns, height, width), from the moving average.
        describe: () → fields to show and record next to the losses, e.g. alpha.
    """

    def __init__(
        self,
        stage: Stage,
        samples: Callable[[], np.ndarray],
        describe: Callable[[], dict[str, float]] = dict,
        echo: Callable[[str], None] = print,
    ):
        super().__init__()
        self.stage, self.samples, self.describe, self.echo = stage, samples, describe, echo
        self.is_chief = current().is_chief  # the others only check: what they would write is the same
        if self.is_chief:
            self.writer = tf.summary.create_file_writer(str(stage.run.path / "tensorboard" / stage.name))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.perf_counter() - self.began
        assert logs is not None
        model: AdversarialModel = self.model
        losses = {name: float(logs[name]) for name in model.trackers}
        self._check(losses)
        if not self.is_chief:
            return
        described = self.describe()
        record = {
            **self.stage.fields,
            "images_seen": model.images_seen,
            **described,
            **losses,
            "images_per_second": model.duration.images_per_tick / seconds,
            "seconds": seconds,
        }
        self.echo(self._line(record, [*described, *losses]))
        self.stage.run.log(record)
        sheet = grid(self.samples())
        self._tensorboard(record, sheet)
        folder = self.stage.folder
        write_whole(folder / f"samples-{model.images_seen:010d}.png", cv2.imencode(".png", sheet)[1].tobytes())
        save_checkpoint(folder, model, self.stage.fields)

    def _check(self, losses: dict[str, float]) -> None:
        """Raise where a loss or a weight is not finite."""
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        weights = (*self.model.generator.weights, *self.model.discriminator.weights)
        if not bad and not all(np.isfinite(np.asarray(weight)).all() for weight in weights):
            bad = ["a weight"]
        if bad:
            last = int(np.asarray(self.model.iterations))
            raise NonFiniteLossError(
                f"{self.stage.title}{', '.join(bad)} became NaN or infinite between steps "
                f"{last - self.model.duration.steps_per_tick} and {last}; the checkpoint before it is kept in "
                f"{self.stage.folder}; try --precision float32, a shorter training or another --seed"
            )

    def _line(self, record: dict, shown: list[str]) -> str:
        total = self.model.duration.total_images
        seconds_left = (total - record["images_seen"]) / record["images_per_second"]
        minutes, seconds = divmod(round(seconds_left), 60)
        fields = [
            *(f"{name} {number}" for name, number in self.stage.fields.items()),
            f"{record['images_seen'] / 1000:.1f} of {total / 1000:.1f} kimg",
            *(f"{name} {record[name]:.3g}" for name in shown),
            f"{record['images_per_second']:,.0f} images/s",
            f"{next(iter(self.stage.fields), 'run')} ends in {minutes} min {seconds} s",
        ]
        return " · ".join(fields)

    def _tensorboard(self, record: dict, sheet: np.ndarray) -> None:
        with self.writer.as_default(step=record["images_seen"]):
            for name, value in record.items():
                tf.summary.scalar(name, value)
            tf.summary.image("samples", sheet[None, :, :, None])
        self.writer.flush()
