"""Images of a trained pix2pix generator: one per number, from the texture map of a real image and dropout's noise.

The texture map is the Sobel edges of a real image laid over its breast mask (Ren et al. 2019, §6.3); dropout is the
only source of chance (Isola et al. 2017, §3.1).
"""

import numpy as np

from preprocessing.mammograms.texture_map import edge_map
from training.drawing import MaskFiller


class Pix2PixGenerator(MaskFiller):
    """Fills texture maps, the edges of real images, with tissue."""

    inputs = ("texture_map", "noise")
    needs_images = True
    shown_as, drawn_as = "texture map", "draw"

    @staticmethod
    def shown(mask: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
        """Return the texture map of a mask and its image: float32 (height, width, 1).

        Raises:
            ValueError: there is no image.
        """
        if image is None:
            raise ValueError("pix2pix fills texture maps of real images, received masks alone; give their images")
        return edge_map(image, mask)

    @staticmethod
    def random_input(size: int, seed: int, number: int) -> np.ndarray:
        """Draw which units dropout keeps in one image: {0, 1} (size,), at even odds."""
        return np.random.default_rng([seed, number]).integers(0, 2, size)
