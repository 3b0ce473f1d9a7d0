"""Do inserted masses lie where real ones do, and are they as large?

    python benchmarks/placement.py --mammograms films --figure placement.png

Five times, a placement model is fitted to the lesions of four fifths of the patients and draws lesions for the
mammograms of the last fifth; `chosen` are the places that real masses of other patients are then inserted at. Place and
size are compared with those of the real lesions there by two-sample Kolmogorov-Smirnov tests, one lesion per patient,
as two views of one lesion are not two samples. Coordinates are not those that the model is made in. With `--generated`,
masses of the included generator, which have no place of their own, are inserted instead.
"""

from pathlib import Path

import click
import numpy as np

FOLDS = 5
MEASURES = ("from chest wall", "from nipple row", "from skin", "longest side", "width / height")
NEAR_SKIN = 12  # pixels from centre to skin


def measures(breast, x: float, y: float, width: float, height: float) -> tuple[float, ...]:
    """Where a lesion lies, as shares of the breast's depth, and its size in pixels."""
    depth = float(breast.extent.max())
    row, column = (int(np.clip(value, 0, limit - 1)) for value, limit in zip((y, x), breast.mask.shape))
    skin = float(skin_distance(breast)[row, column])
    return x / depth, (y - nipple_row(breast)) / depth, skin / depth, max(width, height), width / height


def near(breast, x: float, y: float) -> tuple[bool, bool]:
    """Whether a centre is near the skin, and whether in the upper corner at the chest wall, where an MLO has muscle."""
    row, column = (int(np.clip(value, 0, limit - 1)) for value, limit in zip((y, x), breast.mask.shape))
    in_corner = x / breast.extent.max() + (y - breast.top) / (breast.bottom - breast.top) < 0.45
    return bool(skin_distance(breast)[row, column] < NEAR_SKIN), bool(in_corner)


def skin_distance(breast) -> np.ndarray:
    """Pixels to the nearest pixel outside the breast, float32 (height, width); the chest wall is no skin."""
    from lesions.smooth import distance_to

    both = np.pad(np.hstack([breast.mask[:, ::-1], breast.mask]), 1)  # mirrored at the chest wall
    return distance_to(~both)[1:-1, breast.mask.shape[1] + 1 : -1]


def nipple_row(breast) -> int:
    """The middle of the rows in which the breast reaches farthest from the chest wall."""
    return int(np.median(np.flatnonzero(breast.extent == breast.extent.max()).astype(float)))


def compared(dataset, seed: int, candidates: int, generated: bool) -> dict[str, list]:
    """(fold, subject, view, measures, near) of real lesions, of draws, and of places chosen for masses."""
    from itertools import count

    from lesions.annotations import by_item, read_annotations
    from lesions.boxes import clipped
    from lesions.breast import Breast
    from lesions.generated import GeneratedMasses
    from lesions.insert import Host, choose_place
    from lesions.masses import mass_source
    from lesions.placement import fit_placement

    annotations, source, level = read_annotations(dataset), mass_source(dataset), dataset.levels[-1]
    lesions, subjects, views = by_item(annotations, dataset.count), dataset.field("subject"), dataset.field("view")
    names, numbers = np.unique(subjects, return_inverse=True)
    folds = np.random.default_rng(seed).permutation(len(names))[numbers] % FOLDS
    rows = {"real": [], "drawn": [], "chosen": []}
    new, made = GeneratedMasses(seed=seed) if generated else None, count()
    for fold in range(FOLDS):
        placement = fit_placement(dataset, annotations, items=np.flatnonzero(folds != fold))
        known = folds[[annotations[number].item for number in source.numbers]] != fold
        others = {view: np.flatnonzero(known & (source.labels["view"] == view)) for view in ("CC", "MLO")}
        for item in np.flatnonzero(folds == fold):
            image, mask = dataset.images(level, [item])[0], dataset.masks(level, [item])[0]
            breast, rng = Breast(mask), np.random.default_rng([seed, int(item)])
            host = Host(image, breast, str(views[item]), ())
            for one in lesions[item]:
                found = {"real": (*one.centre, *one.box[2:])}
                place = placement.draw(breast, rng, view=host.view)
                while not breast.mask[min(int(place.y), level[0] - 1), min(int(place.x), level[1] - 1)]:
                    place = placement.draw(breast, rng, view=host.view)
                found["drawn"] = (place.x, place.y, place.width, place.height)
                patch = new.patch(next(made)) if new else source.patch(int(rng.choice(others[host.view])))
                place = patch and choose_place(host, patch, placement, rng, candidates=candidates)
                if place:
                    corner = place.x - place.width / 2, place.y - place.height / 2
                    x, y, width, height = clipped((*corner, place.width, place.height), level)
                    found["chosen"] = (x + width / 2, y + height / 2, width, height)
                for kind, box in found.items():
                    rows[kind].append((subjects[item], host.view, measures(breast, *box), near(breast, *box[:2])))
    return rows


def one_per_patient(rows: list, rng: np.random.Generator) -> np.ndarray:
    """Measures (patients, 5), a random lesion of each."""
    chosen = {}
    for place in rng.permutation(len(rows)):
        chosen.setdefault(rows[place][0], rows[place][2])
    return np.array(list(chosen.values()))


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--figure", type=click.Path(path_type=Path), help="PNG file of the distributions.")
@click.option("--candidates", type=click.IntRange(1), default=12, help="Places to choose from.")
@click.option("--generated", is_flag=True, help="Insert masses of the included generator instead of real ones.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms: Path, figure: Path | None, candidates: int, generated: bool, seed: int) -> None:
    from scipy.stats import ks_2samp

    from preprocessing.shards import open_dataset

    if generated:
        from preprocessing.tensorflow_settings import import_tensorflow_quietly

        import_tensorflow_quietly()
    rows = compared(open_dataset(mammograms, kind="mammogram"), seed, candidates, generated)
    rng = np.random.default_rng(seed)
    samples = {
        (kind, view): one_per_patient([row for row in found if row[1] == view], rng)
        for kind, found in rows.items()
        for view in ("CC", "MLO")
    }
    for view in ("CC", "MLO"):
        for kind in ("drawn", "chosen"):
            one, other = samples["real", view], samples[kind, view]
            tests = [ks_2samp(one[:, column], other[:, column]) for column in range(len(MEASURES))]
            text = "; ".join(f"{name} D {t.statistic:.3f} p {t.pvalue:.2g}" for name, t in zip(MEASURES, tests))
            click.echo(f"{view} {kind} ({len(one)} and {len(other)} patients): {text}")
        for kind in rows:
            shares = np.mean([row[3] for row in rows[kind] if row[1] == view], axis=0)
            click.echo(f"{view} {kind}: near skin {shares[0]:.3f}, upper corner at the chest wall {shares[1]:.3f}")
    if figure:
        draw(figure, samples)


def draw(path: Path, samples: dict) -> None:
    """Cumulative distributions, views in rows."""
    from matplotlib.figure import Figure

    from preprocessing.images.png import write_figure

    sheet = Figure(figsize=(3 * len(MEASURES), 5.5), layout="constrained")
    axes = sheet.subplots(2, len(MEASURES))
    for row, view in zip(axes, ("CC", "MLO")):
        for column, (axis, name) in enumerate(zip(row, MEASURES)):
            for kind, style in (("real", "k-"), ("drawn", "C0--"), ("chosen", "C1:")):
                values = np.sort(samples[kind, view][:, column])
                axis.plot(values, np.linspace(0, 1, len(values)), style, label=kind)
            axis.set_title(f"{view}: {name}", fontsize=9)
    axes[0, 0].legend()
    write_figure(path, sheet)


if __name__ == "__main__":
    main()
