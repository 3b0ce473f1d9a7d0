"""The figures of Lee et al. 2018: two features mixed (Fig. 3), three (Fig. 4), and many of one category (Fig. 5)."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no display, no global state

from feature2mass.features import barycentric_weights, line_weights
from feature2mass.library import Library
from feature2mass.mixing import Mixer, open_mixer
from feature2mass.seeds import Category, Seed, recipe
from preprocessing.images.png import write_figure

# those that Lee et al. 2018 show in Fig. 5, where the data has them
SHOWN_CATEGORIES = (("round", "ill-defined"), ("irregular", "spiculated"), ("oval", "circumscribed"))


def figures(
    run: str | os.PathLike | None,
    output: str | os.PathLike,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> list[Path]:
    """Draw the three figures of a run.

    Args:
        run, data: see `open_mixer`.
        output: image file, e.g. `figure.png`; the figures are `figure-two.png`, `figure-three.png` and
            `figure-category.png`.
        shape, margin: names of classes to draw seeds from; None for all.
        seed: of the choice of seeds.

    Returns:
        The files.

    Raises:
        MassGeneratorError, DataError: one clear line.
    """
    mixer, _ = open_mixer(run, data)
    wanted = mixer.library.categories(shape, margin)
    path = Path(output)
    sheets = {
        "two": two_features(mixer, wanted, seed=seed),
        "three": three_features(mixer, wanted, seed=seed),
        "category": within_category(mixer, _shown(mixer.library, wanted), seed=seed),
    }
    return [write_figure(path.with_name(f"{path.stem}-{name}{path.suffix}"), sheet) for name, sheet in sheets.items()]


def two_features(mixer: Mixer, wanted: Sequence[Category], *, rows: int = 5, seed: int = 0) -> Figure:
    """Draw Fig. 3: each row two masses at its ends and eight mixtures between, in equal steps."""
    random = np.random.default_rng([seed, 3])
    sheet = Figure(figsize=(1.0 * 10, 1.15 * rows + 0.3), layout="constrained")
    weights = line_weights(10)
    for number, axes in enumerate(sheet.subplots(rows, 10, squeeze=False)):
        seeds = _random_seeds(wanted, 2, random)
        between = mixer.mixtures([(seeds, row) for row in weights[1:-1]])
        first, last = (mixer.library.image(seed.index) for seed in seeds)
        for axis, picture in zip(axes, [first, *between, last], strict=True):
            _show(axis, picture)
        for axis, end in zip((axes[0], axes[-1]), seeds):
            _frame(axis, _label(mixer.library, end.category))
        if number == 0:
            for axis, row in zip(axes[1:-1], weights[1:-1]):
                axis.set_title(f"{row[0]:.2f} | {row[1]:.2f}", fontsize=7)
    return sheet


def three_features(mixer: Mixer, wanted: Sequence[Category], *, seed: int = 0) -> Figure:
    """Draw Fig. 4: three masses at the corners of a triangle, twelve mixtures by their barycentric weights."""
    random = np.random.default_rng([seed, 4])
    seeds = _random_seeds(wanted, 3, random)
    mixtures = iter(mixer.mixtures([(seeds, row) for row in barycentric_weights()]))
    corners = {(0, 0): 0, (4, 0): 1, (4, 4): 2}
    sheet = Figure(figsize=(7, 7))
    for row in range(5):
        for column in range(row + 1):
            # centred rows: half a step to the left with each
            axis = sheet.add_axes((0.5 + 0.19 * (column - row / 2) - 0.085, 0.775 - 0.18 * row, 0.165, 0.165))
            corner = corners.get((row, column))
            if corner is None:
                _show(axis, next(mixtures))
            else:
                _show(axis, mixer.library.image(seeds[corner].index))
                _frame(axis, _label(mixer.library, seeds[corner].category), above=corner == 0)
    return sheet


def within_category(mixer: Mixer, wanted: Sequence[Category], *, rows: int = 2, seed: int = 0) -> Figure:
    """Draw Fig. 5: for each category, new masses, each next to the three seeds of largest weight."""
    library = mixer.library
    sheet = Figure(figsize=(1.3 * 4 * rows, 1.45 * len(wanted) + 0.2), layout="constrained")
    table = sheet.subplots(len(wanted), 4 * rows, squeeze=False)
    for axes, category in zip(table, wanted, strict=True):
        recipes = [recipe(number, [category], seed, mixer.mixing) for number in range(rows)]
        for place, (one, mass) in enumerate(zip(recipes, mixer.masses(recipes), strict=True)):
            cells = axes[4 * place : 4 * place + 4]
            for cell in cells:
                cell.set_axis_off()
            for cell, position in zip(cells, one.top(3)):
                _show(cell, library.image(int(one.seeds[position]), int(one.mirrors[position])))
                cell.set_title(f"{one.weights[position]:.2f}", fontsize=8)
            _show(cells[3], mass)
            _frame(cells[3], _label(library, category).replace("\n", ", "), above=True)
    return sheet


def _shown(library: Library, wanted: Sequence[Category]) -> list[Category]:
    """Choose the paper's three categories as far as they are among the wanted ones, then those with most masses."""
    names = {(library.shapes[c.shape], library.margins[c.margin]): c for c in wanted}
    first = [names[pair] for pair in SHOWN_CATEGORIES if pair in names]
    rest = sorted((c for c in wanted if c not in first), key=lambda c: -len(c.seeds))
    return [*first, *rest][:3]


def _random_seeds(wanted: Sequence[Category], count: int, random: np.random.Generator) -> list[Seed]:
    """Draw random masses as they are, of different categories where there are enough, none twice unless it must be."""
    drawn: list[Seed] = []
    for number in random.choice(len(wanted), count, replace=len(wanted) < count):
        category = wanted[number]
        rest = np.setdiff1d(category.seeds, [seed.index for seed in drawn])
        drawn.append(Seed(int(random.choice(rest if len(rest) else category.seeds)), 0, category))
    return drawn


def _label(library: Library, category: Category) -> str:
    return f"{library.shapes[category.shape]}\n{library.margins[category.margin]}"


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
