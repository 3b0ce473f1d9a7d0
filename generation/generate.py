"""Synthetic mammograms from a trained generator: in one line, or as a data set.

images, masks = generate("runs/demo/phase-7/generator.keras", count=8)

A generator is known by its inputs. A mask-embedding generator takes a mask and a latent. That of pix2pix takes a
texture map, made of the real image that a mask belongs to, and the noise of its dropout: its latent, here.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from generation.background import deferred_calls, prefetch
from generation.sources import MaskSource
from preprocessing.images.png import write_image
from preprocessing.mammograms.item import mammogram_item
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.progress import progress
from preprocessing.shards import DataError, Dataset, DatasetWriter, Item

PRETRAINED = Path(__file__).parent / "pretrained" / "film.keras"  # docs/model-card.md
BATCH = 8
MASK_EMBEDDING, PIX2PIX = ["mask", "latent"], ["texture_map", "noise"]  # names of inputs

Drawn = tuple[int, np.ndarray, np.ndarray, dict[str, str]]  # number, image, mask, fields


class GeneratorError(ValueError):
    """A file cannot be used as a generator; the message names it and says what to do."""


def load_generator(path: str | os.PathLike) -> keras.Model:
    """Open `generator.keras`, with Keras' safe mode on.

    Raises:
        GeneratorError: not a file, not a Keras model, or not a generator of mammograms.
    """
    path = Path(path)
    if not path.is_file():
        raise GeneratorError(f"--generator {path}: no such file; give the generator.keras of a finished phase")
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GeneratorError(f"--generator {path}: is not a Keras model; give a generator.keras") from error
    if [tensor.name for tensor in model.inputs] not in (MASK_EMBEDDING, PIX2PIX):
        raise GeneratorError(f"--generator {path}: takes no mask and latent; it is another kind of network")
    return model


def needs_images(model: keras.Model) -> bool:
    """Whether a generator is shown texture maps of real images: pix2pix."""
    return model.inputs[0].name == PIX2PIX[0]


def latents(first: int, count: int, size: int, seed: int = 0) -> np.ndarray:
    """Latent vectors of the images numbered from `first`: float32 (count, size), a function of (seed, number) alone."""
    rows = [np.random.default_rng([seed, number]).standard_normal(size) for number in range(first, first + count)]
    return np.array(rows, np.float32)


def dropout_noise(first: int, count: int, size: int, seed: int = 0) -> np.ndarray:
    """What dropout keeps in the images numbered from `first`: float32 {0, 1} (count, size), at even odds."""
    rows = [np.random.default_rng([seed, number]).integers(0, 2, size) for number in range(first, first + count)]
    return np.array(rows, np.float32)


def random_inputs(model: keras.Model, first: int, count: int, seed: int = 0) -> np.ndarray:
    """The latents, or the dropout noise, of a generator's images numbered from `first`."""
    draw = dropout_noise if needs_images(model) else latents
    return draw(first, count, model.inputs[1].shape[-1], seed)


def shown_to(model: keras.Model, mask: np.ndarray, image: np.ndarray | None) -> np.ndarray:
    """What a generator is shown of a mask: float32 (height, width, 1), the mask itself or the texture map.

    Args:
        mask: bool (height, width).
        image: the real image it belongs to, float in [0, 1] of the same shape; None where there is none.

    Raises:
        ValueError: a texture map is needed and there is no image.
    """
    if not needs_images(model):
        return mask[..., None].astype(np.float32)
    if image is None:
        raise ValueError("pix2pix fills texture maps of real images, received masks alone; give their images")
    return edge_map(image, mask)


def mask_source(
    model: keras.Model, masks: str | os.PathLike | None, seed: int = 0, *, with_images: bool = False
) -> MaskSource:
    """The masks that a generator is to fill, at its size.

    Args:
        masks, seed: see `MaskSource`.
        with_images: whether their images are wanted even where the generator needs none.

    Raises:
        DataError: nothing there, or masks without real images for pix2pix.
    """
    height, width = model.inputs[0].shape[1:3]
    source = MaskSource(height, width, masks, seed, with_images=with_images or needs_images(model))
    if source.files is not None and needs_images(model):
        raise DataError(
            f"--masks {masks}: holds masks alone, and pix2pix fills texture maps of real images; give a dataset"
        )
    return source


def generate(
    generator: str | os.PathLike | keras.Model,
    masks: np.ndarray | str | os.PathLike | None = None,
    count: int = 8,
    *,
    latents_per_mask: int = 1,
    seed: int = 0,
    images: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw synthetic mammograms.

    Args:
        generator: a `generator.keras`, or the model.
        masks: bool or {0, 1} array (n, height, width), or whatever `MaskSource` takes; None for phantoms' masks.
        count: images to make.
        latents_per_mask: images made from one mask before the next is taken.
        seed: of the latents (and the phantoms).
        images: float (n, height, width) in [0, 1], the real images of a `masks` array; pix2pix needs them.

    Returns:
        (images float32 (count, height, width) in [0, 1], masks bool of the same shape).

    Example::

        images, masks = generate("runs/demo/phase-7/generator.keras", count=8)
    """
    model = generator if isinstance(generator, keras.Model) else load_generator(generator)
    if isinstance(masks, np.ndarray):
        reals = [None] * len(masks) if images is None else images
        source = [(mask.astype(bool), real, {}) for mask, real in zip(masks, reals, strict=True)]
    else:
        source = mask_source(model, masks, seed)
    batches = _batches(model, source, range(count), latents_per_mask, seed)
    drawn = [one for batch in batches for one in batch]
    return np.array([image for _, image, _, _ in drawn]), np.array([mask for _, _, mask, _ in drawn])


def _batches(
    model: keras.Model, source: MaskSource | Sequence, numbers: range, latents_per_mask: int, seed: int
) -> Iterator[list[Drawn]]:
    """Draw images batch by batch; the inputs of the next batch are prepared meanwhile.

    Every batch has `BATCH` images, the last is filled up with some that are thrown away: in a batch of another size a
    network may round differently, and an image depends on its number alone.
    """
    batches = [numbers[first : first + BATCH] for first in range(0, len(numbers), BATCH)]
    for prepared, inputs in prefetch(_inputs(model, source, batch, latents_per_mask, seed) for batch in batches):
        images = model.predict_on_batch(inputs)[..., 0]
        yield [(number, image, mask, fields) for (number, mask, fields), image in zip(prepared, images)]


def _inputs(
    model: keras.Model, source: MaskSource | Sequence, numbers: range, latents_per_mask: int, seed: int
) -> tuple[list[tuple[int, np.ndarray, dict[str, str]]], list[np.ndarray]]:
    """(number, mask, fields) of each image, and what the generator is shown of them in a full batch."""
    places = [number // latents_per_mask % len(source) for number in numbers]
    found = {place: source[place] for place in dict.fromkeys(places)}
    shown = [shown_to(model, *found[place][:2]) for place in places]
    shown += [shown[-1]] * (BATCH - len(numbers))
    inputs = [np.array(shown), random_inputs(model, numbers.start, BATCH, seed)]
    return [(number, found[place][0], found[place][2]) for number, place in zip(numbers, places)], inputs


def write_shards(
    path: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    masks: str | os.PathLike | None = None,
    latents_per_mask: int = 1,
    seed: int = 0,
) -> Dataset:
    """Write synthetic mammograms as a dataset, in the format that training reads.

    A killed call goes on after its last whole shard. Images of one mask are of one subject; all are in the training
    split.
    """
    model = load_generator(path)
    source = mask_source(model, masks, seed)
    made = {"by": "generate_mammograms", "seed": seed, "latents_per_mask": latents_per_mask}
    levels = [(4 * 2**level, 2 * 2**level) for level in range(1, 8) if 4 * 2**level <= source.size[0]]
    writer = DatasetWriter(
        output,
        count=count,
        made=made,
        work=source.fingerprint,
        levels=levels,
        synthetic=True,
        generator=fingerprint_of(path),
    )
    if not writer.complete:
        _fill_shards(writer, model, source, latents_per_mask, seed)
    return writer.finish()


def _fill_shards(
    writer: DatasetWriter, model: keras.Model, source: MaskSource, latents_per_mask: int, seed: int
) -> None:
    """Draw what is missing of a dataset; one batch is written while the next is drawn."""

    def add(items: list[Item], batch: list[Drawn]) -> None:
        for number, image, mask, fields in batch:
            subject = f"mask{number // latents_per_mask % len(source):010d}"
            items.append(mammogram_item(image, mask, subject=subject, **fields))

    missing = writer.missing()
    with progress("Mammograms", sum(len(numbers) for _, numbers in missing)) as tick, deferred_calls() as later:
        for shard, numbers in missing:
            items: list[Item] = []
            for batch in _batches(model, source, numbers, latents_per_mask, seed):
                later(add, items, batch)
                tick(len(batch))
            later(writer.write, shard, items)


def write_png(
    path: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    masks: str | os.PathLike | None = None,
    latents_per_mask: int = 1,
    seed: int = 0,
) -> int:
    """Write 16-bit PNG images, and their masks beside them in `masks/`; returns how many.

    Raises:
        DataError: the folder cannot be written.
    """

    def write(folder: Path, number: int, image: np.ndarray, mask: np.ndarray, fields: dict[str, str]) -> np.ndarray:
        write_image(folder / f"{number:06d}.png", image)
        return mask

    return _write_files(write, path, output, count, masks, latents_per_mask, seed)


def write_dicom(
    path: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    masks: str | os.PathLike | None = None,
    latents_per_mask: int = 1,
    seed: int = 0,
) -> int:
    """Write DICOM mammograms marked as synthetic, and their masks beside them in `masks/`; returns how many.

    Right breasts are mirrored, chest wall on the right as they are displayed; their masks with them.

    Raises:
        DataError: the folder cannot be written.
    """
    from preprocessing.images.dicom_writer import write_synthetic_dicom  # pydicom only where it is needed

    fingerprint = fingerprint_of(path)

    def write(folder: Path, number: int, image: np.ndarray, mask: np.ndarray, fields: dict[str, str]) -> np.ndarray:
        # generator, seed, number and mask make the image: together they are its name
        series = f"seed {seed}, mask {hashlib.sha256(mask.tobytes()).hexdigest()}"
        file = folder / f"{number:06d}.dcm"
        write_synthetic_dicom(file, image, number=number, series=series, generator=fingerprint, **fields)
        return mask[:, ::-1] if fields.get("laterality") == "R" else mask

    return _write_files(write, path, output, count, masks, latents_per_mask, seed)


def _write_files(
    write: Callable[[Path, int, np.ndarray, np.ndarray, dict[str, str]], np.ndarray],
    path: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    masks: str | os.PathLike | None,
    latents_per_mask: int,
    seed: int,
) -> int:
    """One file an image by `write`, which returns the mask to lay beside it."""
    model = load_generator(path)
    source = mask_source(model, masks, seed)
    folder = Path(output)

    def write_all(batch: list[Drawn]) -> None:
        for number, image, mask, fields in batch:
            shown = write(folder, number, image, mask, fields)
            write_image(folder / "masks" / f"{number:06d}.png", shown)

    try:
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        with progress("Mammograms", count) as tick, deferred_calls() as later:
            for batch in _batches(model, source, range(count), latents_per_mask, seed):
                later(write_all, batch)
                tick(len(batch))
    except OSError as error:
        raise DataError(f"--output {folder}: cannot be written ({error.strerror})") from error
    return count


def fingerprint_of(path: str | os.PathLike) -> str:
    """SHA-256 of a generator's file: which network made an image."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise GeneratorError(f"--generator {path}: no such file; give a generator.keras") from error
