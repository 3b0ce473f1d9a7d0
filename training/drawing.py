"""Drawing with a generator of mammograms, of the mask-embedding GAN or of pix2pix: numbered images, and samples."""

from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from training.export import computing

BATCH = 8  # in a batch of another size a network may round differently


class Masks(Protocol):
    """Masks by the number of the image that fills them."""

    def __getitem__(self, number: int, /) -> Any: ...


class MaskFiller:
    """A trained generator that fills breast masks; base class of those of each system.

    Attributes:
        inputs: names of the network's two inputs, by which a saved generator of a system is known.
        needs_images: whether the images of the masks are shown to the network too.
        shown_as, drawn_as: what a figure calls the first input and a draw of the second.

    Args:
        model: from `generator.keras`.
        masks: item n is what image n fills, with `mask`, bool (height, width), and `image`, float in [0, 1] or None.
        seed: of the random inputs.
    """

    inputs: tuple[str, str]
    needs_images: bool
    shown_as: str
    drawn_as: str

    def __init__(self, model: keras.Model, masks: Masks, seed: int = 0):
        self.model, self.masks, self.seed = model, masks, seed

    @staticmethod
    def shown(mask: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
        """Return what the network is shown of a mask: float32 (height, width, 1)."""
        raise NotImplementedError

    @staticmethod
    def random_input(size: int, seed: int, number: int) -> np.ndarray:
        """Draw the random input of one image: (size,), a function of (seed, number) alone."""
        raise NotImplementedError

    def random(self, first: int, count: int) -> np.ndarray:
        """Draw the random inputs of the images numbered from `first`: float32 (count, size)."""
        size = self.model.inputs[1].shape[-1]
        rows = [self.random_input(size, self.seed, number) for number in range(first, first + count)]
        return np.array(rows, np.float32)

    def prepare(self, numbers: range) -> tuple[list, list[np.ndarray]]:
        """Read the masks of up to `BATCH` consecutive images, and lay out the network's inputs for them.

        Returns:
            (masks, inputs of a full batch): what is missing of the batch repeats the last mask.
        """
        found = [self.masks[number] for number in numbers]
        shown = {id(one): self.shown(one.mask, one.image) for one in found}  # images of one mask share it
        rows = [shown[id(one)] for one in found]
        rows += [rows[-1]] * (BATCH - len(rows))
        return found, [np.array(rows), self.random(numbers.start, BATCH)]

    def finish(self, prepared: tuple[list, list[np.ndarray]]) -> np.ndarray:
        """Compute the images of prepared inputs: float32 (n, height, width) in [0, 1].

        An image is a function of network, mask, seed and number alone, to the last bit.
        """
        found, inputs = prepared
        return self.compute(inputs)[: len(found)]

    def compute(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Compute the images of the network's two inputs: float32 (n, height, width) in [0, 1].

        Raises:
            ModelError: the network is damaged.
        """
        with computing():
            return self.model.predict_on_batch(inputs)[..., 0]


# -------------------------------------------------------------------------- sample grids of a training


def sample_items(held_out: np.ndarray, trained: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Choose the items of a dataset that a sample grid shows: held-out ones where there are enough.

    An item is shown twice only where there are too few.
    """
    pool = held_out if len(held_out) >= count else trained
    return random.choice(pool, count, replace=len(pool) < count)


def sample_sheet(
    shown: np.ndarray, images: np.ndarray, drawn: tf.Tensor, generator: keras.Model, *alpha: tf.Tensor
) -> np.ndarray:
    """Draw a sample grid, float (items, 2 + draws, height, width): each row what is shown, the real image, then fakes.

    Args:
        shown: what the network is shown of each item, float32 (items, height, width, 1).
        images: float32 (items, height, width).
        drawn: random inputs, the same for each item, float32 (draws, size).
        generator: of [shown, drawn, *alpha].
        alpha: (1,), of a generator that fades in.
    """
    rows = [generator([tf.repeat(one[None], len(drawn), 0), drawn, *alpha]) for one in tf.constant(shown)]
    fakes = np.stack([np.asarray(row)[..., 0] for row in rows])
    return np.concatenate([shown[:, None, ..., 0], images[:, None], fakes], axis=1)
