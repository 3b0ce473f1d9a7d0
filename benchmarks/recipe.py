"""One arm of a recipe search: a preset, changed or not, trained for given core-seconds, then measured.

    python benchmarks/recipe.py --data films --preset film --output arms/film
    python benchmarks/recipe.py --data films --preset film --change network.noise_levels=[] --output arms/no-noise

Every arm gets the same CPU seconds of one core in each phase: the time of its step is measured first, and its images
follow from that. `realism.py` then measures its generators.
"""

import json
import os
import time
from dataclasses import is_dataclass, replace
from pathlib import Path

import click
from fresh import fresh_model
from machine import cpu_name
from realism import measured, table

FADE_IN = 0.35  # of a phase
EMA_HALF_LIFE = 0.05  # of a phase's images, as in `quick`


def changed(settings, path: str, value):
    """A frozen dataclass with field `a.b` of another value; `phases.x` is of every phase, `phases.3.x` of one."""
    name, _, rest = path.partition(".")
    if not rest:
        if not hasattr(settings, name):
            raise click.UsageError(f"--change: there is no setting {name!r} in {type(settings).__name__}")
        return replace(settings, **{name: tuple(value) if isinstance(value, list) else value})
    inner = getattr(settings, name)
    if is_dataclass(inner):
        return replace(settings, **{name: changed(inner, rest, value)})
    number, _, field = rest.partition(".")
    phases = range(1, len(inner) + 1) if not number.isdigit() else [int(number)]
    field = field if number.isdigit() else rest
    parts = (changed(one, field, value) if phase in phases else one for phase, one in enumerate(inner, start=1))
    return replace(settings, **{name: tuple(parts)})


def seconds_per_image(preset, phase: int) -> float:
    """CPU seconds of a step just after its fade-in, over its batch, on random images."""
    import numpy as np
    import tensorflow as tf

    from mask_embedding_gan.blocks import resolution

    schedule = preset.schedule(phase)
    model = fresh_model(preset, phase)
    shape = (schedule.batch, *resolution(phase), 1)
    batch = {"image": tf.random.uniform(shape), "mask": tf.ones(shape)}
    faded_in = model.variant(-(-schedule.fade_in_images // schedule.batch))
    step = tf.function(lambda batch: model.train_step(batch, faded_in))
    times = []
    for _ in range(12):
        began = time.process_time()
        step(batch)
        times.append(time.process_time() - began)
    return float(np.median(times[2:])) / schedule.batch


def budgeted(preset, budgets: tuple[float, ...]):
    """The preset with as many images in each phase as its CPU seconds allow."""
    phases = []
    for schedule, seconds in zip(preset.phases, budgets):
        per_step = schedule.batch * schedule.steps_per_execution
        images = max(1, round(seconds / seconds_per_image(preset, schedule.phase) / per_step)) * per_step
        fading = round(FADE_IN * images) if schedule.fade_in_images else 0
        durations = {"fade_in_images": fading, "stable_images": images - fading, "ticks": 1}
        phases.append(replace(schedule, **durations, ema_half_life_images=EMA_HALF_LIFE * images))
    return replace(preset, phases=tuple(phases))


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Shards of real mammograms.")
@click.option("--preset", type=click.Choice(["quick", "film", "paper"]), default="film")
@click.option("--change", "changes", multiple=True, metavar="SETTING=JSON", help="Of the preset. Repeatable.")
@click.option("--budget", default="8,25,150,417", help="CPU seconds of each phase, from the first.")
@click.option("--measure", type=click.IntRange(1, 7), multiple=True, show_default="the last", help="Phase. Repeatable.")
@click.option("--core", type=click.IntRange(0), default=0, help="The only one to use.")
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the run and its results.")
def main(
    data: Path,
    preset: str,
    changes: tuple[str, ...],
    budget: str,
    measure: tuple[int, ...],
    core: int,
    seed: int,
    output: Path,
) -> None:
    """Train one arm and measure it."""
    os.sched_setaffinity(0, {core})
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    import cv2
    import keras

    from mask_embedding_gan.presets import PRESETS
    from mask_embedding_gan.train import train
    from preprocessing.shards import open_dataset
    from training.run import RunDirectory, configure_tensorflow, run_config

    configure_tensorflow()
    plan = PRESETS[preset]
    for change in changes:
        path, _, value = change.partition("=")
        plan = changed(plan, path, json.loads(value))
    plan = budgeted(plan, tuple(float(seconds) for seconds in budget.split(",")))
    dataset = open_dataset(data, kind="mammogram")
    run = RunDirectory(output / "run", run_config(plan, dataset, seed))
    spent = {}
    for schedule in plan.phases:
        began = time.process_time()
        train(dataset, run, plan, schedule.phase, seed=seed)
        spent[schedule.phase] = {
            "images": schedule.duration.total_images,
            "cpu_seconds": round(time.process_time() - began, 1),
        }
    result = {"preset": preset, "changes": changes, "seed": seed, "phases": spent, "cpu": cpu_name(), "metrics": {}}
    for phase in measure or (len(plan.phases),):
        generator = keras.models.load_model(run.stage(f"phase-{phase}").generator)
        rows, picture = measured(dataset, generator, seed)
        result["metrics"][phase] = {
            name: [estimate and round(estimate.value, 4) for estimate in row] for name, row in rows.items()
        }
        (output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
        cv2.imwrite(str(output / f"picture-{phase}.png"), picture)
        click.echo(f"phase {phase}\n" + table(rows))


if __name__ == "__main__":
    main()
