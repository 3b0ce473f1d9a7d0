"""From shards to `tf.data`: endless, shuffled, augmented batches of mammograms with masks, and of labelled masses.

Which batch comes when depends on (seed, images seen) alone: there is no iterator state to save, and a run that
continues at image k reads exactly what an uninterrupted run would have read.

NumPy and OpenCV do the work inside one `numpy_function`; both release Python's lock for all but the smallest images. It
is marked stateless, which it is: otherwise tf.data would give up parallelism and prefetching where op determinism is
switched on.
"""

import atexit
import gc
import math
from collections.abc import Callable
from functools import lru_cache, partial

import cv2
import numpy as np
import tensorflow as tf

from preprocessing.mammograms.texture_map import edge_map
from preprocessing.shards import DataError, Dataset

# Geometric jitter of image and mask together (ours). Uniform in these intervals.
WIDTH_SCALE = (0.85, 1.10)  # the chest wall, at the left edge, stays where it is
HEIGHT_SCALE = (0.90, 1.10)  # about the centre
SHIFT = (-0.06, 0.06)  # vertical, of the height
SHEAR = (-0.06, 0.06)  # vertical, of the height, at the right edge: tissue slides along the chest wall

MASS_SIZE = 64
# Side of the square that a crop keeps, of 64 (ours). Enlarging makes fine structure coarser, blurred or not: crops keep
# 0.83 of the energy above a quarter of the sampling frequency of mass phantoms, so only every other mass is cropped.
MASS_CROP = (60, 64)

# Jitter resamples, and that must neither blur nor be what training waits for: energy above a quarter of the sampling
# frequency was 0.54 of the original's with bilinear interpolation, 0.92 with this, 1.00 with Lanczos at 2.3 times the
# cost (37 real films).
INTERPOLATION = cv2.INTER_CUBIC

# Batches read ahead: several steps run without returning to Python, and take that many at once.
MOST_READ_AHEAD = 16
READ_AHEAD_BYTES = 2**25

_BLOCK = 1024  # random numbers are drawn for this many images at once
_READ_PIXELS = 2**16  # small levels: one call into Python reads several batches


def mammogram_batches(
    dataset: Dataset,
    split: str | None,
    height: int,
    width: int,
    batch_size: int,
    seed: int,
    first_image: int = 0,
    jitter: bool = True,
    texture_maps: bool = False,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Read endless batches of one level.

    Every epoch is a permutation of the split; a batch may reach from one epoch into the next.

    Args:
        dataset: Mammogram shards, from `open_dataset`.
        split: "train", "validation", or None for all.
        height, width: A level of the dataset; nothing of other levels is read.
        batch_size: Images over all replicas.
        seed: Of the order and of the jitter; 0 or more.
        first_image: Images already seen: the batches equal the tail of those from 0 when it is a multiple of
            `batch_size`. Defaults to 0.
        jitter: Whether to scale, shift and shear image and mask together (ours). Defaults to True.
        texture_maps: Whether batches have a "texture_map" too: the `edge_map` of each image there. Defaults to False.
        share: Which of how many equal parts of every batch to read. Defaults to all of it.

    Returns:
        Batches `{"image", "mask"}`, float32 (batch_size, height, width, 1). Images are in [0, 1] and 0 outside the
        mask, masks are {0, 1}.

    Raises:
        DataError: The split is empty or the level is not there.
    """
    indices = dataset.indices(split)
    if not len(indices):
        raise DataError(f"{dataset.folder}: has no images in its {split or 'whole'} split")

    def load(positions: np.ndarray, counters: np.ndarray) -> dict[str, np.ndarray]:
        pixels, masks = dataset.read((height, width), indices[positions])
        images = pixels.astype(np.float32)
        images *= 1 / 65535
        if jitter:
            _jitter(images, masks, _draws(seed, counters))
        images *= masks
        loaded = {"image": images[..., None], "mask": masks[..., None]}
        if texture_maps:
            loaded["texture_map"] = np.stack([edge_map(image, mask) for image, mask in zip(images, masks)])
        return loaded

    return _endless(load, len(indices), batch_size, seed, first_image, share)


def mass_batches(
    dataset: Dataset,
    split: str | None,
    batch_size: int,
    seed: int,
    first_image: int = 0,
    augment: bool = True,
    share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Read endless batches of labelled masses.

    Masses without both labels are left out. Every epoch is a permutation of the split; a batch may reach from one epoch
    into the next.

    Args:
        dataset: Mass shards, from `open_dataset`.
        split: "train", "validation", or None for all.
        batch_size: Masses over all replicas.
        seed: Of the order and of the augmentation; 0 or more.
        first_image: Masses already seen: the batches equal the tail of those from 0 when it is a multiple of
            `batch_size`. Defaults to 0.
        augment: Whether to mirror masses at random, left to right and upside down, and to crop them (Lee et al. 2018,
            section 3.2). Defaults to True.
        share: Which of how many equal parts of every batch to read. Defaults to all of it.

    Returns:
        Batches `{"image", "shape", "margin"}`, float32: images (batch_size, 64, 64, 1) in [0, 1], one-hot labels
        (batch_size, classes).

    Raises:
        DataError: The split has no labelled masses.
    """
    indices, labels = labelled_masses(dataset, split)
    if not len(indices):
        raise DataError(f"{dataset.folder}: has no masses of known shape and margin in its {split or 'whole'} split")
    classes = [len(dataset.classes(name)) for name in ("shape", "margin")]

    def load(positions: np.ndarray, counters: np.ndarray) -> dict[str, np.ndarray]:
        images = dataset.read_array("image", (MASS_SIZE, MASS_SIZE), indices[positions]).astype(np.float32)
        images *= 1 / 65535
        if augment:
            images = mirror_and_crop(images, _draws(seed, counters))
        shape, margin = (np.eye(count, dtype=np.float32)[row] for count, row in zip(classes, labels[positions].T))
        return {"image": images[..., None], "shape": shape, "margin": margin}

    return _endless(load, len(indices), batch_size, seed, first_image, share)


def labelled_masses(dataset: Dataset, split: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find the masses of a split whose shape and margin are both known.

    Returns:
        indices: int64 (n,).
        labels: int64 (n, 2), indices of shape and margin.
    """
    indices = dataset.indices(split)
    labels = np.stack([dataset.field(name)[indices].astype(np.int64) for name in ("shape", "margin")], axis=1)
    known = (labels >= 0).all(axis=1)
    return indices[known], labels[known]


def _endless(
    load: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    count: int,
    batch_size: int,
    seed: int,
    first_image: int,
    share: tuple[int, int],
) -> tf.data.Dataset:
    """Make a `tf.data` pipeline that reads several batches at once, and ahead, in order.

    Args:
        load: Function of positions in a split and of image counters, (n,) each; returns arrays (n, …) by name.
        count: Images in the split.
        batch_size, seed, first_image, share: As for `mammogram_batches`.
    """
    one = load(np.zeros(1, np.int64), np.array([first_image]))  # what cannot be read is an error now, not in training
    batches = max(1, _READ_PIXELS // (batch_size * one["image"].size))  # a call
    shapes = {name: (batches, batch_size // share[1], *values.shape[1:]) for name, values in one.items()}
    types = [values.dtype for values in one.values()]
    permutation = partial(_permutation, seed, count)
    _end_readers_at_exit()

    def read(first: np.int64) -> list[np.ndarray]:
        counters = _counters(int(first), batches, batch_size, share)
        loaded = load(_order(permutation, count, counters), counters)
        return [np.reshape(loaded[name], shape) for name, shape in shapes.items()]

    def read_tensors(first: tf.Tensor) -> dict[str, tf.Tensor]:
        found = dict(zip(shapes, tf.numpy_function(read, [first], types, stateful=False), strict=True))
        return {name: tf.cast(tf.ensure_shape(found[name], shape), tf.float32) for name, shape in shapes.items()}

    counters = tf.data.Dataset.range(first_image, 2**62, batches * batch_size)
    data = counters.map(read_tensors, num_parallel_calls=2, deterministic=True).unbatch()
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batch_bytes = sum(4 * math.prod(shape[1:]) for shape in shapes.values())
    return data.prefetch(max(2, min(MOST_READ_AHEAD, READ_AHEAD_BYTES // batch_bytes))).with_options(options)


@lru_cache(maxsize=1)
def _end_readers_at_exit() -> None:
    """Have Python end, before it shuts down, everything that reads ahead by `tf.data`.

    A thread of TensorFlow that asks for the interpreter while it shuts down takes the process with it, in a deadlock or
    an abort, and an iterator that is still referenced then (by a global, or by the traceback of an error) reads on.
    """
    atexit.register(_end_readers)


def _end_readers() -> None:
    """Let go of the resources of every iterator there is: TensorFlow then waits for the calls under way, and stops."""
    kinds = tf.data.Iterator, tf.distribute.DistributedIterator
    for reader in [item for item in gc.get_objects() if isinstance(item, kinds)]:
        vars(reader).clear()


# ------------------------------------------------------------------------ order, a pure function


def _counters(first: int, batches: int, batch_size: int, share: tuple[int, int]) -> np.ndarray:
    """List the image counters of one part of each of several batches, in order."""
    part, parts = share
    size = batch_size // parts
    counters = np.arange(first, first + batches * batch_size).reshape(batches, batch_size)
    return counters[:, part * size : (part + 1) * size].ravel()


def _order(permutation: Callable[[int], np.ndarray], count: int, counters: np.ndarray) -> np.ndarray:
    """Return the positions in a split of `count` images that image counters stand for; one permutation per epoch."""
    epochs = counters // count
    positions = np.empty(len(counters), np.int64)
    for epoch in range(epochs[0], epochs[-1] + 1):
        here = epochs == epoch
        positions[here] = permutation(epoch)[counters[here] % count]
    return positions


@lru_cache(maxsize=4)
def _permutation(seed: int, count: int, epoch: int) -> np.ndarray:
    return _generator(seed, 0, epoch).permutation(count)


def _draws(seed: int, counters: np.ndarray) -> np.ndarray:
    """Draw four uniform numbers in [0, 1) for each of successive image counters, (n, 4)."""
    blocks = range(counters[0] // _BLOCK, counters[-1] // _BLOCK + 1)
    draws = np.concatenate([_block_of_draws(seed, block) for block in blocks])
    return draws[counters - blocks[0] * _BLOCK]


@lru_cache(maxsize=8)
def _block_of_draws(seed: int, block: int) -> np.ndarray:
    return _generator(seed, 1, block).uniform(size=(_BLOCK, 4))


def _generator(seed: int, stream: int, counter: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream, counter])))


# ----------------------------------------------------------------------------------------- jitter


def _jitter(images: np.ndarray, masks: np.ndarray, draws: np.ndarray) -> None:
    """Move each image and its mask, in place; masks stay {0, 1} and images in [0, 1].

    Beyond its frame an image is continued and a mask is 0, so that the mask alone says where tissue ends. A mask that
    would become empty (a small breast at 8×4) stays as it was, with its image.
    """
    height, width = masks.shape[1:]
    flags, edge = cv2.WARP_INVERSE_MAP | INTERPOLATION, cv2.BORDER_REPLICATE
    for image, mask, affine in zip(images, masks, affine_maps(masks, draws), strict=True):
        grey = cv2.warpAffine(mask * 255, affine, (width, height), flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR)
        moved = np.greater(grey, 127)
        left, _, across, _ = cv2.boundingRect(moved.view(np.uint8))
        if across:
            end = left + across  # half of the frame is background: resample up to here only
            image[:, :end] = cv2.warpAffine(image, affine, (end, height), flags=flags, borderMode=edge)
            mask[...] = moved
    np.clip(images, 0, 1, out=images)


def affine_maps(masks: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Draw affine maps from output to input pixels.

    Tissue that reaches the top, bottom or right edge is cut there by the image's frame; it is moved outwards only,
    because otherwise the cut would show as a straight edge within the image.

    Args:
        masks: uint8 (n, height, width).
        draws: Uniform numbers in [0, 1), (n, 4).

    Returns:
        float64 (n, 2, 3), for (x, y, 1).
    """
    height, width = masks.shape[1:]
    low, high = np.transpose([WIDTH_SCALE, HEIGHT_SCALE, SHIFT, SHEAR])
    across, along, shift, shear = (low + (high - low) * draws).T
    top, bottom, right = (np.any(edge, axis=1) for edge in (masks[:, 0], masks[:, -1], masks[:, :, -1]))
    across = np.where(right, np.maximum(across, 1), across)
    along = np.where(top & bottom, np.maximum(along, 2 - along), along)

    # The centre moves by `shift` and each column by up to `slide` more; the image reaches `over` beyond the frame on
    # both sides. Units: heights.
    over = (along - 1) / 2
    shear = np.where(top & bottom, np.clip(shear, -2 * over, 2 * over), shear)
    slide = np.array([np.minimum(shear, 0), np.maximum(shear, 0)])
    shift = np.where(top, np.minimum(shift, over - slide[1]), shift)
    shift = np.where(bottom, np.maximum(shift, -over - slide[0]), shift)

    centre = (height - 1) / 2
    maps = np.zeros((len(masks), 2, 3))
    maps[:, 0, 0] = 1 / across  # x = 0, the chest wall, maps to itself
    maps[:, 1, 0] = -shear * height / width / along
    maps[:, 1, 1] = 1 / along
    maps[:, 1, 2] = centre - (centre + shift * height) / along
    return maps


def mirror_and_crop(images: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Mirror masses at random, and crop every other one, resized back without blurring.

    Args:
        images: float32 (n, height, width) in [0, 1], square.
        draws: Uniform numbers in [0, 1), (n, 4).

    Returns:
        A new array of the same shape and range.
    """
    size = images.shape[1]
    low, high = (size * side / MASS_SIZE for side in MASS_CROP)
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LANCZOS4  # so small an image costs little
    out = np.empty_like(images)
    for number, (choice, length, across, down) in enumerate(draws):
        crop, turn, mirror = (int(8 * choice) >> bit & 1 for bit in (2, 1, 0))
        side = low + (high - low) * length if crop else size
        scale = side / size
        x, y = across * (size - side), down * (size - side)
        window = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
        source = images[number, :: -1 if turn else 1, :: -1 if mirror else 1]
        out[number] = cv2.warpAffine(
            np.ascontiguousarray(source), window, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    return np.clip(out, 0, 1, out=out)
