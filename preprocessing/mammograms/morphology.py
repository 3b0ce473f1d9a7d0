"""Operations on the shape of masks, bool (height, width): components, holes, openings by discs."""

import cv2
import numpy as np


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest 4-connected component; an empty mask stays empty."""
    count, labels = cv2.connectedComponents(np.asarray(mask, np.uint8), connectivity=4)
    if count <= 2:
        return labels > 0
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill the holes of a mask: background that is not 4-connected to the outside."""
    framed = cv2.copyMakeBorder(np.asarray(mask, np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(framed, None, (0, 0), 2)
    return framed[1:-1, 1:-1] != 2


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """Open a mask by a disc: keep what a disc covers that lies inside the mask.

    Outside the frame counts as inside. The result is that of OpenCV's `MORPH_OPEN` with `MORPH_ELLIPSE` and its default
    border, whose time grows with the disc's area.
    """
    return dilated(_eroded(mask, radius), radius)


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilate a mask by a disc: keep every pixel that a disc around a pixel of the mask covers."""
    return ~_eroded(~mask, radius)


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """Keep the pixels around which a disc lies inside the mask; outside the frame counts as inside.

    The whole mask is one integer, one bit per pixel, row after row: a shift moves all pixels at once.
    """
    frame = np.pad(mask, radius, constant_values=True)
    stride = frame.shape[1]
    bits = int.from_bytes(np.packbits(frame, bitorder="little").tobytes(), "little")

    # 1) runs[k]: pixels from which 2k + 1 pixels of the mask follow in the row
    runs = [bits, bits & (bits >> 1) & (bits >> 2)]
    while len(runs) <= radius:
        runs.append(runs[-1] & (runs[-1] >> 2))

    # 2) a disc is a stack of such runs, each centred
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    half_widths = disc.sum(axis=1) // 2
    kept = runs[radius] << radius
    for k in range(1, radius + 1):
        half = int(half_widths[radius + k])
        kept &= (runs[half] >> k * stride - half) & (runs[half] << k * stride + half)

    packed = np.frombuffer((kept & bits).to_bytes((frame.size + 7) // 8, "little"), np.uint8)
    unpacked = np.unpackbits(packed, count=frame.size, bitorder="little").reshape(frame.shape)
    return unpacked[radius:-radius, radius:-radius].astype(bool)
