"""Finish a long training early: the phases that are left, from its newest checkpoint, on fewer images.

    python benchmarks/branch_off.py --run long/run --data films --images 30000 --output branch

The run stays as it is. The included generator is such a branch (`docs/model-card.md`).
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import click
from recipe import changed

EMA_HALF_LIFE = 0.06  # of a phase's images


def shortened(preset, phase: int, seen: int, images: int):
    """The preset with the phase ending at the images it has seen, and with few images in each later one."""
    phases = []
    for one in preset.phases:
        if one.phase == phase:
            one = replace(one, fade_in_images=min(one.fade_in_images, seen))
            one = replace(one, stable_images=seen - one.fade_in_images, ticks=1)
        elif one.phase > phase:
            one = replace(one, stable_images=images - one.fade_in_images, ticks=3)
            one = replace(one, ema_half_life_images=EMA_HALF_LIFE * images)
        phases.append(one)
    return replace(preset, phases=tuple(phases))


@click.command(context_settings={"show_default": True})
@click.option(
    "--run", type=click.Path(exists=True, path_type=Path), required=True, help="A folder, or a light checkpoint."
)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="What the run is trained on.")
@click.option("--images", type=click.IntRange(1), default=30_000, help="Of each phase that is left, or windows.")
@click.option("--phase", type=click.IntRange(1, 7), default=7, help="The last to train.")
@click.option("--change", "changes", multiple=True, metavar="SETTING=JSON", help="As of recipe.py.")
@click.option("--core", type=click.IntRange(0), default=0, help="The only one to use.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the new run.")
def main(run: Path, data: Path, images: int, phase: int, changes: tuple[str, ...], core: int, output: Path) -> None:
    """Finish a long training early, in a run of its own."""
    os.sched_setaffinity(0, {core})
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    from mask_embedding_gan.handover import begin_with, save_networks
    from mask_embedding_gan.presets import PRESETS
    from mask_embedding_gan.train import train
    from preprocessing.shards import open_dataset
    from training.checkpoint import read_state
    from training.run import RunDirectory, configure_tensorflow, run_config

    configure_tensorflow()
    output.mkdir(parents=True, exist_ok=True)
    networks = output / "networks.h5"
    if not networks.exists():
        if run.is_dir():
            save_networks(run, networks)
        else:
            networks.write_bytes(run.read_bytes())
    state = read_state(networks)
    plan = shortened(PRESETS["film"], state["phase"], state["images_seen"], images)
    for change in changes:
        path, _, value = change.partition("=")
        plan = changed(plan, path, json.loads(value))
    dataset = open_dataset(data, kind="mammogram")
    branch = RunDirectory(output / "run", run_config(plan, dataset, 0))
    begin_with(branch, plan, networks)
    for last in range(state["phase"], phase + 1):
        train(dataset, branch, plan, last, seed=0)
        click.echo(f"phase {last}: {branch.stage(f'phase-{last}').generator}")


if __name__ == "__main__":
    main()
