"""The training loop of every adversarial run, and what happens at each tick: check, print, record, draw, checkpoint.

A tick is a Keras epoch: so many steps, whatever the number of images.
"""

import math
import time
from collections.abc import Callable

import cv2
import keras
import numpy as np
import tensorflow as tf

from training.checkpoint import save_checkpoint
from training.cluster import current
from training.model import AdversarialModel
from training.run import NonFiniteLossError, RunDirectory


def fit(
    model: AdversarialModel,
    batches: tf.data.Dataset,
    run: RunDirectory,
    phase: int | None,
    *,
    batch: int,
    steps_per_tick: int,
    ticks: int,
    images_seen: int,
    samples: Callable[[], np.ndarray],
    describe: Callable[[], dict[str, float]] = dict,
    echo: Callable[[str], None] = print,
) -> None:
    """Train a compiled model from where it stands to the end of a phase, or of a run of a single one (None).

    Args:
        model: with the weights of its newest checkpoint, if it has one.
        batches: endless, from the first image that the model has not seen; this host's share of each.
        run: where.
        batch: images a step, over all replicas.
        ticks: in all, those done before included.
        images_seen: by the model, whole ticks.
        samples, describe, echo: as `Tick` takes them.

    Raises:
        NonFiniteLossError: training diverged; the checkpoint before it is kept.
    """
    images_per_tick = steps_per_tick * batch
    if images_seen and current().is_chief:
        echo(f"{'' if phase is None else f'phase {phase}: '}continues from its checkpoint at {images_seen} images")
    if current().is_chief:
        run.forget_log_after(phase, images_seen)
    tick = Tick(
        run,
        phase,
        describe,
        images_per_tick=images_per_tick,
        images_in_phase=ticks * images_per_tick,
        samples=samples,
        echo=echo,
    )
    model.fit(
        _per_replica(batches, model.distribute_strategy),
        epochs=ticks,
        initial_epoch=images_seen // images_per_tick,
        steps_per_epoch=steps_per_tick,
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
        self.is_chief = current().is_chief  # the others only check: what they would write is the same
        if not self.is_chief:
            return
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
        if not self.is_chief:
            return
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
