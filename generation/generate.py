"""Synthetic mammograms from a trained generator: in one line, or as files.

images, masks = generate("runs/demo/phase-7/generator.keras", count=8)

A generator is known by its inputs. A mask-embedding generator takes a mask and a latent vector; that of pix2pix takes a
texture map, made of the real image that a mask belongs to, and the noise of its dropout.
"""

import os
from pathlib import Path

import keras
import numpy as np

from generation.mammograms import Mammograms
from generation.sources import FOUR_VIEWS, BreastMask, ImageMasks, MaskSource
from generation.writers import write
from mask_embedding_gan.generate import MaskEmbeddingGenerator
from pix2pix.generate import Pix2PixGenerator
from preprocessing.shards import DataError
from preprocessing.shards.format import sha256
from training.drawing import MaskFiller
from training.export import ModelError, open_model

PRETRAINED = Path(__file__).parent / "pretrained" / "film.keras"  # docs/model-card.md
SYSTEMS: dict[tuple[str, ...], type[MaskFiller]] = {
    system.inputs: system for system in (MaskEmbeddingGenerator, Pix2PixGenerator)
}


class GeneratorError(ModelError):
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
        model = open_model(path)
    except ModelError as error:
        raise GeneratorError(f"--generator {error}; give a generator.keras") from error
    if _inputs(model) not in SYSTEMS:
        raise GeneratorError(f"--generator {path}: takes no mask and latent; it is another kind of network")
    if [tuple(tensor.shape[1:]) for tensor in model.outputs] != [(*model.inputs[0].shape[1:3], 1)]:
        raise GeneratorError(f"--generator {path}: gives no grey image of the mask's size")
    return model


def _inputs(model: keras.Model) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in model.inputs)


def system_of(model: keras.Model) -> type[MaskFiller]:
    """Return the class that draws with a generator, by the names of its inputs."""
    return SYSTEMS[_inputs(model)]


def mask_source(
    model: keras.Model, masks: str | os.PathLike | None, seed: int = 0, *, with_images: bool = False
) -> MaskSource:
    """Open the masks that a generator is to fill, at its size.

    Args:
        masks, seed: see `MaskSource`.
        with_images: whether their images are wanted even where the generator needs none.

    Raises:
        DataError: nothing there, or masks without images for a generator that needs them.
    """
    height, width = model.inputs[0].shape[1:3]
    needs_images = system_of(model).needs_images
    source = MaskSource(height, width, masks, seed, with_images=with_images or needs_images)
    if source.files is not None and needs_images:
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
        masks: bool or {0, 1} array (n, height, width), chest wall on the left, or whatever `MaskSource` takes; None for
            phantoms' masks.
        latents_per_mask: images made from one mask before the next is taken.
        seed: of the latents (and the phantoms).
        images: float (n, height, width) in [0, 1], the real images of a `masks` array; pix2pix needs them.

    Returns:
        (images float32 (count, height, width) in [0, 1], masks bool of the same shape).

    Raises:
        GeneratorError: the file is no generator.
        DataError: unsuitable masks or images.

    Example::

        images, masks = generate("runs/demo/phase-7/generator.keras", count=8)
    """
    model = generator if isinstance(generator, keras.Model) else load_generator(generator)
    source: MaskSource | list[BreastMask]
    if isinstance(masks, np.ndarray):
        source = _masks_of_array(masks, images, *model.inputs[0].shape[1:3])
    elif images is not None:
        raise DataError(f"images: need their masks as an array, received masks={masks}; give it, or leave images out")
    else:
        source = mask_source(model, masks, seed)
    filler = system_of(model)(model, ImageMasks(source, latents_per_mask), seed)
    drawn = [one for batch in Mammograms(filler).batches(range(count)) for one in batch]
    return np.array([one.image for one in drawn]), np.array([one.filled.mask for one in drawn])


def _masks_of_array(masks: np.ndarray, images: np.ndarray | None, height: int, width: int) -> list[BreastMask]:
    """Return the masks of an array, with their images if there are any; raise where shapes do not fit."""
    if masks.shape[1:] != (height, width) or len(masks) == 0:
        raise DataError(f"masks: received shape {masks.shape}; give (n, {height}, {width}), n 1 or more")
    if images is not None and np.shape(images) != masks.shape:
        raise DataError(f"images: received shape {np.shape(images)}; give {masks.shape}, an image for each mask")
    reals = [None] * len(masks) if images is None else images
    pairs = enumerate(zip(masks, reals, strict=True))
    return [BreastMask(mask.astype(bool), real, number=number) for number, (mask, real) in pairs]


def write_mammograms(
    generator: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    file_format: str = "h5",
    masks: str | os.PathLike | None = None,
    latents_per_mask: int = 1,
    study_of_four: bool = False,
    seed: int = 0,
) -> Path:
    """Write synthetic mammograms, and `manifest.csv`, which says for each of them what it was made from.

    Images of the same mask, or the same study, have the same subject.

    Args:
        count: images to make; of studies of four, a multiple of four.
        file_format: "h5", a dataset in the format that training reads; "png", 16 bits; "dicom", MG For Presentation,
            marked as synthetic, right breasts with the chest wall on the right. The latter two with `masks/`.
        masks, latents_per_mask, seed: see `generate`.
        study_of_four: make RCC, LCC, RMLO and LMLO of one synthetic patient after the other.

    Returns:
        The folder.

    Raises:
        GeneratorError: the file is no generator.
        DataError: one clear line: unsuitable masks, a folder that holds other images or cannot be written.
    """
    if study_of_four and (count % len(FOUR_VIEWS) or latents_per_mask > 1):
        raise DataError("--study-of-four: takes a --count that is a multiple of 4, and no --latents-per-mask")
    model = load_generator(generator)
    source = mask_source(model, masks, seed)
    filler = system_of(model)(model, ImageMasks(source, latents_per_mask, study_of_four=study_of_four), seed)
    return write(Mammograms(filler, sha256(Path(generator))), output, count, file_format)
