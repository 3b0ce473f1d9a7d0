"""The texture map from which pix2pix makes a mammogram."""

import cv2
import numpy as np


def edge_map(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lay the Sobel edges of an image over its mask (Ren et al. 2019, section 6.1).

    The edge strength e is the length of the two Sobel derivatives, 1 for a straight step from 0 to 1. Its root (ours)
    shows the faint edges of tissue; pixels next to the skin line count as flat, since the step there is the mask's own.

    Args:
        image: float (height, width) in [0, 1].
        mask: bool (height, width), the breast.

    Returns:
        float32 (height, width, 1) in [0, 1]: 0 outside the breast, 0.5 + 0.5·√e inside.

    Raises:
        ValueError: Image and mask are not of one size.
    """
    if np.ndim(image) != 2 or image.shape != mask.shape:
        raise ValueError(f"image and mask must be (height, width) of one size, received {image.shape} and {mask.shape}")
    image = np.asarray(image, np.float32)
    across = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, borderType=cv2.BORDER_REPLICATE)
    along = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, borderType=cv2.BORDER_REPLICATE)
    strength = np.minimum(np.hypot(across, along) / 4, 1)
    breast = np.asarray(mask) > 0
    deep = cv2.erode(breast.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    texture = breast * 0.5 + deep * 0.5 * np.sqrt(strength)
    return texture.astype(np.float32)[..., np.newaxis]
