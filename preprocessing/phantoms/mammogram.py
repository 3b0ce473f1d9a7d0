"""Mammogram phantoms: drawn anatomy, so that everything runs and is tested without a patient.

A phantom is a compressed breast seen from above (CC) or obliquely (MLO), chest wall on the left.
Its texture is random with a power-law spectrum 1/f^beta, beta near 3, the law that real mammograms
follow (Burgess, Jacobson and Judy, *Medical Physics* 28, 2001), bent into strands that run to the
nipple, and broken by lobules of fat, after the clustered lumpy background of Bochud, Abbey and
Eckstein (*Optics Express* 4, 1999).

Everything is drawn at 512 x 256 (height x width) and resized: a seed is one breast at any size.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter1d

from preprocessing.shards.pseudonyms import keyed_hash

HEIGHT, WIDTH = 512, 256  # pixels of the drawing; lengths below are in these pixels
VIEWS = ("CC", "MLO")
DENSITIES = ("a", "b", "c", "d")  # BI-RADS 5th edition: almost entirely fatty ... extremely dense
DENSITY_SHARE = (0.15, 0.4, 0.35, 0.1)  # of screened women, rounded


@dataclass(frozen=True)
class PhantomTask:
    """One phantom to draw for a dataset; each is a subject of its own."""

    seed: int
    subject: str


def phantom_tasks(count: int, seed: int, name: str = "phantoms") -> list[PhantomTask]:
    """What to draw for a dataset of phantoms; subjects depend on its name too."""
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64).tolist()
    key = f"{name} of seed {seed}".encode()
    return [PhantomTask(own, keyed_hash(key, str(number))) for number, own in enumerate(seeds)]


@dataclass(frozen=True)
class Anatomy:
    """What was drawn by lot for one breast; positions are (x, y) in pixels of the drawing."""

    view: str  # "CC" or "MLO"
    density: int  # index into DENSITIES
    outline: np.ndarray  # (points, 2) skin from the top of the film to its bottom
    nipple: np.ndarray  # (2,)
    gland_depth: float  # nipple to the back of the glandular disc
    gland_width: float  # half the height of the disc
    gland_tilt: float  # radians from the horizontal; positive = the back of the disc is higher
    pectoral: np.ndarray | None  # (points, 2) free edge of the muscle; None = not on the film
    roll_off: float  # distance from the skin over which the compressed thickness grows
    fat_level: float  # brightness of fat at full thickness
    dense_level: float  # brightness of dense tissue at full thickness
    muscle_level: float
    lobule_count: int
    lymph_nodes: int  # in the armpit
    strand_contrast: float


def mammogram_phantom(seed: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray, str]:
    """Draw one mammogram, a pure function of the seed.

    Args:
        seed: int >= 0.
        height, width: int. Size in pixels; unless it is 2:1 the breast is stretched.

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
    return fit(image, mask, height, width) + (anatomy.view,)


def phantom_mask(seed: int) -> tuple[np.ndarray, str]:
    """Draw only the mask and the view of `mammogram_phantom`, not the tissue, which takes nearly all of its time.

    Returns:
        mask: bool (512, 256).
        view: "CC" or "MLO".
    """
    anatomy = draw_anatomy(np.random.default_rng(seed))
    return largest_part(breast_region(anatomy)), anatomy.view


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw view, outline, density and brightness of one breast by lot."""
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
    """Skin in CC: half an oval on the chest wall, each side rounder or more pointed.

    Returns:
        outline (points, 2), nipple (2,), half the height of the breast.
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
    """Height of a quarter of an oval, 1 at `along` = 0 and 0 from 1 on; `cone` makes it pointed."""
    return np.clip(1 - along ** (2.3 - 0.5 * cone), 0, None) ** (0.5 + 0.35 * cone)


def wobble(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slow random waves of a few pixels: no skin is a perfect curve."""
    waves = rng.uniform(0.01, 0.045, 3)[:, None] * y + rng.uniform(0, 6.3, 3)[:, None]
    return (rng.uniform(0.3, 2.2, 3)[:, None] * np.sin(waves)).sum(axis=0)


def with_nipple(x: np.ndarray, y: np.ndarray, height: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Round the corners of the skin line; in half of breasts the nipple stands out of it."""
    x = gaussian_filter1d(x, 4, mode="nearest")
    nipple = np.array([np.interp(height, y, x), height])
    if rng.random() < 0.5:
        x = x + rng.uniform(3, 11) * np.exp(-(((y - height) / rng.uniform(5, 8)) ** 4))
    return np.stack([x, y], axis=1), nipple


def draw_mlo_outline(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Skin in MLO: armpit at the top, nipple below the middle, inframammary fold, abdomen.

    Returns:
        outline (points, 2), nipple (2,), half the height of the breast.
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
    if rng.random() < 0.6:  # the fold and the abdomen below it are on the film
        below = np.clip(y - fold_y, 0, None)
        x = np.maximum(x, rng.uniform(5, 16) + rng.uniform(0, 4) * np.sqrt(below))
    half_height = 0.5 * (fold_y - nipple_y) + 0.35 * nipple_y
    return with_nipple(x, y, nipple_y, rng) + (half_height,)


def draw_pectoral(view: str, nipple: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Free edge of the pectoral muscle: a slanting line in MLO, now and then a crescent in CC."""
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
    """Mask of the breast, uint8 (512, 256), 1 inside."""
    return filled(anatomy.outline).astype(np.uint8)


def filled(edge: np.ndarray) -> np.ndarray:
    """1 between the left edge of the film and a line (points, 2), float32 (512, 256)."""
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    corners = [(-40, edge[-1, 1]), (-40, edge[0, 1])]
    cv2.fillPoly(canvas, [np.rint([*edge, *corners]).astype(np.int32)], 1.0)
    return canvas


def render(anatomy: Anatomy, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness of the whole film, float32 (512, 256).

    Args:
        depth: float32 (512, 256). Distance from the skin in pixels, 0 outside the breast.
    """
    # 1) random fields, and the same bent into the fan of ducts
    clouds, parenchyma = power_law_pair(3.1, 160, 0.5, rng)
    threads, fibres = power_law_pair(3.0, 50, 1.6, rng)
    along, across = towards_nipple(anatomy.nipple, clouds)
    parenchyma = 0.45 * parenchyma + 0.95 * bend(parenchyma, 0.5 * along, across)
    strands = ridges(bend(threads, 0.45 * along, 1.2 * across)) + 0.6 * ridges(fibres)
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


def power_law_pair(beta: float, longest: float, blur: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two independent random fields, spectrum 1/f^beta, unit variance, float32 (512, 256).

    They are the real and the imaginary part of one inverse transform of filtered white noise.

    Args:
        longest: wavelength in pixels from which on the spectrum is flat, so that the law does not
            tilt the whole breast.
        blur: sigma in pixels of a Gaussian low-pass.
    """
    fy = scipy.fft.fftfreq(HEIGHT).astype(np.float32)[:, None]
    fx = scipy.fft.fftfreq(WIDTH).astype(np.float32)[None, :]
    squared = fy**2 + fx**2
    amplitude = np.maximum(squared, 1 / longest**2) ** np.float32(-beta / 4)
    amplitude *= np.exp(-2 * (np.pi * blur) ** 2 * squared)
    amplitude[0, 0] = 0
    white = rng.standard_normal((HEIGHT, WIDTH, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.ifft2(white * amplitude, overwrite_x=True)
    return tuple(part / part.std() for part in (field.real, field.imag))


def towards_nipple(nipple: np.ndarray, clouds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the fan of ducts, along and across, in pixels, float32 (512, 256) each."""
    x = np.arange(WIDTH, dtype=np.float32)[None, :] - np.float32(nipple[0] + 26)
    y = np.arange(HEIGHT, dtype=np.float32)[:, None] - np.float32(nipple[1])
    distance, angle = cv2.cartToPolar(*np.broadcast_arrays(x, y))  # pi = straight to the chest wall
    return 75 * np.log(distance + 40), 110 * angle + 7 * clouds  # the fan is never quite straight


def bend(field: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Resample a field in the coordinates of the fan: its grain runs to the nipple."""
    return cv2.remap(field, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def ridges(field: np.ndarray) -> np.ndarray:
    """Thin bright curves along the zero level of a field, in [0, 1]: ligaments, ducts, fibres."""
    return 1 / (1 + (5 * field) ** 2)


def glandular_fraction(
    anatomy: Anatomy, depth: np.ndarray, parenchyma: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share of dense tissue, in [0, 1]: a disc that narrows to the nipple, with lobules of fat."""
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
    """Fat lobules: overlapping blobs, in [0, 1.3], to be taken from the dense tissue."""
    canvas = np.zeros((HEIGHT // 2, WIDTH // 2), np.float32)
    for _ in range(anatomy.lobule_count):
        centre = (int(rng.integers(0, WIDTH // 2)), int(rng.integers(0, HEIGHT // 2)))
        axes = (int(rng.integers(3, 13)), int(rng.integers(3, 9)))
        turn, fat = float(rng.uniform(0, 180)), float(rng.uniform(0.4, 1.3))
        cv2.ellipse(canvas, centre, axes, turn, 0, 360, fat, -1)
    return cv2.resize(cv2.GaussianBlur(canvas, (0, 0), 2), (WIDTH, HEIGHT))


def muscle_fraction(anatomy: Anatomy) -> np.ndarray:
    """Pectoral muscle, in [0, 1]: thinner towards its free edge, which is soft."""
    if anatomy.pectoral is None:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    region = filled(anatomy.pectoral)
    inward = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    return cv2.GaussianBlur(region, (0, 0), 2.5) * (1 - 0.35 * np.exp(-inward / 25))


def vessels(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Ducts and veins: thin winding lines that start near the nipple and fork, added brightness."""
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
    """Nodes in the armpit: small bright beans with a notch of fat, added brightness."""
    canvas = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(anatomy.lymph_nodes):
        x, y = int(anatomy.nipple[0] * rng.uniform(0.1, 0.45)), int(rng.integers(25, 150))
        size, turn = int(rng.integers(4, 9)), float(rng.uniform(40, 140))
        bright = float(rng.uniform(0.06, 0.12))
        cv2.ellipse(canvas, (x, y), (2 * size, size), turn, 0, 360, bright, -1)
        cv2.ellipse(canvas, (x + size // 2, y), (size, size // 2), turn, 0, 360, 0.03, -1)
    return cv2.GaussianBlur(canvas, (0, 0), 2)


def thickness(anatomy: Anatomy, depth: np.ndarray) -> np.ndarray:
    """Compressed thickness relative to the middle of the breast: round at the skin, then flat."""
    return 1 - 0.85 * np.exp(-depth / anatomy.roll_off)


def skin(depth: np.ndarray) -> np.ndarray:
    """The thin bright rim of skin seen edge on."""
    return 0.045 * np.exp(-(((depth - 2.5) / 1.5) ** 2))


def calcifications(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """In a quarter of breasts, bright specks: a few scattered ones or one cluster."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    if rng.random() < 0.25:
        centre = anatomy.nipple - (rng.uniform(30, 0.8 * anatomy.nipple[0]), rng.normal(0, 50))
        spread = rng.choice((4.0, 45.0))
        for x, y in rng.normal(centre, spread, (int(rng.integers(1, 9)), 2)):
            point = (int(round(x * 8)), int(round(y * 8)))
            brightness = int(rng.integers(40, 120))
            cv2.circle(canvas, point, int(rng.integers(2, 7)), brightness, -1, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(canvas, (0, 0), 0.5).astype(np.float32) / 255


def fit(image: np.ndarray, mask: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize, keep the largest part of the breast, clear what is outside it."""
    if (height, width) != (HEIGHT, WIDTH):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        mask = (share >= 0.5).astype(np.uint8)
    mask = largest_part(mask)
    return np.where(mask, np.clip(image, 0, 1), 0).astype(np.float32), mask


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Keep the largest 4-connected part of a uint8 mask; returns bool."""
    parts, labels = cv2.connectedComponents(mask, connectivity=4)
    if parts == 2:  # background and one part
        return mask > 0
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
