"""Synthetic mammograms of a pix2pix generator: texture maps of real images, and dropout for a latent."""

import cv2
import keras
import numpy as np
import pytest

from generation.figures import figure
from generation.generate import generate, write_mammograms
from pix2pix.generate import Pix2PixGenerator
from preprocessing.mammograms.texture_map import edge_map
from preprocessing.shards import DataError, open_dataset
from preprocessing.shards.format import sha256

HEIGHT, WIDTH = 32, 16


def dropout_noise(first: int, count: int, size: int, seed: int = 0) -> np.ndarray:
    rows = [Pix2PixGenerator.random_input(size, seed, number) for number in range(first, first + count)]
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def generator(tiny_pix2pix_run):
    return tiny_pix2pix_run.path / "generator.keras"


@pytest.fixture(scope="module")
def held_out(tiny_dataset) -> tuple[np.ndarray, np.ndarray]:
    """(images, masks) of the validation split."""
    images, masks = tiny_dataset.read((HEIGHT, WIDTH), tiny_dataset.indices("validation"))
    return images.astype(np.float32) / 65535, masks.astype(bool)


@pytest.fixture(scope="module")
def mask_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    cv2.imwrite(str(folder / "0.png"), np.full((32, 16), 255, np.uint8))
    return folder


def test_noise_depends_on_seed_and_number_alone():
    np.testing.assert_array_equal(dropout_noise(0, 10, 50)[4:7], dropout_noise(4, 3, 50))
    assert not np.array_equal(dropout_noise(0, 3, 50, seed=0), dropout_noise(0, 3, 50, seed=1))


def test_noise_keeps_half():
    noise = dropout_noise(0, 100, 100)
    assert set(np.unique(noise)) == {0, 1}
    assert noise.mean() == pytest.approx(0.5, abs=0.02)


def test_images_are_the_generator_s_of_texture_maps_and_noise(generator, tiny_dataset, held_out):
    images, used = generate(generator, tiny_dataset.folder, count=3, seed=4)
    model = keras.models.load_model(generator)
    texture_maps = np.array([edge_map(image, mask) for image, mask in zip(*held_out)])[:3]
    wanted = model([texture_maps, dropout_noise(0, 3, model.inputs[1].shape[-1], seed=4)])[..., 0]
    np.testing.assert_allclose(images, wanted, atol=1e-6)
    np.testing.assert_array_equal(used, held_out[1][:3])


def test_arrays_of_masks_come_with_their_images(generator, tiny_dataset, held_out):
    images, masks = held_out
    of_arrays, _ = generate(generator, masks, count=3, images=images)
    np.testing.assert_allclose(of_arrays, generate(generator, tiny_dataset.folder, count=3)[0], atol=1e-6)


def test_arrays_of_masks_alone_are_refused(generator, held_out):
    with pytest.raises(ValueError, match="masks alone; give their images"):
        generate(generator, held_out[1], count=1)


def test_draws_of_one_mask_differ(generator, tiny_dataset):
    images, masks = generate(generator, tiny_dataset.folder, count=2, latents_per_mask=2)
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(images[0], images[1])


def test_the_same_seed_gives_the_same_images(generator, tiny_dataset):
    first, same, other = (generate(generator, tiny_dataset.folder, count=2, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_without_masks_phantoms_give_texture_maps(generator):
    images, masks = generate(generator, count=1)
    assert images.shape == (1, HEIGHT, WIDTH) and masks.any()


def test_shards_hold_the_images_and_their_masks(tmp_path, generator, tiny_dataset):
    shards = open_dataset(write_mammograms(generator, tmp_path / "shards", 4, masks=tiny_dataset.folder, seed=3))
    images, used = generate(generator, tiny_dataset.folder, count=4, seed=3)
    pixels, masks = shards.read((HEIGHT, WIDTH), np.arange(4))
    np.testing.assert_allclose(pixels / 65535, images, atol=1e-4)
    np.testing.assert_array_equal(masks, used)
    assert shards.meta["generator"] == sha256(generator)


@pytest.mark.parametrize("file_format", ["h5", "png", "dicom"])
def test_a_folder_of_masks_alone_is_refused_and_nothing_is_written(tmp_path, generator, mask_folder, file_format):
    with pytest.raises(DataError, match=f"--masks {mask_folder}: holds masks alone.*give a dataset"):
        write_mammograms(generator, tmp_path / "output", 1, masks=mask_folder, file_format=file_format)
    assert not (tmp_path / "output").exists()


def test_a_figure_is_drawn(tmp_path, generator, tiny_dataset):
    path = figure(generator, tmp_path / "figure.png", masks=tiny_dataset.folder, rows=2)
    sheet = cv2.imread(str(path))
    assert min(sheet.shape[:2]) > 100 and sheet.std() > 10
