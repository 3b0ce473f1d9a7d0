"""Masses of the generator that comes with the package, drawn when they are needed **(ours)**."""

from functools import lru_cache

import numpy as np

from feature2mass.generate import BATCH, MassGenerator, SyntheticMass
from feature2mass.seeds import MassGeneratorError
from lesions.masses import TRIED, Masses, MassPatch, patch_of
from preprocessing.shards import DataError


class GeneratedMasses(Masses):
    """New masses, shapes and margins as frequent as among those that they are mixed from; numbered up to `COUNT`.

    A mass is a function of its number and of the arguments. Masses are decoded in batches of `BATCH` numbers, always
    the same ones, as the batch decides the last bits; images next to each other use masses of one batch.

    Args:
        shape, margin: words of BI-RADS; "" for any.
        seed: another seed, other masses.

    Raises:
        DataError: the generator has no mass of the shape and margin.
    """

    COUNT = 1024 * BATCH
    place = "the included generator of masses"

    def __init__(self, shape: str = "", margin: str = "", seed: int = 0):
        try:
            self._generator = MassGenerator(None, None, shape or None, margin or None, seed)
        except MassGeneratorError as error:
            raise DataError(str(error)) from error
        self.fingerprint = self._generator.fingerprint
        self.meta = {"synthetic": True, "generator": self.fingerprint, "made": {"by": "generate_masses"}}
        found = self._generator.categories
        turns = np.repeat(np.arange(len(found)), [len(category.seeds) for category in found])
        self._turns = np.resize(np.random.default_rng(seed).permutation(turns), self.COUNT)
        library = self._generator.library
        names = np.array([(library.shapes[one.shape], library.margins[one.margin]) for one in found])
        self.labels = dict(zip(("shape", "margin"), names[self._turns].T))
        self.labels |= {name: np.full(self.COUNT, "") for name in ("view", "split", "subject")}
        self._batch = lru_cache(2)(self._drawn)

    def choice(self, usable: np.ndarray, image: int, lesion: int, rng: np.random.Generator) -> np.ndarray:
        """The mass of the image's own number for its first lesion; else masses of that one's batch."""
        own = image % self.COUNT
        others = own - own % BATCH + rng.permutation(BATCH)
        others = others[others != own]
        return np.append(own, others)[:TRIED] if lesion == 0 else others[:TRIED]

    def patch(self, number: int) -> MassPatch:
        drawn = self._batch(number // BATCH)[number % BATCH]
        size = drawn.recipe.size
        return patch_of(
            np.clip(drawn.low + (drawn.high - drawn.low) * drawn.image, 0, 1).astype(np.float32),
            np.zeros(drawn.image.shape, bool),
            self._generator.library.context,
            size=None if np.isnan(size) else size,
            calibrated=self._generator.library.calibrated,
            name=f"generated mass {number}",
            synthetic=True,
            shape=str(self.labels["shape"][number]),
            margin=str(self.labels["margin"][number]),
        )

    def _drawn(self, batch: int) -> list[SyntheticMass]:
        """The masses of a batch."""
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        return self._generator.mixed([self._generator.recipe(n, self._turns[n]) for n in numbers])
