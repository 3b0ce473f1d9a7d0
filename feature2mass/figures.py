"""The figures of Lee et al. 2018: two features mixed (Fig. 3), three (Fig. 4), and many of one category (Fig. 5)."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no display, no global state

from feature2mass.features import barycentric_weights, decode, encode, interpolate, line_weights
from feature2mass.generate import (
    Category,
    Mixer,
    categories,
    load_networks,
    open_seeds,
    recipe,
    seed_image,
)
from preprocessing.pictures import write_figure
from preprocessing.shards import Dataset

# those that Lee et al. show in §3.4, where the data has them
SHOWN_CATEGORIES = (("round", "ill-defined"), ("irregular", "spiculated"), ("oval", "circumscribed"))


def figures(
    run: str | os.PathLike,
    output: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> list[Path]:
    """Draw the three figures of a run.

    Args:
        run: of `train_feature2mass.py`.
        output: image file, e.g. `figure.png`; the figures are `figure-two.png`, `figure-three.png` and
            `figure-category.png`.
        data: masses to mix; None for what the run was trained on.
        shape, margin: names of classes to draw seeds from; None for all.
        seed: of the choice of seeds.

    Returns:
        The files.

    Raises:
        MassGeneratorError, DataError: one clear line.
    """
    networks = load_networks(run)
    dataset = open_seeds(run, data, networks)
    wanted = categories(dataset, shape, margin)
    mixer = Mixer(networks, dataset)
    path = Path(output)
    sheets = {
        "two": two_features(mixer, wanted, seed=seed),
        "three": three_features(mixer, wanted, seed=seed),
        "category": within_category(mixer, _shown(dataset, wanted), seed=seed),
    }
    return [write_figure(path.with_name(f"{path.stem}-{name}{path.suffix}"), sheet) for name, sheet in sheets.items()]


def two_features(mixer: Mixer, wanted: Sequence[Category], *, rows: int = 5, seed: int = 0) -> Figure:
    """Fig. 3: each row two masses at its ends and eight mixtures between, by equal steps."""
    random = np.random.default_rng([seed, 3])
    sheet = Figure(figsize=(1.0 * 10, 1.15 * rows + 0.3), layout="constrained")
    weights = line_weights(10)
    for number, axes in enumerate(sheet.subplots(rows, 10, squeeze=False)):
        seeds, labels, features = _random_seeds(mixer, wanted, 2, random)
        between = decode(mixer.networks.decoder, interpolate(features, weights[1:-1]))
        for axis, picture in zip(axes, [seeds[0], *between, seeds[1]], strict=True):
            _show(axis, picture)
        for axis, label in ((axes[0], labels[0]), (axes[-1], labels[1])):
            _frame(axis, label)
        if number == 0:
            for axis, (first, second) in zip(axes[1:-1], weights[1:-1]):
                axis.set_title(f"{first:.2f} | {second:.2f}", fontsize=7)
    return sheet


def three_features(mixer: Mixer, wanted: Sequence[Category], *, seed: int = 0) -> Figure:
    """Fig. 4: three masses at the corners of a triangle, twelve mixtures by their barycentric weights."""
    random = np.random.default_rng([seed, 4])
    seeds, labels, features = _random_seeds(mixer, wanted, 3, random)
    mixtures = iter(decode(mixer.networks.decoder, interpolate(features, barycentric_weights())))
    corners = {(0, 0): 0, (4, 0): 1, (4, 4): 2}
    sheet = Figure(figsize=(7, 7))
    for row in range(5):
        for column in range(row + 1):
            # centred rows: half a step to the left with each
            axis = sheet.add_axes((0.5 + 0.19 * (column - row / 2) - 0.085, 0.775 - 0.18 * row, 0.165, 0.165))
            corner = corners.get((row, column))
            _show(axis, next(mixtures) if corner is None else seeds[corner])
            if corner is not None:
                _frame(axis, labels[corner], above=corner == 0)
    return sheet


def within_category(mixer: Mixer, wanted: Sequence[Category], *, rows: int = 2, seed: int = 0) -> Figure:
    """Fig. 5: for each category, new masses, each beside the three seeds of largest weight."""
    dataset = mixer.dataset
    sheet = Figure(figsize=(1.3 * 4 * rows, 1.45 * len(wanted) + 0.2), layout="constrained")
    table = sheet.subplots(len(wanted), 4 * rows, squeeze=False)
    for axes, category in zip(table, wanted, strict=True):
        recipes = [recipe(number, [category], seed) for number in range(rows)]
        for place, (one, mass) in enumerate(zip(recipes, mixer.masses(recipes), strict=True)):
            cells = axes[4 * place : 4 * place + 4]
            for cell in cells:
                cell.set_axis_off()
            for cell, position in zip(cells, one.top(3)):
                _show(cell, seed_image(dataset, int(one.seeds[position]), int(one.mirrors[position])))
                cell.set_title(f"{one.weights[position]:.2f}", fontsize=8)
            _show(cells[3], mass)
            _frame(cells[3], _label(dataset, category).replace("\n", ", "), above=True)
    return sheet


def _shown(dataset: Dataset, wanted: Sequence[Category]) -> list[Category]:
    """The paper's three categories as far as they are among the wanted ones, then those with most masses."""
    names = {(dataset.classes("shape")[c.shape], dataset.classes("margin")[c.margin]): c for c in wanted}
    first = [names[pair] for pair in SHOWN_CATEGORIES if pair in names]
    rest = sorted((c for c in wanted if c not in first), key=lambda c: -len(c.seeds))
    return [*first, *rest][:3]


def _random_seeds(
    mixer: Mixer, wanted: Sequence[Category], count: int, random: np.random.Generator
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """(images, labels, features) of random masses, of different categories where there are enough."""
    chosen = [wanted[number] for number in random.choice(len(wanted), count, replace=len(wanted) < count)]
    indices = [int(random.choice(category.seeds)) for category in chosen]
    images = np.array([seed_image(mixer.dataset, index) for index in indices])
    margins, shapes = ([getattr(category, name) for category in chosen] for name in ("margin", "shape"))
    labels = [_label(mixer.dataset, category) for category in chosen]
    return images, labels, encode(mixer.networks.encoder, images, margins, shapes)


def _label(dataset: Dataset, category: Category) -> str:
    return f"{dataset.classes('shape')[category.shape]}\n{dataset.classes('margin')[category.margin]}"


def _show(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_axis_off()


def _frame(axis: Axes, label: str, above: bool = False) -> None:
    """Mark a picture by a frame, its label below it or above."""
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(color="tab:orange", linewidth=2)
    if above:
        axis.set_title(label, fontsize=7)
    else:
        axis.set_xlabel(label, fontsize=7)
