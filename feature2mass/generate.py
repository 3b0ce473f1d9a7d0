"""New labelled masses from a trained run (Lee et al. 2018, §3.4): mixtures of up to twenty masses of a category."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from feature2mass.mixing import open_mixer
from feature2mass.seeds import Recipe, recipe

BATCH = 64


@dataclass(frozen=True, eq=False)
class SyntheticMass:
    """One new mass.

    Attributes:
        image: float32 (64, 64) in [0, 1], of normalised contrast where that of the mixed masses is.
        low, high: grey levels that stored 0 and 1 stand for.
        recipe: what it was mixed from; its category is the label.
    """

    image: np.ndarray
    low: float
    high: float
    recipe: Recipe

    @property
    def number(self) -> int:
        """Number of the mass."""
        return self.recipe.number


class MassGenerator:
    """Draws new masses by number; the categories take turns.

    Args:
        run: of `train_feature2mass.py`, or a file that `save_networks.py` wrote of one; None for the generator that
            comes with the package.
        data: masses to mix; None for what the run was trained on. A file holds no encoder and takes none.
        shape, margin: names of classes; None for all that have masses.
        seed: of the choice of seeds and weights.

    Raises:
        MassGeneratorError, DataError: one clear line.
    """

    def __init__(
        self,
        run: str | os.PathLike | None = None,
        data: str | os.PathLike | None = None,
        shape: str | None = None,
        margin: str | None = None,
        seed: int = 0,
    ):
        self.mixer, self.fingerprint = open_mixer(run, data)
        self.library, self.seed = self.mixer.library, seed
        self.shape, self.margin = shape, margin
        self.categories = self.library.categories(shape, margin)

    def recipe(self, number: int, category: int | None = None) -> Recipe:
        """Return what the mass of a number is mixed from, a function of (seed, number) and the data alone.

        Args:
            category: index into `categories`. Defaults to the one whose turn it is.
        """
        wanted = self.categories if category is None else [self.categories[category]]
        return recipe(number, wanted, self.seed, self.mixer.mixing)

    def draw(self, numbers: range) -> list[SyntheticMass]:
        """Draw the masses of some numbers, all in memory at once."""
        return self.mixed([self.recipe(number) for number in numbers])

    def mixed(self, recipes: Sequence[Recipe]) -> list[SyntheticMass]:
        """Draw masses by their recipes."""
        return [SyntheticMass(*mixed, one) for one, mixed in zip(recipes, self.mixer.mixed(recipes), strict=True)]

    def batches(self, numbers: range) -> Iterator[list[SyntheticMass]]:
        """Draw masses, `BATCH` at a time; memory holds one batch and the seeds' features."""
        for first in range(0, len(numbers), BATCH):
            yield self.draw(numbers[first : first + BATCH])


def generate(
    run: str | os.PathLike | None = None,
    count: int = 8,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, list[Recipe]]:
    """Draw new masses.

    Args:
        run, data, shape, margin, seed: see `MassGenerator`.

    Returns:
        (masses float32 (count, 64, 64) in [0, 1], what each is mixed from).

    Example::

        masses, recipes = generate(count=8, shape="irregular", margin="spiculated")
    """
    generator = MassGenerator(run, data, shape, margin, seed)
    drawn = [mass for batch in generator.batches(range(count)) for mass in batch]
    return np.array([mass.image for mass in drawn]), [mass.recipe for mass in drawn]
