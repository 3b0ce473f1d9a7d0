"""Mammogram phantoms: drawn anatomy, so that everything runs and is tested without a patient.

A phantom is a compressed breast seen from above (CC) or obliquely (MLO), chest wall on the left. Its texture is random
with a power-law spectrum 1/f^beta, beta near 3, the law that real mammograms follow (Burgess, Jacobson and Judy,
*Medical Physics* 28, 2001), bent into strands that run to the nipple, and broken by lobules of fat, after the clustered
lumpy background of Bochud, Abbey and Eckstein (*Optics Express* 4, 1999).

Everything is drawn at 512 x 256 (height x width) and resized: a seed is one breast at any size.
"""

import os

import cv2
import numpy as np

from preprocessing.images.image import resized
from preprocessing.images.mask import resize_mask
from preprocessing.mammograms.item import mammogram_item
from preprocessing.mammograms.morphology import largest_component
from preprocessing.phantoms.anatomy import HEIGHT, WIDTH, Anatomy, breast_region, draw_anatomy, filled
from preprocessing.phantoms.task import PhantomTask, phantom_tasks
from preprocessing.phantoms.tissue import power_law_pair, ridges, specks
from preprocessing.shards import Dataset
from preprocessing.shards.convert import WorkList, build_dataset
from preprocessing.shards.format import Item

SHARPNESS = 5  # of strands


def make_phantoms(
    output: str | os.PathLike,
    count: int,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    workers: int | None = None,
) -> Dataset:
    """Write a dataset of mammogram phantoms; it depends on count and seed alone.

    What a killed call left is continued, and a finished dataset is only opened.

    Args:
        validation_fraction: Share of the phantoms that are for validation, in [0, 1).
        workers: Number of processes. Defaults to the number of usable cores.

    Raises:
        DataError: The output was made with other settings or cannot be written.
    """
    work = WorkList(
        phantom_tasks(count, seed),
        prepare_phantom,
        {"by": "make_phantoms", "seed": seed},
        kind="mammogram",
        title="Phantoms",
        validation_fraction=validation_fraction,
        synthetic=True,
    )
    return build_dataset(output, work, workers=workers).dataset


def prepare_phantom(task: PhantomTask) -> Item:
    """Draw one phantom as a dataset item."""
    image, mask, view = mammogram_phantom(task.seed)
    return mammogram_item(image, mask, subject=task.subject, view=view)


def mammogram_phantom(seed: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray, str]:
    """Draw one mammogram, a pure function of the seed.

    Args:
        seed: int >= 0.
        height, width: int. Size in pixels; unless it is 2:1 the breast is stretched. Defaults to 512, 256.

    Returns:
        image: float32 (height, width) in [0, 1], exactly 0 outside the breast.
        mask: bool (height, width), the breast: one component that touches the left edge.
        view: "CC" or "MLO".
    """
    rng = np.random.default_rng(seed)
    anatomy = draw_anatomy(rng)
    mask = breast_region(anatomy)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    image = render(anatomy, depth, rng)
    return *fit(image, mask, height, width), anatomy.view


def phantom_mask(seed: int) -> tuple[np.ndarray, str]:
    """Draw only the mask and the view of `mammogram_phantom`, not the tissue, which takes nearly all of its time.

    Returns:
        mask: bool (512, 256).
        view: "CC" or "MLO".
    """
    anatomy = draw_anatomy(np.random.default_rng(seed))
    return largest_component(breast_region(anatomy)), anatomy.view


def fit(image: np.ndarray, mask: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize, keep the largest part of the breast, clear what is outside it."""
    if (height, width) != (HEIGHT, WIDTH):
        image, mask = resized(image, (height, width)), resize_mask(mask, (height, width))
    mask = largest_component(mask)
    return np.where(mask, np.clip(image, 0, 1), 0).astype(np.float32), mask


def render(anatomy: Anatomy, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compute the brightness of the whole image, float32 (512, 256).

    Args:
        depth: float32 (512, 256). Distance from the skin in pixels, 0 outside the breast.
    """
    # 1) random fields, and the same bent into the fan of ducts
    clouds, parenchyma = power_law_pair((HEIGHT, WIDTH), 3.1, 160, rng, blur=0.5)
    threads, fibres = power_law_pair((HEIGHT, WIDTH), 3.0, 50, rng, blur=1.6)
    along, across = towards_nipple(anatomy.nipple, clouds)
    parenchyma = 0.45 * parenchyma + 0.95 * bend(parenchyma, 0.5 * along, across)
    strands = ridges(bend(threads, 0.45 * along, 1.2 * across), SHARPNESS) + 0.6 * ridges(fibres, SHARPNESS)
    strands *= np.clip(1 + 0.5 * parenchyma, 0.2, 1.6)

    # 2) brightness of tissue at full thickness: fat, gland, strands, vessels, muscle over all
    dense = glandular_fraction(anatomy, depth, parenchyma, rng)
    level = anatomy.fat_level + (anatomy.dense_level - anatomy.fat_level) * dense
    level += 0.03 * clouds + 0.05 * (0.2 + dense) * parenchyma
    level += anatomy.strand_contrast * strands * (0.035 + 0.03 * dense) + vessels(anatomy, rng)
    added = np.maximum(anatomy.muscle_level + 0.02 * clouds - level, 0.06)  # gland shows through
    level += muscle_fraction(anatomy) * added + lymph_nodes(anatomy, rng)

    # 3) thickness, skin, specks, and the shoulder of the film's response, which saturates softly
    image = level * thickness(anatomy, depth) + skin(depth) + calcifications(anatomy, rng)
    return np.tanh(1.12 * image)


def towards_nipple(nipple: np.ndarray, clouds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute coordinates in the fan of ducts, along and across, in pixels, float32 (512, 256) each."""
    x = np.arange(WIDTH, dtype=np.float32)[None, :] - np.float32(nipple[0] + 26)
    y = np.arange(HEIGHT, dtype=np.float32)[:, None] - np.float32(nipple[1])
    x, y = np.broadcast_arrays(x, y)
    distance, angle = cv2.cartToPolar(x, y)  # pi = straight to the chest wall
    return 75 * np.log(distance + 40), 110 * angle + 7 * clouds  # the fan is never quite straight


def bend(field: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Resample a field in the coordinates of the fan: its grain runs to the nipple."""
    return cv2.remap(field, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def glandular_fraction(
    anatomy: Anatomy, depth: np.ndarray, parenchyma: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the share of dense tissue, in [0, 1]: a disc that narrows to the nipple, with lobules of fat."""
    cos, sin = np.cos(anatomy.gland_tilt), np.sin(anatomy.gland_tilt)
    x = anatomy.nipple[0] - np.arange(WIDTH, dtype=np.float32)[None, :]
    y = anatomy.nipple[1] - np.arange(HEIGHT, dtype=np.float32)[:, None]
    along = np.clip((x * cos + y * sin) / anatomy.gland_depth, -0.2, 1.6)
    across = np.abs(y * cos - x * sin) / anatomy.gland_width
    # Half the width of the disc: pointed at the nipple, widest in the middle, nothing at the back.
    half = np.sqrt(np.clip(along + 0.06, 0, 2)) * np.clip(1.25 - along, 0.02, 1)
    inside = np.clip(1.2 - across / (half + 0.05), -2.5, 1)
    inside = cv2.GaussianBlur(inside, (0, 0), 9)
    subcutaneous = np.clip(depth / 22 - 1.2, -1.5, 0)  # a layer of fat lies under the skin
    amount = 1.1 * inside + 0.95 * parenchyma + 0.8 * subcutaneous - lobules(anatomy, rng)
    amount -= 0.02 * np.clip(-y - anatomy.gland_width, 0, 100)  # none in the abdomen
    amount += (-2.0, -1.1, -0.3, 0.5)[anatomy.density]
    return 1 / (1 + np.exp(-1.25 * amount))


def lobules(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Draw fat lobules: overlapping blobs, in [0, 1.3], to be subtracted from the dense tissue."""
    canvas = np.zeros((HEIGHT // 2, WIDTH // 2), np.float32)
    for _ in range(anatomy.lobule_count):
        centre = (int(rng.integers(0, WIDTH // 2)), int(rng.integers(0, HEIGHT // 2)))
        axes = (int(rng.integers(3, 13)), int(rng.integers(3, 9)))
        turn, fat = float(rng.uniform(0, 180)), float(rng.uniform(0.4, 1.3))
        cv2.ellipse(canvas, centre, axes, turn, 0, 360, fat, -1)
    return cv2.resize(cv2.GaussianBlur(canvas, (0, 0), 2), (WIDTH, HEIGHT))


def muscle_fraction(anatomy: Anatomy) -> np.ndarray:
    """Draw the pectoral muscle, in [0, 1]: thinner towards its free edge, which is soft."""
    if anatomy.pectoral is None:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    region = filled(anatomy.pectoral)
    inward = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    return cv2.GaussianBlur(region, (0, 0), 2.5) * (1 - 0.35 * np.exp(-inward / 25))


def vessels(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Draw ducts and veins, as added brightness: thin winding lines that start near the nipple and fork."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(int(rng.integers(5, 14))):
        heading = np.pi + rng.uniform(-1.25, 1.25)
        start = anatomy.nipple + rng.uniform(5, 70) * np.array([np.cos(heading), np.sin(heading)])
        wind(canvas, start, heading, rng.uniform(60, 240), int(rng.integers(60, 210)), rng, forks=3)
    return 0.15 * cv2.GaussianBlur(canvas, (0, 0), 0.7).astype(np.float32) / 255


def wind(
    canvas: np.ndarray,
    start: np.ndarray,
    heading: float,
    length: float,
    brightness: int,
    rng: np.random.Generator,
    forks: int,
) -> None:
    """Draw one winding line that fades towards its end, then the branches that leave it."""
    steps = max(int(length / 5), 4)
    headings = heading + np.cumsum(rng.normal(0, 0.13, steps))
    path = start + 5 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
    points = np.rint(path * 8).astype(np.int32)
    for part in range(3):  # over the whole line, its first two thirds, its first third
        begin, glow = points[: steps - part * steps // 3], brightness * (part + 2) // 4
        cv2.polylines(canvas, [begin], False, glow, 1, cv2.LINE_AA, 3)
    for _ in range(forks):
        fork = int(rng.integers(1, steps))
        turned = headings[fork] + rng.choice((-1, 1)) * rng.uniform(0.3, 0.8)
        wind(canvas, path[fork], turned, 0.5 * length, int(0.6 * brightness), rng, forks=0)


def lymph_nodes(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Draw nodes in the armpit, as added brightness: small bright beans with a notch of fat."""
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(anatomy.lymph_nodes):
        x, y = int(anatomy.nipple[0] * rng.uniform(0.1, 0.45)), int(rng.integers(25, 150))
        size, turn = int(rng.integers(4, 9)), float(rng.uniform(40, 140))
        bright = float(rng.uniform(0.06, 0.12))
        cv2.ellipse(canvas, (x, y), (2 * size, size), turn, 0, 360, bright, -1)
        cv2.ellipse(canvas, (x + size // 2, y), (size, size // 2), turn, 0, 360, 0.03, -1)
    return cv2.GaussianBlur(canvas, (0, 0), 2)


def thickness(anatomy: Anatomy, depth: np.ndarray) -> np.ndarray:
    """Compute the compressed thickness relative to the middle of the breast: round at the skin, then flat."""
    return 1 - 0.85 * np.exp(-depth / anatomy.roll_off)


def skin(depth: np.ndarray) -> np.ndarray:
    """Compute the thin bright rim of skin seen edge on, as added brightness."""
    return 0.045 * np.exp(-(((depth - 2.5) / 1.5) ** 2))


def calcifications(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Draw bright specks in a quarter of breasts, as added brightness: a few scattered ones or one cluster."""
    circles = []
    if rng.random() < 0.25:
        centre = anatomy.nipple - (rng.uniform(30, 0.8 * anatomy.nipple[0]), rng.normal(0, 50))
        spread = rng.choice((4.0, 45.0))
        for x, y in rng.normal(centre, spread, (int(rng.integers(1, 9)), 2)):
            brightness, radius = int(rng.integers(40, 120)), int(rng.integers(2, 7))
            circles.append((int(round(x * 8)), int(round(y * 8)), radius, brightness))
    return cv2.GaussianBlur(specks((HEIGHT, WIDTH), circles), (0, 0), 0.5).astype(np.float32) / 255
