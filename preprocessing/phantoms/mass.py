"""Mass phantoms: drawn breast masses whose BI-RADS shape and margin are true by construction.

The shape is a random outline among those of its word; the margin is how that outline meets the tissue around
it (BI-RADS atlas, 5th edition, in the words of DDSM, which still tells lobulated from oval):

- circumscribed: a sharp edge all around;
- microlobulated: a sharp edge with many small undulations;
- obscured: a sharp edge, hidden on one side by tissue as bright as the mass that lies over it;
- ill-defined: the mass fades into the tissue around it;
- spiculated: lines radiate from the mass.

Tissue is random with a power-law spectrum, as in `preprocessing.phantoms.mammogram`. Brightness, contrast, spectrum and
sharpness are those of 1,156 masses of CBIS-DDSM cut out in the same way. Everything is drawn at 128 x 128 and
resized: a seed is one mass at any size.
"""

import os
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from preprocessing.images.image import resized
from preprocessing.images.mask import resize_mask
from preprocessing.masses.item import mass_item, summarise
from preprocessing.masses.labels import CLASSES
from preprocessing.masses.options import CONTEXT
from preprocessing.masses.window import SIZE
from preprocessing.phantoms.task import PhantomTask, phantom_tasks
from preprocessing.phantoms.tissue import power_law_pair, ridges, specks
from preprocessing.shards import Dataset
from preprocessing.shards.convert import WorkList, build_dataset

SIDE = 128  # pixels of the drawing; lengths below are in these pixels
LONGEST = SIDE / CONTEXT  # longest side of a mass that a radiologist boxed exactly
ANGLES = np.linspace(0, 2 * np.pi, 720, endpoint=False)
RAYS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
EXPONENT = 3.1  # of the power spectrum of the tissue
LONGEST_WAVE = 90  # pixels; the spectrum is flat from there on
SHARPNESS = 6  # of fibres
SHARP = (0.5, 0.9), (0.0, 0.0)  # pixels: how far an edge fades, and how far tissue makes it wander
EDGES = {"ill-defined": ((4.5, 7.0), (1.5, 3.5)), "spiculated": ((1.5, 3.5), (1.0, 3.0))}


@dataclass(frozen=True)
class Mass:
    """The random properties of one mass and the tissue around it; brightness in units of the image's range."""

    outline: np.ndarray  # (720, 2) x, y in pixels of the drawing
    centre: np.ndarray  # (2,)
    fade: float  # pixels over which the edge fades
    ragged: float  # pixels by which tissue makes the edge wander
    dome: float  # 0 = flat, 1 = as thick as a ball
    contrast: float  # mass over tissue
    level: float  # brightness of tissue
    density: float  # strength of the tissue's texture, of the contrast
    strands: float  # strength of fibres, of the contrast
    stretch: float  # how much longer than wide the grain of the tissue is
    turn: float  # radians, direction of that grain
    slope: np.ndarray  # (2,) brightness across the window, of the contrast
    blur: float  # pixels; films are soft, small masses are enlarged
    grain: float  # brightness of film grain, of the contrast


@dataclass(frozen=True)
class MassPhantomTask(PhantomTask):
    """One mass to draw; labels are indices into `CLASSES`."""

    shape: int
    margin: int


def make_mass_phantoms(
    output: str | os.PathLike,
    count: int,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    workers: int | None = None,
) -> Dataset:
    """Write a dataset of mass phantoms, contrast normalised; it depends on count and seed alone.

    Every pair of shape and margin comes equally often (once more or less where `count` is no multiple of 20), in random
    order. What a killed call left is continued, and a finished dataset is only opened.

    Args:
        validation_fraction: Share of the phantoms that are for validation, in [0, 1).
        workers: Number of processes. Defaults to the number of usable cores.

    Raises:
        DataError: The output was made with other settings or cannot be written.
    """
    work = WorkList(
        mass_phantom_tasks(count, seed),
        prepare_mass_phantom,
        {"by": "make_phantoms", "seed": seed},
        kind="mass",
        title="Phantoms",
        validation_fraction=validation_fraction,
        levels=[(SIZE, SIZE)],
        classes=CLASSES,
        synthetic=True,
        summarise=summarise,
    )
    return build_dataset(output, work, workers=workers).dataset


def mass_phantom_tasks(count: int, seed: int) -> list[MassPhantomTask]:
    """List what to draw for a dataset."""
    pairs = list(product(range(len(CLASSES["shape"])), range(len(CLASSES["margin"]))))
    order = np.random.default_rng(seed).permutation(count) % len(pairs)
    return [
        MassPhantomTask(one.seed, one.subject, *pairs[pair])
        for one, pair in zip(phantom_tasks(count, seed, "mass phantoms"), order.tolist(), strict=True)
    ]


def prepare_mass_phantom(task: MassPhantomTask) -> dict[str, np.ndarray | str | int | float]:
    """Draw one mass as a dataset item."""
    image, lesion = mass_phantom(task.seed, CLASSES["shape"][task.shape], CLASSES["margin"][task.margin])
    return mass_item(image, lesion, subject=task.subject, shape=task.shape, margin=task.margin, contrast="normalised")


def mass_phantom(seed: int, shape: str, margin: str, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Draw one mass, a pure function of its arguments.

    Args:
        seed: int >= 0.
        shape, margin: str. Words of `CLASSES`.
        size: int. Pixels of a side; the window is about `CONTEXT` times the longest side of the mass.

    Returns:
        image: float32 (size, size) in [0, 1].
        lesion: bool (size, size), the body of the mass without its spicules, half-way down a faded edge.

    Raises:
        ValueError: A word is no class.
    """
    for word, field in ((shape, "shape"), (margin, "margin")):
        if word not in CLASSES[field]:
            raise ValueError(f"{field} {word!r}: must be one of {', '.join(CLASSES[field])}")
    rng = np.random.default_rng(seed)
    mass = draw_mass(shape, margin, rng)
    inside = filled(mass.outline)
    image = render(mass, margin, inside, rng)
    return np.clip(resized(image, (size, size)), 0, 1), resize_mask(inside, (size, size))


def draw_mass(shape: str, margin: str, rng: np.random.Generator) -> Mass:
    """Draw outline, edge and brightness of one mass at random."""
    radius = OUTLINES[shape](rng)
    if margin == "microlobulated":
        radius = radius * undulations(rng)
    outline = placed(radius, rng)
    fade, ragged = EDGES.get(margin, SHARP)
    return Mass(
        outline=outline,
        centre=outline.mean(axis=0),
        fade=rng.uniform(*fade),
        ragged=rng.uniform(*ragged),
        dome=rng.uniform(0.2, 0.8),
        contrast=float(np.clip(np.exp(rng.normal(np.log(0.17), 0.5)), 0.05, 0.4)),
        level=rng.normal(0.465, 0.11),
        density=rng.uniform(0.1, 0.3),
        strands=rng.uniform(0.1, 0.5),
        stretch=rng.uniform(1.1, 2.8),
        turn=rng.uniform(0, np.pi),
        slope=rng.normal(0, 0.45, 2),
        blur=rng.uniform(0.5, 1.15),
        grain=rng.uniform(0, 0.08),
    )


def placed(radius: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn an outline at random, make it as large as a radiologist's box, and move it slightly off the centre."""
    turned = np.roll(radius, rng.integers(len(radius)))
    outline = (turned[:, None] * RAYS).astype(np.float32)
    low, high = outline.min(axis=0), outline.max(axis=0)
    longest = LONGEST * rng.uniform(0.85, 1.08)
    middle = SIDE / 2 + rng.normal(0, 3, 2).clip(-7, 7)
    return (outline - (low + high) / 2) * (longest / (high - low).max()) + middle


def round_outline(rng: np.random.Generator) -> np.ndarray:
    """Draw the radius at `ANGLES` of nearly a circle."""
    return ellipse(rng.uniform(1, 1.08)) * waves((2, 5), 0.012, rng)


def oval_outline(rng: np.random.Generator) -> np.ndarray:
    """Draw the radius at `ANGLES` of an ellipse, sometimes an egg."""
    return ellipse(rng.uniform(1.4, 1.9)) * waves((2, 4), 0.02, rng)


def lobulated_outline(rng: np.random.Generator) -> np.ndarray:
    """Draw the radius at `ANGLES` of a few round lobes grown together: the reach of several discs along each ray."""
    lobes = int(rng.integers(3, 5))
    turns = 2 * np.pi * (np.arange(lobes) + rng.uniform(-0.18, 0.18, lobes)) / lobes
    away, wide = rng.uniform(0.4, 0.75, lobes), rng.uniform(0.75, 1.1, lobes) * (1.5 / lobes + 0.12)
    along = away * np.cos(ANGLES[:, None] - turns)
    squared = wide**2 - (away * np.sin(ANGLES[:, None] - turns)) ** 2
    reach = np.where((squared > 0) & (along > 0), along + np.sqrt(np.clip(squared, 0, None)), 0)
    radius = np.maximum(reach.max(axis=1), rng.uniform(0.6, 0.75))
    return gaussian_filter1d(radius, 7, mode="wrap") * ellipse(rng.uniform(1, 1.3))


def irregular_outline(rng: np.random.Generator) -> np.ndarray:
    """Draw the radius at `ANGLES` of a polygon: a corner far out, or two in a row, then one or two far in."""
    points = int(rng.integers(4, 7))
    runs = np.stack([1 + (rng.random(points) < 0.25), rng.integers(1, 3, points)], axis=1).ravel()
    far_in = np.repeat(np.arange(len(runs)) % 2, runs)
    corners = len(far_in)
    widths = np.cumsum(rng.uniform(0.5, 1.5, corners))
    turns = 2 * np.pi * widths / widths[-1]
    far = rng.uniform(0.7, 1.15, corners) * np.where(far_in, rng.uniform(0.5, 0.7, corners), 1)
    radius = np.interp(ANGLES, turns, far, period=2 * np.pi)
    return gaussian_filter1d(radius, 2, mode="wrap") * ellipse(rng.uniform(1, 1.4))


OUTLINES = {
    "round": round_outline,
    "oval": oval_outline,
    "lobulated": lobulated_outline,
    "irregular": irregular_outline,
}


def ellipse(aspect: float) -> np.ndarray:
    """Compute the radius at `ANGLES` of an ellipse of half axes 1 and 1 / aspect."""
    return 1 / np.hypot(RAYS[:, 0], aspect * RAYS[:, 1])


def waves(orders: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw slow random undulations around 1: nothing that grows is a perfect curve."""
    order = np.arange(*orders)
    amplitude, phase = rng.normal(0, strength, len(order)), rng.uniform(0, 2 * np.pi, len(order))
    return 1 + np.cos(ANGLES[:, None] * order + phase) @ amplitude


def undulations(rng: np.random.Generator) -> np.ndarray:
    """Draw many small round bumps of uneven width and height with notches between them, around 1."""
    bumps = int(rng.integers(11, 16))
    widths = np.cumsum([0, *rng.uniform(0.6, 1.4, bumps)])
    notches = 2 * np.pi * widths / widths[-1]
    height = np.interp(ANGLES, notches[:-1], rng.uniform(0.08, 0.22, bumps), period=2 * np.pi)
    bump = np.abs(np.sin(np.pi * np.interp(ANGLES, notches, np.arange(bumps + 1))))
    return np.roll(1 + height * (bump - 0.6), rng.integers(len(ANGLES)))


def filled(outline: np.ndarray) -> np.ndarray:
    """Fill a closed line (points, 2): uint8 (128, 128), 1 inside."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(canvas, [fixed_point(outline)], 1, shift=4)
    return canvas


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Convert points for OpenCV's shift 4; here a pixel's middle is at 0.5, there at 0."""
    return np.rint(points * 16 - 8).astype(np.int32)


# ------------------------------------------------------------------------------------- how it looks


def render(mass: Mass, margin: str, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compute the brightness of the window, float32 (128, 128); `inside` is the body of the mass."""
    # 1) tissue, in units of the contrast: clouds, fibres, and breast that is thicker on one side
    grain = {"stretch": mass.stretch, "turn": mass.turn}
    clouds, threads = power_law_pair((SIDE, SIDE), EXPONENT, LONGEST_WAVE, rng, **grain)
    texture, fibres = power_law_pair((SIDE, SIDE), EXPONENT, LONGEST_WAVE, rng, **grain)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - np.float32(0.5)
    tissue = mass.density * clouds + mass.slope[0] * x + mass.slope[1] * y
    tissue += mass.strands * (ridges(threads, SHARPNESS) + 0.7 * ridges(fibres, SHARPNESS) - 0.3)

    # 2) the mass: how thick it is, how its edge fades
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    distance = deep - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)  # positive inside
    ball = np.sqrt(1 - (1 - deep / deep.max()) ** 2)
    edge = logistic((distance + mass.ragged * texture) / mass.fade)
    body = edge * (1 - mass.dome + mass.dome * ball + 0.12 * texture)

    # 3) what its margin adds
    if margin == "spiculated":
        body = np.maximum(body, spicules(mass, rng))
    if margin == "obscured":
        body = np.maximum(body, overlying(mass, texture, clouds, rng))

    # 4) the image: tissue shows through the mass a little, film is soft and has grain
    image = mass.level + calcifications(rng) + mass.contrast * (body + tissue * (1 - 0.6 * np.clip(body, 0, 1)))
    image *= skin_line(rng)
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), mass.blur)
    noise = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    return image + np.float32(mass.contrast * mass.grain) * noise


def logistic(values: np.ndarray) -> np.ndarray:
    """Compute 1 / (1 + exp(−values)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def spicules(mass: Mass, rng: np.random.Generator) -> np.ndarray:
    """Draw lines that radiate from the mass, in [0, 1]: broad where they leave it, thin and faint where they end."""
    canvas, ray = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    count = int(rng.integers(16, 30))
    starts = (np.arange(count) + rng.uniform(-0.7, 0.7, count)) / count * len(ANGLES)
    for start in mass.outline[starts.astype(int)]:
        outward = (start - mass.centre) / np.linalg.norm(start - mass.centre) + rng.normal(0, 0.2, 2)
        across = np.array([-outward[1], outward[0]])
        length, half, glow = rng.uniform(12, 42), rng.uniform(1.0, 2.5), rng.uniform(0.65, 1.0)
        bend = rng.normal(0, 0.12) * length
        ray[:] = 0
        for part in (1.0, 0.66, 0.33):  # the whole line, and over it brighter its first two thirds and its first
            way = np.linspace(-0.4, part, 7)[:, None]
            path = start + way * length * outward + bend * np.clip(way, 0, 1) ** 2 * across
            width = half * (1 - way / part) * across
            line = np.concatenate([path + width, (path - width)[::-1]])
            cv2.fillPoly(ray, [fixed_point(line)], int(glow * (255 - 110 * part)), cv2.LINE_AA, 4)
        np.maximum(canvas, ray, out=canvas)
    return cv2.GaussianBlur(canvas, (0, 0), 0.7).astype(np.float32) / 255


def overlying(mass: Mass, texture: np.ndarray, clouds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw tissue as bright as the mass that lies over about a third of its edge and reaches out of the window."""
    turn = rng.uniform(0, 2 * np.pi)
    outward = np.array([np.cos(turn), np.sin(turn)])
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    along = (x - mass.centre[0]) * outward[0] + (y - mass.centre[1]) * outward[1]
    across = -(x - mass.centre[0]) * outward[1] + (y - mass.centre[1]) * outward[0]
    radius = LONGEST / 2
    depth = along - rng.uniform(0.1, 0.4) * radius - 0.25 * np.abs(across)
    return logistic((depth + 6 * clouds) / 5) * (0.9 + 0.15 * texture)


def calcifications(rng: np.random.Generator) -> np.ndarray | float:
    """Draw a few bright specks in one of ten windows, as added brightness."""
    if rng.random() > 0.1:
        return 0.0
    places = rng.integers(0, SIDE * 8, (int(rng.integers(1, 4)), 2))
    circles = [(int(x), int(y), int(rng.integers(6, 20)), int(rng.integers(25, 80))) for x, y in places]
    return specks((SIDE, SIDE), circles).astype(np.float32) / 255


def skin_line(rng: np.random.Generator) -> np.ndarray | float:
    """Draw the relative thickness: in one of sixteen windows the breast ends in a corner, and is 0 outside."""
    if rng.random() > 1 / 16:
        return 1.0
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - np.float32(SIDE / 2)
    away = np.hypot(x + 110 * np.float32(np.cos(turn)), y + 110 * np.float32(np.sin(turn)))
    depth = np.clip(110 + rng.uniform(46, 70) - away, 0, None)
    return 1 - np.exp(-depth / 9)
