"""Mass phantoms: reproducible, like real masses in their statistics, and what their labels say they are."""

import csv
from itertools import pairwise, product

import cv2
import numpy as np
import pytest
from contrast import undo_contrast
from scipy.ndimage import gaussian_filter1d, map_coordinates

from preprocessing.masses.labels import CLASSES
from preprocessing.masses.window import SIZE
from preprocessing.phantoms.mammogram import make_phantoms
from preprocessing.phantoms.mass import make_mass_phantoms, mass_phantom, mass_phantom_tasks

SEEDS = range(24)
OF_SHAPE_ALONE = ("circumscribed", "obscured", "ill-defined", "spiculated")


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]]:
    """Twenty-four (image, lesion) of every shape and margin."""
    pairs = product(CLASSES["shape"], CLASSES["margin"])
    return {pair: [mass_phantom(100 * n + seed, *pair) for seed in SEEDS] for n, pair in enumerate(pairs)}


def lesions(drawn, shape: str, margins=OF_SHAPE_ALONE) -> list[np.ndarray]:
    return [lesion for margin in margins for _, lesion in drawn[shape, margin]]


# ------------------------------------------------------------------------------------ the function


def test_same_seed_gives_the_same_mass():
    first, second = mass_phantom(7, "oval", "obscured"), mass_phantom(7, "oval", "obscured")
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_other_seeds_give_other_masses(drawn):
    for examples in drawn.values():
        assert len({image.tobytes() for image, _ in examples}) == len(SEEDS)
        assert len({lesion.tobytes() for _, lesion in examples}) == len(SEEDS)


@pytest.mark.parametrize("size", [32, 64, 200])
def test_image_and_lesion_are_as_stored_at_any_size(size):
    image, lesion = mass_phantom(3, "round", "spiculated", size)
    assert (image.shape, image.dtype) == ((size, size), np.float32)
    assert (lesion.shape, lesion.dtype) == ((size, size), bool)
    assert 0 <= image.min() < image.max() <= 1


def test_a_seed_is_one_mass_at_any_size():
    (large, _), (small, _) = (mass_phantom(5, "irregular", "circumscribed", size) for size in (128, 64))
    np.testing.assert_allclose(large.reshape(64, 2, 64, 2).mean((1, 3)), small, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "margin", "said"), [("square", "obscured", "shape 'square'"), ("oval", "", "margin")]
)
def test_word_of_no_class_is_named(shape, margin, said):
    with pytest.raises(ValueError, match=said):
        mass_phantom(0, shape, margin)


def test_lesion_is_one_part_inside_the_window_of_real_crops(drawn):
    for examples in drawn.values():
        for _, lesion in examples:
            assert cv2.connectedComponents(lesion.astype(np.uint8))[0] == 2
            assert not (lesion[0].any() or lesion[-1].any() or lesion[:, 0].any() or lesion[:, -1].any())
            longest = max(np.ptp(np.flatnonzero(lesion.any(axis))) + 1 for axis in (0, 1))
            assert 1.3 < SIZE / longest < 1.85  # about 1.5: no radiologist's box is exact


# ------------------------------------------------------------------------------------------- shape


def outline(lesion: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(contours, key=len)


def aspect(lesion: np.ndarray) -> float:
    """Long over short axis of the ellipse with the lesion's second moments."""
    spread = np.linalg.eigvalsh(np.cov(np.argwhere(lesion).T))
    return float(np.sqrt(spread[1] / spread[0]))


def solidity(lesion: np.ndarray) -> float:
    """Area over that of the convex hull."""
    hull = np.zeros(lesion.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(outline(lesion)), 1)
    return lesion.sum() / hull.sum()


def lost_in_corners(lesion: np.ndarray) -> float:
    """Share of a lesion that no disc of 0.3 of its radius, inside it, can reach."""
    radius = max(2, round(0.3 * np.sqrt(lesion.sum() / np.pi)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return 1 - cv2.morphologyEx(lesion.astype(np.uint8), cv2.MORPH_OPEN, disc).sum() / lesion.sum()


def test_round_is_round(drawn):
    assert max(map(aspect, lesions(drawn, "round"))) < 1.2
    assert min(map(solidity, lesions(drawn, "round"))) > 0.95


def test_oval_is_long_and_convex(drawn):
    assert min(map(aspect, lesions(drawn, "oval"))) > 1.25
    assert min(map(solidity, lesions(drawn, "oval"))) > 0.95


def test_lobulated_has_notches_between_round_lobes(drawn):
    found = lesions(drawn, "lobulated")
    assert max(map(solidity, found)) < 0.97
    assert max(map(lost_in_corners, found)) < 0.03


def test_irregular_has_notches_and_corners(drawn):
    found = lesions(drawn, "irregular")
    assert max(map(solidity, found)) < 0.96
    assert np.quantile([lost_in_corners(lesion) for lesion in found], 0.15) > 0.02


# ------------------------------------------------------------------------------------------ margin


def across_the_edge(image: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Brightness (points, 17) from 8 pixels inside to 8 outside, along the normal at each point of a smooth outline."""
    points = cv2.GaussianBlur(np.vstack([outline(lesion)[:, 0]] * 3).astype(np.float32), (1, 0), 2.5)
    third = len(points) // 3
    along = np.gradient(points, axis=0)[third : 2 * third]
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    steps = np.arange(-8, 9)[None, :, None]
    x, y = np.moveaxis(points[third : 2 * third, None] + steps * normal[:, None], -1, 0)
    profile = map_coordinates(image, [y, x], order=1, mode="nearest")
    outward = profile[:, :4].mean() > profile[:, -4:].mean()
    return profile if outward else profile[:, ::-1]


def steepness(image: np.ndarray, lesion: np.ndarray) -> float:
    """Share of the whole fall of brightness that happens within two pixels of the outline."""
    profile = np.median(across_the_edge(image, lesion), axis=0)
    return (profile[6] - profile[10]) / (profile[:4].mean() - profile[-4:].mean())


def of_margin(drawn, measure, margin: str) -> list[float]:
    return [measure(*example) for shape in CLASSES["shape"] for example in drawn[shape, margin]]


def test_ill_defined_fades_where_others_fall(drawn):
    ill, sharp = (of_margin(drawn, steepness, name) for name in ("ill-defined", "circumscribed"))
    assert np.quantile(ill, 0.9) < 0.63 < 0.7 < np.quantile(sharp, 0.1)


def hidden_share(image: np.ndarray, lesion: np.ndarray) -> float:
    """Share of the outline across which brightness hardly falls: less than 0.3 of the fall where it is clear."""
    profile = across_the_edge(image, lesion)
    fall = profile[:, 3:7].mean(axis=1) - profile[:, 10:14].mean(axis=1)
    return float((fall < 0.3 * np.quantile(fall, 0.9)).mean())


def test_obscured_is_hidden_on_one_side_and_sharp_on_the_other(drawn):
    hidden, open_ = (of_margin(drawn, hidden_share, name) for name in ("obscured", "circumscribed"))
    assert np.quantile(open_, 0.9) < 0.15 < 0.2 < np.quantile(hidden, 0.1) and max(hidden) < 0.6
    assert np.quantile(of_margin(drawn, steepness, "obscured"), 0.1) > 0.63


def radiating(image: np.ndarray, lesion: np.ndarray) -> float:
    """How brightness goes up and down from each normal to the next, 3 to 8 pixels outside, over the whole fall."""
    profile = across_the_edge(image, lesion)
    ring = profile[:, -6:].mean(axis=1)
    fine = ring - gaussian_filter1d(ring, 4, mode="wrap")
    return fine.std() / (profile[:, :4].mean() - profile[:, -4:].mean())


@pytest.mark.parametrize("other", ["circumscribed", "microlobulated", "ill-defined"])
def test_spiculated_radiates(drawn, other):
    spiculated, plain = (of_margin(drawn, radiating, name) for name in ("spiculated", other))
    # How often one is above the other, for every pair: 0.5 = alike.
    assert np.greater.outer(spiculated, plain).mean() > 0.9


def undulating(image: np.ndarray, lesion: np.ndarray) -> float:
    """Strength of 9 to 18 undulations a turn in the radius of the outline, over the mean radius."""
    points = outline(lesion)[:, 0].astype(float)
    points -= points.mean(axis=0)
    turn, radius = np.arctan2(points[:, 1], points[:, 0]), np.hypot(*points.T)
    even = np.interp(np.linspace(-np.pi, np.pi, 180, endpoint=False), turn, radius, period=2 * np.pi)
    return float(np.linalg.norm(np.fft.rfft(even / even.mean())[9:19]) / len(even))


@pytest.mark.parametrize("shape", ["round", "oval", "lobulated"])
def test_microlobulated_undulates_at_every_shape(drawn, shape):
    micro, plain = ([undulating(*e) for e in drawn[shape, name]] for name in ("microlobulated", "circumscribed"))
    assert min(micro) > 0.02 > max(plain)


def test_microlobulated_edge_is_sharp(drawn):
    assert np.quantile(of_margin(drawn, steepness, "microlobulated"), 0.1) > 0.63


# -------------------------------------------------------------------------------------- statistics


def statistics(images: np.ndarray) -> dict[str, float]:
    """Medians over windows (n, 64, 64): mean, standard deviation, slope of the logarithm of the radial mean of the
    Hann periodogram over 2 to 24 cycles a window, and the share of the energy above a quarter of the sampling
    frequency."""
    window = np.outer(np.hanning(SIZE), np.hanning(SIZE))
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    cycles = SIZE * np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    edges = np.geomspace(2, 24, 9)
    radial = [power[:, (cycles >= low) & (cycles < high)].mean(axis=1) for low, high in pairwise(edges)]
    slopes = np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(radial), 1)[0]
    fine = power[:, cycles > SIZE / 4].sum(axis=1) / power.sum(axis=(1, 2))
    values = {
        "mean": images.mean(axis=(1, 2)),
        "deviation": images.std(axis=(1, 2)),
        "slope": slopes,
        "fine": fine,
    }
    return {name: float(np.median(value)) for name, value in values.items()}


REAL = {"mean": 0.51, "deviation": 0.077, "slope": -3.72, "fine": 0.0036}


def test_statistics_are_those_of_real_masses(drawn):
    found = statistics(np.array([image for examples in drawn.values() for image, _ in examples], np.float64))
    assert found["mean"] == pytest.approx(REAL["mean"], abs=0.03)
    assert found["deviation"] == pytest.approx(REAL["deviation"], rel=0.15)
    assert found["slope"] == pytest.approx(REAL["slope"], abs=0.15)
    assert found["fine"] == pytest.approx(REAL["fine"], rel=0.3)


def test_statistics_of_real_masses_are_what_phantoms_are_held_to(shared_data):
    folder = shared_data / "cbis-masses"
    with open(folder / "train.csv") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    images = [cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE) for name in names]
    assert statistics(np.array(images) / 255) == pytest.approx(REAL, rel=0.02)


# --------------------------------------------------------------------------------------- a dataset


def test_dataset_depends_on_count_and_seed_alone(tmp_path):
    a, b = (make_mass_phantoms(tmp_path / name, 24, seed=2, workers=n) for name, n in (("a", 1), ("b", 2)))
    assert [shard["sha256"] for shard in a.meta["shards"]] == [shard["sha256"] for shard in b.meta["shards"]]


def test_other_seed_gives_other_masses_in_another_order(tmp_path):
    a, b = (make_mass_phantoms(tmp_path / str(seed), 40, seed=seed, workers=1) for seed in (0, 1))
    images = np.concatenate([data.read_array("image", (SIZE, SIZE), range(40)) for data in (a, b)])
    assert len(np.unique(images, axis=0)) == 80
    assert a.field("shape").tolist() != b.field("shape").tolist()


def test_every_pair_comes_equally_often_and_not_in_turn(tmp_path):
    data = make_mass_phantoms(tmp_path / "data", 60, workers=1)
    pairs = list(zip(data.field("shape").tolist(), data.field("margin").tolist(), strict=True))
    assert sorted(pairs) == sorted(list(product(range(4), range(5))) * 3)
    assert pairs != sorted(pairs) and len(set(pairs[:20])) < 20
    assert data.meta["summary"]["shape x margin"]["oval"]["obscured"] == 3


def test_dataset_says_what_it_is(tmp_path):
    data = make_mass_phantoms(tmp_path / "data", 20, seed=3, workers=1)
    assert (data.kind, data.levels, data.meta["synthetic"]) == ("mass", [(SIZE, SIZE)], True)
    assert (data.classes("shape"), data.classes("margin")) == tuple(map(list, CLASSES.values()))


def test_every_phantom_is_a_subject_that_no_mammogram_phantom_is(tmp_path):
    masses = make_mass_phantoms(tmp_path / "masses", 20, workers=1).field("subject")
    mammograms = make_phantoms(tmp_path / "mammograms", 2, workers=1).field("subject")
    assert len(set(masses)) == 20 and not set(masses) & set(mammograms)


def test_stored_mass_is_the_drawn_one_under_its_labels(tmp_path):
    task = mass_phantom_tasks(5, seed=0)[4]
    image, lesion = mass_phantom(task.seed, CLASSES["shape"][task.shape], CLASSES["margin"][task.margin])
    data = make_mass_phantoms(tmp_path / "data", 5, workers=1)
    images, lesions = data.read((SIZE, SIZE), [4])
    film = undo_contrast(images / 65535, data.field("low")[4:], data.field("high")[4:])
    inside = (images[0] > 0) & (images[0] < 65535)
    assert inside.mean() > 0.99
    np.testing.assert_allclose(film[0][inside], image[inside], atol=1e-5)
    np.testing.assert_array_equal(lesions[0], lesion)
    assert (data.field("shape")[4], data.field("margin")[4]) == (task.shape, task.margin)
