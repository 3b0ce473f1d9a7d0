"""The anatomy of a mammogram phantom: view, outline of the skin, gland, pectoral muscle, brightness."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

HEIGHT, WIDTH = 512, 256  # pixels of the drawing; lengths below are in these pixels
VIEWS = ("CC", "MLO")
DENSITIES = ("a", "b", "c", "d")  # BI-RADS 5th edition: almost entirely fatty ... extremely dense
DENSITY_SHARE = (0.15, 0.4, 0.35, 0.1)  # of screened women, rounded


@dataclass(frozen=True)
class Anatomy:
    """The random properties of one breast; positions are (x, y) in pixels of the drawing."""

    view: str  # "CC" or "MLO"
    density: int  # index into DENSITIES
    outline: np.ndarray  # (points, 2) skin from the top of the image to its bottom
    nipple: np.ndarray  # (2,)
    gland_depth: float  # nipple to the back of the glandular disc
    gland_width: float  # half the height of the disc
    gland_tilt: float  # radians from the horizontal; positive = the back of the disc is higher
    pectoral: np.ndarray | None  # (points, 2) free edge of the muscle; None = not in the image
    roll_off: float  # distance from the skin over which the compressed thickness grows
    fat_level: float  # brightness of fat at full thickness
    dense_level: float  # brightness of dense tissue at full thickness
    muscle_level: float
    lobule_count: int
    lymph_nodes: int  # in the armpit
    strand_contrast: float


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw view, outline, density and brightness of one breast at random."""
    view = VIEWS[rng.integers(len(VIEWS))]
    density = int(rng.choice(len(DENSITIES), p=DENSITY_SHARE))
    draw_outline = draw_cc_outline if view == "CC" else draw_mlo_outline
    outline, nipple, half_height = draw_outline(rng)
    fat_level = rng.uniform(0.24, 0.43)
    return Anatomy(
        view=view,
        density=density,
        outline=outline,
        nipple=nipple,
        gland_depth=float(nipple[0] * rng.uniform(0.65, 1.0) * (0.85 + 0.08 * density)),
        gland_width=float(half_height * rng.uniform(0.55, 0.9)),
        # In MLO the disc reaches up to the armpit, its tail.
        gland_tilt=float(rng.normal(0, 0.12) if view == "CC" else rng.uniform(0.1, 0.5)),
        pectoral=draw_pectoral(view, nipple, rng),
        roll_off=float(rng.uniform(9, 24)),
        fat_level=float(fat_level),
        dense_level=float(fat_level + rng.uniform(0.32, 0.6)),
        muscle_level=float(fat_level + rng.uniform(0.3, 0.8)),
        lobule_count=int(rng.integers(30, 90)),
        lymph_nodes=int(rng.integers(1, 4)) if view == "MLO" and rng.random() < 0.3 else 0,
        strand_contrast=float(rng.uniform(0.6, 1.4)),
    )


def draw_cc_outline(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw the skin in CC: half an oval on the chest wall, each side rounder or more pointed.

    Returns:
        Outline (points, 2), nipple (2,), half the height of the breast.
    """
    depth = rng.uniform(130, 262)
    centre = rng.normal(256, 16)
    half_height = np.clip(depth * rng.uniform(0.85, 1.35), 150, 258)
    y = np.arange(-3.0, HEIGHT + 3.0)
    x = np.zeros_like(y)
    cone = rng.uniform(0, 0.8)  # 0 = round, 1 = conical
    for side in (-1, 1):
        here = (y - centre) * side >= 0
        along = np.abs(y[here] - centre) / (half_height * rng.uniform(0.88, 1.12))
        x[here] = quarter_oval(along, cone + rng.uniform(-0.15, 0.15))
    x = depth * x + wobble(y, rng) * x
    return with_nipple(x - 2, y, centre, rng) + (half_height,)


def quarter_oval(along: np.ndarray, cone: float) -> np.ndarray:
    """Compute the height of a quarter of an oval, 1 at `along` = 0 and 0 from 1 on; `cone` makes it pointed."""
    return np.clip(1 - along ** (2.3 - 0.5 * cone), 0, None) ** (0.5 + 0.35 * cone)


def wobble(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw slow random waves of a few pixels: no skin is a perfect curve."""
    waves = rng.uniform(0.01, 0.045, 3)[:, None] * y + rng.uniform(0, 6.3, 3)[:, None]
    return (rng.uniform(0.3, 2.2, 3)[:, None] * np.sin(waves)).sum(axis=0)


def with_nipple(x: np.ndarray, y: np.ndarray, height: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Round the corners of the skin line; in half of all breasts the nipple stands out of it."""
    x = gaussian_filter1d(x, 4, mode="nearest")
    nipple = np.array([np.interp(height, y, x), height])
    if rng.random() < 0.5:
        x = x + rng.uniform(3, 11) * np.exp(-(((y - height) / rng.uniform(5, 8)) ** 4))
    return np.stack([x, y], axis=1), nipple


def draw_mlo_outline(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw the skin in MLO: armpit at the top, nipple below the middle, inframammary fold, abdomen.

    Returns:
        Outline (points, 2), nipple (2,), half the height of the breast.
    """
    nipple_x, nipple_y = rng.uniform(135, 262), rng.uniform(265, 370)
    fold_y = min(nipple_y + rng.uniform(95, 190), 500)
    armpit = nipple_x * rng.uniform(0.4, 0.75)
    y = np.arange(-3.0, HEIGHT + 3.0)
    down = np.clip(y / nipple_y, 0, 1)
    fullness = rng.uniform(1.2, 2.4)  # low = full above the nipple, high = hollow
    upper = armpit + (nipple_x - armpit) * np.sin(np.pi / 2 * down**fullness)
    upper += rng.uniform(-12, 14) * (1 - down) ** 3 - rng.uniform(0, 9) * np.sin(np.pi * down) ** 2
    along = np.clip((y - nipple_y) / (fold_y - nipple_y), 0, None)
    lower = nipple_x * quarter_oval(along, rng.uniform(-0.2, 0.3))
    x = np.where(y < nipple_y, upper, lower)
    x = x + wobble(y, rng) * np.clip(x / 60, 0, 1) - 2
    if rng.random() < 0.6:  # the fold and the abdomen below it are in the image
        below = np.clip(y - fold_y, 0, None)
        x = np.maximum(x, rng.uniform(5, 16) + rng.uniform(0, 4) * np.sqrt(below))
    half_height = 0.5 * (fold_y - nipple_y) + 0.35 * nipple_y
    return with_nipple(x, y, nipple_y, rng) + (half_height,)


def draw_pectoral(view: str, nipple: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Draw the free edge of the pectoral muscle: a slanting line in MLO, sometimes a crescent in CC."""
    step = np.linspace(0, 1, 40)
    if view == "CC":
        if rng.random() > 0.12:
            return None
        half, bulge = rng.uniform(60, 150), rng.uniform(8, 28)
        centre = nipple[1] + rng.normal(0, 25)
        return np.stack([bulge * np.sin(np.pi * step), centre + half * (2 * step - 1)], axis=1)
    top, bottom = nipple[0] * rng.uniform(0.3, 0.62), nipple[1] + rng.uniform(-170, 40)
    bow = rng.uniform(-8, 16) * np.sin(np.pi * step)
    return np.stack([top * (1 - step) + bow, -10 + (bottom + 10) * step], axis=1)


def breast_region(anatomy: Anatomy) -> np.ndarray:
    """Fill the outline of the breast: uint8 (512, 256), 1 inside."""
    return filled(anatomy.outline).astype(np.uint8)


def filled(edge: np.ndarray) -> np.ndarray:
    """Fill what lies between the left edge and a line (points, 2): float32 (512, 256), 1 inside."""
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    corners = [(-40, edge[-1, 1]), (-40, edge[0, 1])]
    cv2.fillPoly(canvas, [np.rint([*edge, *corners]).astype(np.int32)], 1.0)
    return canvas
