"""The batches: a pure function of (seed, images seen), image and mask always together."""

import numpy as np
import pytest

from preprocessing.batches import affine_maps, labelled_masses, mammogram_batches, mass_batches, mirror_and_crop
from preprocessing.mammograms.item import mammogram_item
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.masses.item import mass_item
from preprocessing.shards import DataError, DatasetWriter

HEIGHT, WIDTH, COUNT = 64, 32, 12


def half_ellipse(height: float, width: float, centre: float = 0.5) -> np.ndarray:
    """A breast's outline: half an ellipse on the left edge, sizes as fractions of the frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return ((y / HEIGHT - centre) / (height / 2)) ** 2 + (x / WIDTH / width) ** 2 <= 1


def write(folder, images, masks):
    writing = DatasetWriter(
        folder, count=len(images), made={"by": "test"}, levels=[(8, 4), (16, 8), (32, 16), (64, 32)], shard_size=5
    )
    items = [mammogram_item(i, m, subject=f"{n:04d}") for n, (i, m) in enumerate(zip(images, masks))]
    for shard, numbers in writing.missing():
        writing.write(shard, [items[number] for number in numbers])
    return writing.finish()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve breasts whose brightness tells them apart."""
    rng = np.random.default_rng(0)
    masks = [half_ellipse(*rng.uniform((0.4, 0.5), (0.8, 0.9))) for _ in range(COUNT)]
    images = [mask * (0.2 + 0.05 * number) for number, mask in enumerate(masks)]
    return write(tmp_path_factory.mktemp("data") / "breasts", images, masks)


def take(dataset, count, *, size=(HEIGHT, WIDTH), batch=4, seed=0, **options) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of so many batches, each (count * batch, height, width)."""
    batches = list(mammogram_batches(dataset, "train", *size, batch, seed, **options).take(count))
    return tuple(np.concatenate([batch[name] for batch in batches])[..., 0] for name in ("image", "mask"))


def which(images: np.ndarray) -> list[int]:
    """Numbers of the breasts, from their brightness."""
    return [round((float(np.median(image[image > 0])) - 0.2) / 0.05) for image in images]


def test_shapes_types_and_ranges(dataset):
    spec = mammogram_batches(dataset, "train", 16, 8, 4, 0).element_spec
    assert {name: tuple(s.shape) for name, s in spec.items()} == {"image": (4, 16, 8, 1), "mask": (4, 16, 8, 1)}
    images, masks = take(dataset, 12)
    assert images.dtype == masks.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert set(np.unique(masks)) == {0, 1}


@pytest.mark.parametrize("size", [(8, 4), (64, 32)])
def test_going_on_at_an_image_equals_the_tail(dataset, size):
    whole, tail = take(dataset, 9, size=size), take(dataset, 4, size=size, first_image=20)
    for a, b in zip(whole, tail):
        np.testing.assert_array_equal(a[20:], b)


def test_an_epoch_is_a_permutation_and_the_next_another(dataset):
    order = which(take(dataset, 6, jitter=False)[0])
    assert sorted(order[:COUNT]) == sorted(order[COUNT:]) == list(range(COUNT))
    assert order[:COUNT] != order[COUNT:]


def test_a_batch_may_reach_into_the_next_epoch(dataset):
    fives, fours = (which(take(dataset, n, batch=b, jitter=False)[0]) for n, b in ((4, 5), (5, 4)))
    assert fives == fours


@pytest.mark.parametrize("size", [(8, 4), (64, 32)])
def test_shares_of_a_batch_together_are_the_batch(dataset, size):
    whole = take(dataset, 5, size=size, batch=6, first_image=6)
    parts = [take(dataset, 5, size=size, batch=6, first_image=6, share=(part, 3)) for part in range(3)]
    for name, images in enumerate(whole):
        shares = [part[name].reshape(5, 2, *size) for part in parts]
        np.testing.assert_array_equal(np.concatenate(shares, axis=1).reshape(images.shape), images)


def test_seed_changes_order_and_jitter(dataset):
    a, b = take(dataset, 3, seed=0), take(dataset, 3, seed=1)
    assert which(a[0]) != which(b[0])
    first = [which(images).index(0) for images in (a[0], b[0])]
    assert not np.array_equal(a[1][first[0]], b[1][first[1]])


def test_without_jitter_pixels_are_those_stored(dataset):
    images, masks = take(dataset, 3, jitter=False)
    stored, breast = dataset.read((HEIGHT, WIDTH), which(images))
    np.testing.assert_allclose(images, stored / 65535, atol=1e-6)
    np.testing.assert_array_equal(masks, breast)


def test_only_the_wanted_level_is_read(dataset, monkeypatch):
    levels, read = set(), type(dataset).read_array
    monkeypatch.setattr(
        type(dataset), "read_array", lambda self, name, level, i: levels.add(level) or read(self, name, level, i)
    )
    take(dataset, 2, size=(8, 4))
    assert levels == {(8, 4)}


def test_jitter_changes_each_image_anew(dataset):
    _, masks = take(dataset, 30)
    assert len(np.unique(masks.reshape(len(masks), -1), axis=0)) > 100


def test_jitter_moves_image_and_mask_together(dataset):
    images, masks = take(dataset, 30)
    assert not images[masks == 0].any()
    brightness = np.array([image[mask > 0].mean() for image, mask in zip(images, masks)])
    # each breast is of one brightness: pixels that came from outside it would lower the mean
    expected = 0.2 + 0.05 * np.round((brightness - 0.2) / 0.05)
    assert np.abs(brightness / expected - 1).max() < 0.03


def test_jitter_keeps_the_chest_wall_at_the_left_edge(dataset):
    _, masks = take(dataset, 30)
    assert masks[:, :, 0].any(axis=1).all()


def test_jitter_keeps_fine_texture(tmp_path):
    # Bilinear interpolation would leave about half of the energy above a quarter of the sampling frequency.
    noise = np.random.default_rng(0).uniform(0.3, 0.7, (COUNT, HEIGHT, WIDTH))
    data = write(tmp_path / "noise", noise, np.ones(noise.shape))

    def fine(images: np.ndarray) -> float:
        power = np.abs(np.fft.fft2(images - images.mean())) ** 2
        rows, columns = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(20), indexing="ij")
        return power[:, np.hypot(rows, columns) > 0.25].mean()

    jittered, still = take(data, 20)[0], take(data, 3, jitter=False)[0]
    inner = (slice(None), slice(16, 48), slice(4, 24))
    assert fine(jittered[inner]) > 0.7 * fine(still[inner])


def test_tissue_cut_by_the_frame_stays_at_the_frame(tmp_path):
    reaching_up = half_ellipse(1.0, 0.8, centre=0.2)
    through = half_ellipse(3.0, 0.6)
    wide = half_ellipse(0.6, 1.3)
    masks = [reaching_up, through, wide]
    data = write(tmp_path / "cut", np.array(masks) * 0.5, masks)
    _, masks = take(data, 30)
    up = masks[:, 0, 0] > 0
    down = masks[:, -1, 0] > 0
    right = masks[:, :, -1].any(axis=1)
    assert (up.sum(), down.sum(), right.sum()) == (80, 40, 40)


def test_a_small_mask_is_never_emptied(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH))
    mask[24:32, :8] = 1  # one pixel at 8×4
    data = write(tmp_path / "small", [mask * 0.5], [mask])
    _, masks = take(data, 50, size=(8, 4))
    assert masks.reshape(len(masks), -1).any(axis=1).all()


def test_texture_maps_are_those_of_the_images_in_the_batch(dataset):
    """Jittered as they are; and asking for them changes nothing else."""
    batch = next(iter(mammogram_batches(dataset, "train", HEIGHT, WIDTH, 4, 0, texture_maps=True)))
    images, masks = take(dataset, 1)
    np.testing.assert_array_equal(batch["image"][..., 0], images)
    wanted = [edge_map(image, mask) for image, mask in zip(images, masks)]
    np.testing.assert_array_equal(batch["texture_map"], wanted)


def test_middle_of_the_intervals_is_no_movement():
    maps = affine_maps(np.ones((1, 64, 32), np.uint8), np.array([[0.6, 0.5, 0.5, 0.5]]))
    np.testing.assert_allclose(maps[0], [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_reads_ahead_under_op_determinism_and_ends_cleanly(dataset, tmp_path):
    # In a process of its own: determinism cannot be switched off again. It ends with iterators alive and reading.
    import tiny

    code = """
import sys, threading, time
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from preprocessing import batches as reader
from preprocessing.shards import open_dataset
threads, order = set(), reader._order
def slow(*arguments):
    threads.add(threading.get_ident())
    time.sleep(0.05)
    return order(*arguments)
reader._order = slow
reader._READ_PIXELS = 1
data = reader.mammogram_batches(open_dataset(sys.argv[1]), "train", 8, 4, 4, 0)
mirrored = tf.distribute.MirroredStrategy(["CPU:0"]).experimental_distribute_dataset(data)
others = [iter(data), iter(mirrored)]
batches = iter(data)
next(batches)
time.sleep(1)
start = time.perf_counter()
next(batches); next(batches)
print("waited", time.perf_counter() - start)
for other in others:
    next(other)
"""
    done = tiny.run_driver(code, tmp_path, str(dataset.folder))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 0.05


def test_empty_split_and_missing_level_are_refused(dataset):
    with pytest.raises(DataError, match="no images in its validation split"):
        mammogram_batches(dataset, "validation", 8, 4, 4, 0)
    with pytest.raises(DataError, match="has no 128x64 images"):
        mammogram_batches(dataset, "train", 128, 64, 4, 0)


# --- masses ---------------------------------------------------------------------------------------

MASS_CLASSES = {"shape": ("round", "oval"), "margin": ("circumscribed", "obscured", "spiculated")}
MASS_LABELS = [*9 * [(0, 0)], *6 * [(0, 2)], *6 * [(1, 1)], *2 * [(1, 2)], (-1, 0), (0, -1)]  # the last two unknown
LABELLED = 23


@pytest.fixture(scope="module")
def masses(tmp_path_factory):
    """Twenty-five flat masses, each of a brightness of its own, with white noise."""
    writing = DatasetWriter(
        tmp_path_factory.mktemp("data") / "masses",
        "mass",
        count=len(MASS_LABELS),
        made={"by": "test"},
        levels=[(64, 64)],
        classes=MASS_CLASSES,
        shard_size=10,
    )
    rng = np.random.default_rng(0)
    images = [0.2 + 0.02 * n + 0.01 * rng.standard_normal((64, 64)) for n in range(len(MASS_LABELS))]
    for shard, numbers in writing.missing():
        items = [
            mass_item(images[n], subject=f"{n:04d}", shape=MASS_LABELS[n][0], margin=MASS_LABELS[n][1]) for n in numbers
        ]
        writing.write(shard, items)
    return writing.finish()


def take_masses(dataset, count, *, batch=8, seed=0, **options) -> dict[str, np.ndarray]:
    batches = list(mass_batches(dataset, "train", batch, seed, **options).take(count))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def which_masses(images: np.ndarray) -> list[int]:
    return [round((float(image.mean()) - 0.2) / 0.02) for image in images]


def test_masses_come_with_one_hot_labels(masses):
    spec = mass_batches(masses, "train", 8, 0).element_spec
    shapes = {"image": (8, 64, 64, 1), "shape": (8, 2), "margin": (8, 3)}
    assert {name: tuple(s.shape) for name, s in spec.items()} == shapes
    taken = take_masses(masses, 6)
    assert all(values.dtype == np.float32 for values in taken.values())
    assert taken["image"].min() >= 0 and taken["image"].max() <= 1
    for number, shape, margin in zip(which_masses(taken["image"]), taken["shape"], taken["margin"]):
        assert (np.argmax(shape), np.argmax(margin)) == MASS_LABELS[number] and shape.sum() == margin.sum() == 1


def test_masses_without_both_labels_are_left_out(masses):
    assert set(which_masses(take_masses(masses, 6)["image"])) == set(range(LABELLED))
    assert labelled_masses(masses)[0].tolist() == list(range(LABELLED))


def test_an_epoch_of_masses_is_a_permutation_and_the_next_another(masses):
    order = which_masses(take_masses(masses, 46, batch=1)["image"])
    assert sorted(order[:LABELLED]) == sorted(order[LABELLED:]) == list(range(LABELLED))
    assert order[:LABELLED] != order[LABELLED:]


def test_masses_going_on_at_an_image_equal_the_tail(masses):
    whole, tail = take_masses(masses, 9), take_masses(masses, 4, first_image=40)
    for name in whole:
        np.testing.assert_array_equal(whole[name][40:], tail[name])


def test_shares_of_a_batch_of_masses_together_are_the_batch(masses):
    whole, *parts = (next(iter(mass_batches(masses, "train", 6, 0, share=share))) for share in ((0, 1), (0, 2), (1, 2)))
    for name, wanted in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), wanted)


def test_without_augmentation_masses_are_those_stored(masses):
    images = take_masses(masses, 3, augment=False)["image"]
    (stored,) = [masses.read_array("image", (64, 64), which_masses(images))]
    np.testing.assert_allclose(images[..., 0], stored / 65535, atol=1e-6)


def test_masses_are_augmented_anew_in_each_epoch(masses):
    images = take_masses(masses, 46, batch=1)["image"]
    order = which_masses(images)
    first, second = (images[start + order[start : start + LABELLED].index(3)] for start in (0, LABELLED))
    assert np.abs(first - second).max() > 0.005


def test_no_labelled_masses_are_refused(masses):
    with pytest.raises(DataError, match="no masses of known shape and margin in its validation split"):
        mass_batches(masses, "validation", 4, 0)


GRADIENT = np.mgrid[:64, :64].astype(np.float32)[:, None] / 64  # down, across


@pytest.mark.parametrize(
    "draw, wanted",
    [(0.1, lambda x: x), (0.2, lambda x: x[:, ::-1]), (0.3, lambda x: x[::-1]), (0.4, lambda x: x[::-1, ::-1])],
    ids=["as it is", "left to right", "upside down", "both"],
)
def test_half_of_the_masses_are_mirrored_and_no_more(draw, wanted):
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    done = mirror_and_crop(image[None], np.array([[draw, 0.0, 0.5, 0.5]]))[0]
    np.testing.assert_allclose(done, wanted(image), atol=1e-5)


@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)])
def test_a_crop_shows_sixty_pixels_from_its_corner(corner):
    """On an image that is its own coordinate, pixel centres say where the crop lies."""
    across, down = corner
    draws = np.array([[0.5, 0.0, across, down]])
    rows, columns = (mirror_and_crop(axis, draws)[0] * 64 for axis in GRADIENT)
    centres = (np.arange(64) + 0.5) * 60 / 64 - 0.5
    np.testing.assert_allclose(columns[32, 8:-8], centres[8:-8] + 4 * across, atol=0.05)
    np.testing.assert_allclose(rows[8:-8, 32], centres[8:-8] + 4 * down, atol=0.05)


def test_crops_keep_fine_texture():
    """Energy above a quarter of the sampling frequency, of power-law texture as in breasts (β = 3)."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    spectrum = np.fft.fft2(rng.standard_normal((60, 64, 64))) / np.maximum(frequency, 1 / 64) ** 1.5
    texture = np.fft.ifft2(spectrum).real
    texture = (0.5 + 0.1 * texture / texture.std()).astype(np.float32)
    window = np.outer(np.hanning(64), np.hanning(64))

    def fine(images: np.ndarray) -> float:
        power = np.abs(np.fft.fft2((images - images.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
        return power[:, frequency > 0.25].mean()

    assert fine(mirror_and_crop(texture, rng.random((60, 4)))) > 0.9 * fine(texture)
