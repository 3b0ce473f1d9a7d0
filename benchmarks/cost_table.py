"""What a training step costs: time, floating-point operations, share of the CPU's peak, memory; and a GPU's hours.

    python benchmarks/cost_table.py                       # every phase of every preset, pix2pix and Feature2Mass
    python benchmarks/cost_table.py --rows quick --steps 5

Each row is measured in a process of its own, with the threads per operation that training gives it, after any fade-in.
Operations are those of the step's graph as TensorFlow's profiler counts them. Prints the table in Markdown.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click
from fresh import fresh_model
from machine import PEAK_SIZES, cpu_name, fastest

ROOT = Path(__file__).resolve().parents[1]
GPU, GPU_PEAK, GPU_SHARES = "NVIDIA A100 (312 TFLOP/s in bfloat16)", 312e12, (0.15, 0.01)
PAPERS = {"mask-embedding GAN": ("paper ", 7), "pix2pix": ("pix2pix paper", 1), "Feature2Mass": ("masses paper", 1)}
ROWS = {
    **{
        f"{preset} {phase}": ("mammograms", preset, phase)
        for preset in ("quick", "film", "paper")
        for phase in range(1, 8)
    },
    **{f"pix2pix {preset}": ("pix2pix", preset, None) for preset in ("quick", "paper")},
    **{f"masses {preset}": ("masses", preset, None) for preset in ("quick", "film", "paper")},
}


def model_and_batch(system: str, preset_name: str, phase: int | None):
    """(compiled model, one random batch, steps of the whole preset)."""
    import numpy as np

    random = np.random.default_rng(0)
    if system == "masses":
        from feature2mass.presets import PRESETS
        from feature2mass.train import build_model

        preset = PRESETS[preset_name]
        batch = {"image": random.random((preset.batch, 64, 64, 1), np.float32)}
        for name, classes in (("margin", 5), ("shape", 4)):
            batch[name] = np.eye(classes, dtype=np.float32)[random.integers(classes, size=preset.batch)]
        return build_model(preset, 5, 4, 0), batch, preset.duration(841).steps
    if system == "pix2pix":
        from pix2pix.presets import PRESETS
        from pix2pix.train import build_model

        preset = PRESETS[preset_name]
        shape = (preset.batch, *preset.network.size, 1)
        batch = {name: random.random(shape, np.float32) for name in ("image", "texture_map")}
        return build_model(preset, 0), batch, preset.duration.steps
    from mask_embedding_gan.blocks import resolution
    from mask_embedding_gan.presets import PRESETS

    preset = PRESETS[preset_name]
    schedule = preset.schedule(phase)
    model = fresh_model(preset, phase)
    shape = (schedule.batch, *resolution(phase), 1)
    batch = {"image": random.random(shape, np.float32), "mask": np.float32(random.random(shape) > 0.5)}
    return model, batch, schedule.duration.steps


def operations(model, batch: dict) -> int:
    """Floating-point operations of one step, as TensorFlow's profiler counts those of its graph."""
    import tensorflow as tf
    from tensorflow.compat.v1.profiler import ProfileOptionBuilder, profile

    late = 10**9
    step = tf.function(lambda: model.player_gradients(batch, tf.constant(late, tf.int64), model.variant(late)))
    graph = step.get_concrete_function().graph
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation()).with_empty_output().build()
    return profile(graph, options=options).total_float_ops


def measure(name: str, steps: int) -> dict:
    """One row, in this process."""
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    import tensorflow as tf

    from training.device import limit_threads
    from training.run import configure_tensorflow

    configure_tensorflow()
    system, preset, phase = ROWS[name]
    if phase is not None:
        from mask_embedding_gan.presets import PRESETS

        threads = PRESETS[preset].schedule(phase).threads_per_operation(PRESETS[preset].network)
        if threads:
            limit_threads(threads)
    model, arrays, total = model_and_batch(system, preset, phase)
    batch = {key: tf.constant(value) for key, value in arrays.items()}
    model.discriminator_optimizer.iterations.assign(10**9 // 4)
    model.make_train_function()
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    inner, seconds = model.steps_per_execution, []
    for repeat in range(steps + 2):
        began = time.perf_counter()
        float(next(iter(model.train_function(iterator).values())))
        if repeat >= 2:  # the first compiles, the second warms up
            seconds.append((time.perf_counter() - began) / inner)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    images = len(arrays["image"])
    done = {"ms": 1000 * median(seconds), "gib": memory, "steps": total, "images": images}
    return done | {"operations": operations(model, batch)}


def peak() -> float:
    """FLOP/s of a large matrix product in float32 on all cores."""
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    import tensorflow as tf

    trials = {}
    for size in PEAK_SIZES:
        a, b = (tf.random.normal((size, size)) for _ in range(2))
        trials[2 * size**3] = lambda a=a, b=b: tf.reduce_sum(tf.matmul(a, b)[:1, :1]).numpy()
    return fastest(trials)


def in_a_process(*arguments: str) -> dict:
    """The JSON that this script prints when it is called with `arguments`."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: dict[str, dict], peak_flops: float) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| preset, phase | batch | ms per step | GFLOP per step | GFLOP/s | share of peak | GiB | steps | hours here |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        rate = row["operations"] / row["ms"] * 1e3
        hours = row["ms"] * row["steps"] / 3.6e6
        lines.append(
            f"| {name} | {row['images']} | {row['ms']:.1f} | {row['operations'] / 1e9:.2f} | {rate / 1e9:.0f} | "
            f"{100 * rate / peak_flops:.0f} % | {row['gib']:.1f} | {row['steps']:,} | {hours:,.2f} |"
        )
    return lines


def on_a_gpu(rows: dict[str, dict]) -> list[str]:
    """The hours of each `paper` on the GPU above, at either share of its peak, arithmetic shown."""
    lines = []
    for system, (start, parts) in PAPERS.items():
        found = [row for name, row in rows.items() if name.startswith(start)]
        if len(found) == parts:
            total = sum(row["operations"] * row["steps"] for row in found)
            sums = " + ".join(f"{row['operations'] / 1e9:.1f}·{row['steps']:,}" for row in found)
            hours = (f"{total / (GPU_PEAK * share) / 3600:.1f} hours at {100 * share:.0f} %" for share in GPU_SHARES)
            lines.append(
                f"`paper` of {system} on one {GPU}: {sums} GFLOP = {total / 1e15:.0f}·10¹⁵ operations; "
                f"{', '.join(hours)} of that peak (assumptions)."
            )
    return lines


@click.command(help=__doc__.split("\n")[0])
@click.option("--rows", "wanted", default="", help="Only rows whose name contains this.")
@click.option("--steps", default=5, show_default=True, help="Timed executions per row.")
@click.option("--measure", "one", type=click.Choice([*ROWS, "peak"]), hidden=True)
def main(wanted: str, steps: int, one: str | None) -> None:
    if one:
        click.echo(json.dumps({"flops": peak()} if one == "peak" else measure(one, steps)))
        return
    flops = in_a_process("--measure", "peak")["flops"]
    click.echo(f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores, float32; peak {flops / 1e9:.0f} GFLOP/s\n")
    rows = {}
    for name in ROWS:
        if wanted in name:
            rows[name] = in_a_process("--measure", name, "--steps", str(steps))
            click.echo(f"{name}: {rows[name]['ms']:.1f} ms", err=True)
    click.echo("\n".join([*table(rows, flops), "", *on_a_gpu(rows)]))


if __name__ == "__main__":
    main()
