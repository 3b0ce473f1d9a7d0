"""Synthetic mammograms from a trained generator: in one line, or as a data set.

images, masks = generate("runs/demo/phase-7/generator.keras", count=8)

A generator is known by its inputs. A mask-embedding generator takes a mask and a latent. That of pix2pix takes a
texture map, made of the real image that a mask belongs to, and the noise of its dropout: its latent, here.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import keras
import numpy as np

from preprocessing.breast import edge_map
from preprocessing.convert import mammogram_item, read_mask
from preprocessing.films import UnusableFilm, find_films
from preprocessing.phantoms import mammogram_phantom
from preprocessing.pictures import write_image
from preprocessing.shards import DATASET_FILE, DataError, Dataset, DatasetWriter, open_dataset

BATCH = 8
MASK_EMBEDDING, PIX2PIX = ["mask", "latent"], ["texture_map", "noise"]  # names of inputs


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


class MaskSource:
    """Masks at a generator's size, with a real image of each where there is one.

    Args:
        height, width: of the generator.
        masks: a dataset (its validation split, or all of it if that is empty), a folder of mask images or other
            images that are non-zero inside the breast, or None for fresh phantoms.
        seed: of the phantoms.
    """

    def __init__(self, height: int, width: int, masks: str | os.PathLike | None = None, seed: int = 0):
        self.size, self.seed = (height, width), seed
        self.dataset: Dataset | None = None
        self.files: list[Path] | None = None
        if masks is None:
            return
        folder = Path(masks)
        if (folder / DATASET_FILE).exists():
            self.dataset = open_dataset(folder, kind="mammogram")
            held_out = self.dataset.indices("validation")
            self.indices = held_out if len(held_out) else self.dataset.indices()
        else:
            self.files = find_films([folder]) if folder.exists() else []
        if len(self) == 0:
            raise DataError(f"--masks {folder}: holds neither a dataset nor mask images")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of which masks these are."""
        if self.dataset is not None:
            return self.dataset.fingerprint
        if self.files is not None:
            what = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files]
        else:
            what = ["phantoms"]
        return hashlib.sha256("\n".join(what).encode()).hexdigest()

    def __len__(self) -> int:
        """How many different masks there are; phantoms have no end."""
        if self.dataset is not None:
            return len(self.indices)
        return len(self.files) if self.files is not None else 2**31

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray | None, dict[str, str]]:
        """(mask bool, real image float or None, fields) of a number, counted round and round."""
        number %= len(self)
        if self.dataset is not None:
            index = self.indices[number : number + 1]
            images, masks = self.dataset.read(self.size, index)
            fields = {name: str(self.dataset.field(name)[index[0]]) for name in ("laterality", "view")}
            return masks[0].astype(bool), images[0].astype(np.float32) / 65535, fields
        if self.files is not None:
            return self._from_file(self.files[number]), None, {}
        image, mask, view = mammogram_phantom(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
        mask = cv2.resize(mask.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_AREA) >= 0.5
        return mask, cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA), {"view": view}

    def _from_file(self, file: Path) -> np.ndarray:
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        height, width = (0, 0) if mask is None else mask.shape
        if width == 0 or height * self.size[1] != width * self.size[0]:
            raise DataError(f"--masks {file}: is not an image of 2:1 (height:width)")
        try:
            mask = read_mask(file, mask.shape)
        except UnusableFilm as error:
            raise DataError(f"--masks {file}: {error}") from error
        return cv2.resize(mask.astype(np.float32), self.size[::-1], interpolation=cv2.INTER_AREA) >= 0.5


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


def mask_source(model: keras.Model, masks: str | os.PathLike | None, seed: int = 0) -> MaskSource:
    """The masks that a generator is to fill, at its size.

    Raises:
        DataError: nothing there, or masks without real images for pix2pix.
    """
    height, width = model.inputs[0].shape[1:3]
    source = MaskSource(height, width, masks, seed)
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
    drawn = list(_stream(model, source, range(count), latents_per_mask, seed))
    return np.array([image for _, image, _, _ in drawn]), np.array([mask for _, _, mask, _ in drawn])


def _stream(
    model: keras.Model, source: MaskSource | list, numbers: range, latents_per_mask: int, seed: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[str, str]]]:
    """(number, image, mask, fields) one after another; memory holds one batch."""
    for first in range(numbers.start, numbers.stop, BATCH):
        batch = range(first, min(first + BATCH, numbers.stop))
        drawn = [source[number // latents_per_mask % len(source)] for number in batch]
        shown = np.array([shown_to(model, mask, real) for mask, real, _ in drawn])
        images = model.predict([shown, random_inputs(model, first, len(batch), seed)], verbose=0)[..., 0]
        yield from zip(batch, images, (mask for mask, _, _ in drawn), (fields for _, _, fields in drawn))


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
        for shard, numbers in writer.missing():
            items = [
                mammogram_item(image, mask, subject=f"mask{number // latents_per_mask % len(source):010d}", **fields)
                for number, image, mask, fields in _stream(model, source, numbers, latents_per_mask, seed)
            ]
            writer.write(shard, items)
    return writer.finish()


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
    from preprocessing.dicom_writer import write_synthetic_dicom  # pydicom only where it is needed

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
    try:
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        for number, image, mask, fields in _stream(model, source, range(count), latents_per_mask, seed):
            shown = write(folder, number, image, mask, fields)
            write_image(folder / "masks" / f"{number:06d}.png", shown)
    except OSError as error:
        raise DataError(f"--output {folder}: cannot be written ({error.strerror})") from error
    return count


def fingerprint_of(path: str | os.PathLike) -> str:
    """SHA-256 of a generator's file: which network made an image."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise GeneratorError(f"--generator {path}: no such file; give a generator.keras") from error
