"""One arm of the search for the recipe of masses: a preset of Feature2Mass, changed or not, trained and measured.

    python benchmarks/mass_recipe.py --data masses --preset film --output arms/film
    python benchmarks/mass_recipe.py --data masses --preset film --change texture.mixtures=0 --output arms/no-mixtures

Every arm gets the same CPU seconds of one core: the time of its step is measured first, its images follow from that.
For each labelled mass of the dataset one mass of its category is generated from the training masses, and both sets are
compared, next to one half of the real patients against the other. The folder above `--output` keeps what all arms
share: how well two halves of the real masses can be told apart.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import click
from machine import cpu_name
from recipe import changed

METRICS = [
    "swd_7x7",
    "fid_radiomic_z",
    "precision_k3_radiomic_z",
    "recall_k3_radiomic_z",
    "fine_energy_64px",
    "beta_64px",
]
COLUMNS = 12  # masses per row of the picture
ROWS = 3  # of generated masses in it
PAIRS = 2000  # of two masses of a category
CLASSES = (4, 5)  # shapes, margins
FOLDS = 5
RIDGE = 50.0
TIMED = 12  # steps, of which the first two do not count


def seconds_per_image(preset) -> float:
    """CPU seconds of a step over its batch, on random images."""
    import numpy as np
    import tensorflow as tf

    from feature2mass.train import build_model

    model = build_model(preset, 5, 4, 0)
    labels = np.random.default_rng(0).integers(0, 4, preset.batch)
    batch = {"image": tf.random.uniform((preset.batch, 64, 64, 1))}
    batch |= {name: tf.one_hot(labels, classes) for name, classes in (("margin", 5), ("shape", 4))}
    step = tf.function(model.train_step)
    times = []
    for _ in range(TIMED):
        began = time.process_time()
        step(batch)
        times.append(time.process_time() - began)
    return float(np.median(times[2:])) / preset.batch


def budgeted(preset, seconds: float, masses: int):
    """The preset, of the length that its CPU seconds allow; the moving average forgets as in `quick`."""
    per_image = seconds_per_image(preset)
    images = seconds / per_image
    settings = {"epochs": images / masses, "ticks": 2, "ema_half_life_images": 0.06 * images}
    if preset.texture.final_reconstruction:  # its distance halves ten times
        settings["texture"] = replace(preset.texture, reconstruction_half_life_images=images / 10)
    return replace(preset, **settings), per_image * preset.batch


def generated(dataset, networks, seed: int) -> tuple:
    """(masses, subject of the leading seed, (shape, margin) of each), one for each labelled mass of the dataset."""
    import numpy as np

    from feature2mass.library import DatasetLibrary
    from feature2mass.mixing import Mixer
    from feature2mass.seeds import categories, recipe
    from preprocessing.batches import labelled_masses

    found = {(one.shape, one.margin): one for one in categories(dataset)}
    wanted = [tuple(pair) for pair in labelled_masses(dataset)[1].tolist() if tuple(pair) in found]
    recipes = [recipe(number, [found[pair]], seed) for number, pair in enumerate(wanted)]
    library = DatasetLibrary(networks.encoder, networks.decoder, dataset)
    mixer = Mixer(library, networks.mixing)
    masses = [mixer.masses(recipes[first : first + 64]) for first in range(0, len(recipes), 64)]
    leaders = [one.seeds[0] for one in recipes]
    return np.concatenate(masses).clip(0, 1), dataset.field("subject")[leaders], np.array(wanted)


def measured(dataset, networks, shared: Path, seed: int, detect: bool) -> tuple[dict, object]:
    """({metric: [generated, real]}, a picture, uint8)."""
    import numpy as np

    from evaluation.evaluate import evaluate
    from evaluation.image_set import Samples
    from preprocessing.batches import labelled_masses

    indices, labels = labelled_masses(dataset)
    images = dataset.images((64, 64), indices)
    fakes, leaders, fake_labels = generated(dataset, networks, seed)
    people = dataset.field("subject")[indices]
    number = {subject: n for n, subject in enumerate(np.unique([*people, *leaders]))}
    real, fake = (
        Samples(pictures, np.ones(pictures.shape, bool), name, np.array([number[subject] for subject in subjects]))
        for pictures, name, subjects in ((images, "real", people), (fakes, "generated", leaders))
    )
    rows = {}
    for row in evaluate(real, fake, METRICS, seed=seed).rows:
        rows[row.name] = [one and [one.value, one.low, one.high] for one in (row.generated, row.real)]
    rows["variation"] = [variation(fakes, fake_labels), variation(images, labels)]
    rows["octaves"] = [octaves(fakes), octaves(images)]
    rows["labels"] = read_labels(fakes, fake_labels, images, labels, people)
    rows["nearest"] = copies(dataset, fakes)
    reconstructions, rows["reconstruction"] = reconstructed(dataset, networks)
    rows["octaves of reconstructions"] = [octaves(part) for part in reconstructions[::-1]]
    if detect:
        rows["auc"] = [detected(real, fake, seed), real_against_real(real, shared / "floor.json", seed)]
    return rows, picture(images, reconstructions, fakes)


def variation(images, labels) -> float:
    """Root mean square difference of two masses of a category, over random pairs."""
    import numpy as np

    random = np.random.default_rng(0)
    keys = labels[:, 0] * 100 + labels[:, 1]
    found = []
    for first in random.integers(0, len(images), PAIRS):
        others = np.flatnonzero(keys == keys[first])
        second = random.choice(others)
        if second != first:
            found.append(np.sqrt(np.square(images[first] - images[second]).mean()))
    return float(np.mean(found))


def octaves(images) -> list[float]:
    """Root mean square of each octave, finest first."""
    import numpy as np

    from feature2mass.octaves import energies

    return np.sqrt(np.mean([energies(image - image.mean()) for image in images], axis=0)).tolist()


def read_labels(fakes, fake_labels, images, labels, people) -> list[dict]:
    """AUC of a linear reader of labels that saw real masses: on generated ones, and on real ones of other patients.

    Ridge regression of radiomic and polar features. It reads more of these small masses than the convolutional
    classifier of `evaluation.mass_classifier` does, which finds next to nothing in 809 of them.
    """
    import numpy as np

    described, of_fakes = (describe(pictures) for pictures in (images, fakes))
    patients = np.random.default_rng(0).permutation(np.unique(people))
    predicted = np.empty((len(images), sum(CLASSES)))
    for fold in range(FOLDS):
        held_out = np.isin(people, patients[fold::FOLDS])
        predicted[held_out] = fitted(described[~held_out], labels[~held_out])(described[held_out])
    return [areas(fitted(described, labels)(of_fakes), fake_labels), areas(predicted, labels)]


def fitted(described, labels):
    """Ridge regression of one-hot labels: a function of descriptions."""
    import numpy as np

    mean, spread = described.mean(axis=0), described.std(axis=0) + 1e-9
    scaled = lambda values: np.c_[np.clip((values - mean) / spread, -4, 4), np.ones(len(values))]
    wanted = np.concatenate([np.eye(count)[column] for count, column in zip(CLASSES, labels.T)], axis=1)
    x = scaled(described)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ wanted)
    return lambda values: scaled(values) @ weights


def areas(predicted, labels) -> dict:
    """AUC of shapes and margins, one against the others, and of spiculated against circumscribed."""
    import numpy as np

    from evaluation.roc import area_under_roc

    result, first = {}, 0
    for name, count, column in zip(("shape", "margin"), CLASSES, labels.T):
        part, first = predicted[:, first : first + count], first + count
        result[name] = float(np.mean([area_under_roc(part[:, k], column == k) for k in range(count)]))
    either = np.isin(labels[:, 1], (0, CLASSES[1] - 1))  # circumscribed is the first margin, spiculated the last
    ratio = part[:, -1] - part[:, 0]
    return result | {"spiculated": float(area_under_roc(ratio[either], labels[either, 1] > 0))}


def describe(images):
    """Radiomic features, and by distance from the centre: brightness, and gradients outwards and around."""
    import numpy as np

    from evaluation.metrics.features import radiomic

    rows, columns = np.indices(images.shape[1:]) - 31.5
    distance = np.hypot(rows, columns)
    down, across = np.gradient(images.astype(float), axis=(1, 2))
    outwards = (down * rows + across * columns) / np.maximum(distance, 1)
    around = (across * rows - down * columns) / np.maximum(distance, 1)
    found = [radiomic(images, np.ones(images.shape, bool))]
    for ring in range(8):
        inside = np.minimum(distance // 4, 7) == ring
        for values in (images, outwards):
            found.append(values[:, inside].mean(axis=1)[:, None])
        for values in (images, outwards, around):
            found.append(values[:, inside].std(axis=1)[:, None])
    return np.concatenate(found, axis=1)


def copies(dataset, fakes) -> list[float]:
    """Median root mean square difference to the nearest training mass, mirrored ones included: generated, held out."""
    import numpy as np

    from evaluation.metrics.feature_distances import nearest
    from feature2mass.seeds import mirrored
    from preprocessing.batches import labelled_masses

    training, held_out = (
        dataset.images((64, 64), labelled_masses(dataset, split)[0]).astype(np.float64)
        for split in ("train", "validation")
    )
    others = mirrored(training).reshape(-1, 64 * 64) / 64
    return [float(np.median(nearest(one.reshape(len(one), -1) / 64, others)[0])) for one in (fakes, held_out)]


def reconstructed(dataset, networks) -> tuple:
    """(held-out masses as decoded from their own features, mean absolute difference)."""
    import numpy as np

    from feature2mass.features import decode, encode
    from preprocessing.batches import labelled_masses

    indices, labels = labelled_masses(dataset, "validation")
    images = dataset.images((64, 64), indices)
    made = decode(networks.decoder, encode(networks.encoder, images, margins=labels[:, 1], shapes=labels[:, 0]))
    return np.stack([images, made]), [float(np.abs(made - images).mean()), None]


def detected(real, fake, seed: int) -> list[float]:
    """AUC, with its interval, of a classifier of generated against real masses, five folds by patient."""
    from evaluation.metrics.realism import real_or_generated

    found = real_or_generated(real, fake, seed=seed)
    return [found.value, found.low, found.high]


def real_against_real(real, file: Path, seed: int) -> list[float]:
    """The same of the masses of one half of the patients against those of the other, measured once."""
    import numpy as np

    if not file.exists():
        odd = real.subjects % 2 == 1
        halves = [real.subset(np.flatnonzero(part)) for part in (~odd, odd)]
        file.write_text(json.dumps(detected(*halves, seed)))
    return json.loads(file.read_text())


def picture(images, reconstructions, fakes):
    """Rows: real masses; held-out ones and their reconstructions; generated masses."""
    import cv2
    import numpy as np

    shown = lambda masses, row: masses[np.linspace(0, len(masses) - 1, COLUMNS * ROWS).astype(int)][row::ROWS]
    rows = [
        shown(images, 0),
        *(shown(part, 1) for part in reconstructions),
        *(shown(fakes, row) for row in range(ROWS)),
    ]
    sheet = np.vstack([np.hstack(list(row)) for row in rows])
    sheet = np.round(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
    return cv2.resize(sheet, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)


@click.command(context_settings={"show_default": True}, help=__doc__.split("\n")[0])
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Shards of real masses.")
@click.option("--preset", type=click.Choice(["quick", "film", "paper"]), default="film")
@click.option("--change", "changes", multiple=True, metavar="SETTING=JSON", help="Of the preset. Repeatable.")
@click.option("--budget", type=click.FloatRange(0, min_open=True), default=400.0, help="CPU seconds.")
@click.option("--core", type=click.IntRange(0), default=0, help="The only one to use.")
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--restore/--no-restore", default=None, help="Give mixtures their octaves back.", show_default="preset's")
@click.option("--spread/--no-spread", default=None, help="Spread the weights of mixtures.", show_default="preset's")
@click.option("--grain/--no-grain", default=None, help="Give the finest octave grain alone.", show_default="preset's")
@click.option("--detect/--no-detect", default=True, help="Have a classifier tell generated from real masses.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the run and its results.")
def main(data, preset, changes, budget, core, seed, restore, spread, grain, detect, output) -> None:
    os.sched_setaffinity(0, {core})
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    import cv2

    from feature2mass.mixing import load_networks
    from feature2mass.presets import PRESETS
    from feature2mass.train import train
    from preprocessing.batches import labelled_masses
    from preprocessing.shards import open_dataset
    from training.run import RunDirectory, configure_tensorflow, run_config

    configure_tensorflow()
    dataset = open_dataset(data, kind="mass")
    plan = PRESETS[preset]
    for change in changes:
        path, _, value = change.partition("=")
        plan = changed(plan, path, json.loads(value))
    result = {"preset": preset, "changes": changes, "seed": seed, "cpu": cpu_name()}
    file = output / "trained.json"
    if not file.exists():
        plan, per_step = budgeted(plan, budget, len(labelled_masses(dataset, "train")[0]))
        run = RunDirectory(output / "run", run_config(plan, dataset, seed))
        began = time.process_time()
        train(dataset, run, plan, seed=seed)
        spent = {"step_ms": 1000 * per_step, "cpu_seconds": time.process_time() - began, "epochs": plan.epochs}
        file.write_text(json.dumps(result | spent, indent=1) + "\n")
    networks = load_networks(output / "run")
    switches = {name: on for name, on in (("octaves", restore), ("spread", spread), ("grain", grain)) if on is not None}
    networks = replace(networks, mixing=replace(networks.mixing, **switches))
    rows, shown = measured(dataset, networks, output.parent, seed, detect)
    suffix = "".join(f"-{'' if on else 'no-'}{name}" for name, on in switches.items())
    trained = json.loads(file.read_text())
    (output / f"result{suffix}.json").write_text(json.dumps(trained | {"metrics": rows}, indent=1) + "\n")
    cv2.imwrite(str(output / f"picture{suffix}.png"), shown)
    click.echo("\n".join(f"{name}: {values}" for name, values in rows.items()))


if __name__ == "__main__":
    main()
