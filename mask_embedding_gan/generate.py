"""Images of a trained mask-embedding generator (Ren et al. 2019, §4): each from a mask and a latent vector."""

import numpy as np

from training.drawing import MaskFiller


class MaskEmbeddingGenerator(MaskFiller):
    """Fills breast masks with tissue; different latent vectors fill one mask differently."""

    inputs = ("mask", "latent")
    needs_images = False
    shown_as, drawn_as = "mask", "latent"

    @staticmethod
    def shown(mask: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
        """Return the mask as the network takes it: float32 (height, width, 1)."""
        return mask[..., None].astype(np.float32)

    @staticmethod
    def random_input(size: int, seed: int, number: int) -> np.ndarray:
        """Draw the latent vector of one image: standard normal, (size,)."""
        return np.random.default_rng([seed, number]).standard_normal(size)
