"""Measure generated masses next to the dataset that their generator learned from.

    python benchmarks/mass_quality.py --data data/mass-phantoms --generated runs/masses/synthetic --run runs/masses

- reconstructions (with --run): mean |I − I′| of held-out masses, as stored (contrast normalised) and as on the film;
- labels: accuracy of a classifier that saw the training masses alone, on held-out masses and on generated ones;
- likeness within a category: mean MS-SSIM of pairs of generated masses, and of pairs of the dataset's;
- copies: distance of each generated mass to the nearest training mass, next to that of held-out masses;
- sharpness: energy above a quarter of the sampling frequency, over that of the dataset's masses of the same categories.
"""

from pathlib import Path

import click

from preprocessing.tensorflow_settings import import_tensorflow_quietly

FEWEST = 3  # masses of a category, to compare them in pairs


@click.command(help=__doc__.split("\n")[0])
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Dataset of masses.")
@click.option("--generated", type=click.Path(path_type=Path, exists=True), required=True, help="Generated masses.")
@click.option("--run", type=click.Path(path_type=Path, exists=True), help="Run of train_feature2mass.py.")
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True, help="Classifiers, averaged.")
@click.option("--pairs", type=click.IntRange(1), default=300, show_default=True, help="Pairs of a category.")
def main(data: Path, generated: Path, run: Path | None, seeds: int, pairs: int) -> None:
    import_tensorflow_quietly()
    from evaluation.image_set import EvaluationError
    from evaluation.mass_classifier import Masses
    from preprocessing.shards import DataError, open_dataset

    try:
        datasets = [open_dataset(folder, kind="mass") for folder in (data, generated)]
        training, held_out = (Masses.of_dataset(datasets[0], split) for split in ("train", "validation"))
        everything, fakes = (Masses.of_dataset(dataset) for dataset in datasets)
        if fakes.classes != training.classes or fakes.images.shape[1:] != training.images.shape[1:]:
            raise EvaluationError(f"{generated}: has other classes or another size than {data}")
        click.echo(f"{len(training)} training, {len(held_out)} held-out, {len(fakes)} generated masses")
        if run:
            reconstructions(run, datasets[0])
        labels(training, held_out, fakes, seeds)
        likeness(everything, fakes, pairs)
        copies(training, held_out, fakes)
        sharpness(everything, fakes)
    except (DataError, EvaluationError) as error:
        raise click.ClickException(str(error)) from error


def reconstructions(run: Path, dataset) -> None:
    import numpy as np

    from feature2mass.features import decode, encode
    from feature2mass.mixing import load_networks
    from preprocessing.batches import labelled_masses

    networks = load_networks(run)
    indices, known = labelled_masses(dataset, "validation")
    images = dataset.images((64, 64), indices)
    features = encode(networks.encoder, images, margins=known[:, 1], shapes=known[:, 0])
    errors = np.abs(decode(networks.decoder, features) - images).mean(axis=(1, 2))
    span = dataset.field("high")[indices] - dataset.field("low")[indices]
    click.echo(f"\nreconstructions of {len(indices)} held-out masses, mean absolute difference")
    click.echo(f"  as stored {errors.mean():.4f}, as on the film {np.mean(errors * span):.4f}")


def labels(training, held_out, fakes, seeds: int) -> None:
    import numpy as np

    from evaluation.mass_classifier import HEADS, train_classifier
    from evaluation.metrics.labels import score

    scores = []
    for seed in range(seeds):
        classifier = train_classifier(training, seed=seed)
        scores.append([score(classifier.predict(masses.images), masses) for masses in (held_out, fakes)])
    click.echo(f"\nlabels, mean of {seeds} classifiers (interval: the last one's)")
    for number, head in enumerate(HEADS):
        real, fake = ([trial[which][number] for trial in scores] for which in (0, 1))
        accuracy = [np.mean([one.accuracy.value for one in trials]) for trials in (real, fake)]
        for name, trials, mean in zip(("held out", "generated"), (real, fake), accuracy):
            last, auc = trials[-1], np.mean([one.auc for one in trials])
            interval = f"[{last.accuracy.low:.3f}, {last.accuracy.high:.3f}]"
            click.echo(f"  {head:<7}{name:<10} accuracy {mean:.3f} {interval} chance {last.chance:.3f} AUC {auc:.3f}")
        click.echo(f"  {head:<7}generated over held out: ratio {accuracy[1] / accuracy[0]:.3f}")


def likeness(everything, fakes, pairs: int) -> None:
    import numpy as np

    from evaluation.metrics.msssim import diversity, scales_for

    size = fakes.images.shape[1:]
    click.echo(f"\nMS-SSIM within a category, {scales_for(*size)} of 5 scales at {size[0]}x{size[1]}")
    excess = []
    for category, rows in categories(fakes):
        real_rows = rows_of(everything, category)
        if min(len(rows), len(real_rows)) < FEWEST:
            click.echo(f"  {name_of(fakes, category)}: {len(rows)} generated, {len(real_rows)} of the dataset; too few")
            continue
        made, real = (diversity(samples(m, r), pairs=pairs) for m, r in ((fakes, rows), (everything, real_rows)))
        excess.append(made.value - real.value)
        counts = f"{made.count} and {real.count} masses"
        click.echo(f"  {name_of(fakes, category)}: generated {made}, dataset {real}, {excess[-1]:+.3f} ({counts})")
    if excess:
        click.echo(f"  mean excess over {len(excess)} categories {np.mean(excess):+.3f}, largest {max(excess):+.3f}")


def copies(training, held_out, fakes) -> None:
    import numpy as np

    from evaluation.metrics.feature_distances import nearest

    flat = lambda masses: masses.images.reshape(len(masses), -1).astype(np.float64) / masses.images[0].size ** 0.5
    mirrored = [training.images[:, ::up, ::left] for up in (1, -1) for left in (1, -1)]
    others = np.concatenate([images.reshape(len(images), -1) for images in mirrored]).astype(np.float64)
    others /= training.images[0].size ** 0.5
    click.echo("\nroot mean square difference to the nearest training mass, mirrored ones included")
    found = {}
    for name, masses in (("generated", fakes), ("held out", held_out)):
        found[name] = nearest(flat(masses), others)[0]
        quantiles = np.quantile(found[name], [0, 0.05, 0.5, 0.95])
        click.echo(
            f"  {name:<10}" + "  ".join(f"{q} {v:.4f}" for q, v in zip(("least", "5%", "50%", "95%"), quantiles))
        )
    nearer = int((found["generated"] < found["held out"].min()).sum())
    equal = int((found["generated"] < 0.5 / 65535).sum())
    click.echo(f"  equal to a training mass: {equal}; nearer than any held-out mass: {nearer} of {len(fakes)}")


def sharpness(everything, fakes) -> None:
    import numpy as np

    from evaluation.metrics.texture import fine_energy

    inside = np.ones(fakes.images.shape[1:], bool)
    energy = lambda masses, rows: np.mean([fine_energy(image, inside) for image in masses.images[rows]])
    click.echo("\nfine energy (above a quarter of the sampling frequency), generated over dataset")
    sums = []
    for category, rows in categories(fakes):
        real_rows = rows_of(everything, category)
        if len(real_rows):
            made, real = energy(fakes, rows), energy(everything, real_rows)
            sums.append((len(rows), made, real))
            click.echo(f"  {name_of(fakes, category)}: {made:.3g} / {real:.3g} = {made / real:.3f}")
    counts, made, real = np.array(sums).T
    click.echo(f"  all, weighed by generated masses: ratio {(counts @ made) / (counts @ real):.3f}")


def categories(masses):
    """(shape, margin) that occur, with their rows."""
    import numpy as np

    pairs = np.unique(np.stack([masses.labels["shape"], masses.labels["margin"]], axis=1), axis=0)
    return [(tuple(pair), rows_of(masses, pair)) for pair in pairs.tolist()]


def rows_of(masses, category):
    import numpy as np

    return np.flatnonzero((masses.labels["shape"] == category[0]) & (masses.labels["margin"] == category[1]))


def name_of(masses, category) -> str:
    names = [masses.classes[head][k] if k >= 0 else "unknown" for head, k in zip(("shape", "margin"), category)]
    return f"{names[1]}/{names[0]}"


def samples(masses, rows):
    from evaluation.image_set import Samples

    return Samples(masses.images[rows])


if __name__ == "__main__":
    main()
