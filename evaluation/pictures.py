"""Pictures inside an HTML page."""

import base64
import html

import cv2
import numpy as np

from evaluation.image_set import Samples

GRID, COLUMNS = 24, 12  # images shown of a set, and next to each other
THUMBNAIL = 192  # pixels, height of a shown image


def grid(samples: Samples) -> np.ndarray:
    """Lay random images side by side: uint8."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(samples))[:GRID])
    pictures = [thumbnail(image) for image in samples.read(chosen)[0]]
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % COLUMNS)
    return np.vstack([np.hstack(pictures[start : start + COLUMNS]) for start in range(0, len(pictures), COLUMNS)])


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Make an image at most `THUMBNAIL` pixels high, in a frame: uint8."""
    grey = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if len(grey) > THUMBNAIL:
        size = round(grey.shape[1] * THUMBNAIL / len(grey)), THUMBNAIL
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.pad(grey, 1)


def figure(picture: np.ndarray | bytes, caption: str, kind: str = "") -> str:
    """Make a figure of a page: a picture, or the content of a PNG file, with its caption."""
    content = picture if isinstance(picture, bytes) else cv2.imencode(".png", picture)[1].tobytes()
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<figure class="{kind}"><img src="{source}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'
