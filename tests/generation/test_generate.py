"""Synthetic mammograms: a function of generator, masks, seed and number; in the format that training reads."""

import errno
import re
import zipfile
from contextlib import contextmanager

import cv2
import keras
import numpy as np
import pytest
import tiny

from generation import writers as module
from generation.figures import figure
from generation.generate import (
    PRETRAINED,
    GeneratorError,
    generate,
    load_generator,
    write_mammograms,
)
from generation.sources import MaskSource
from mask_embedding_gan.generate import MaskEmbeddingGenerator
from preprocessing.batches import mammogram_batches
from preprocessing.shards import DataError, open_dataset
from preprocessing.shards.format import sha256
from training.drawing import BATCH

HEIGHT, WIDTH = 16, 8
FORMATS = pytest.mark.parametrize("file_format", ["h5", "png", "dicom"])


def latents(first: int, count: int, size: int, seed: int = 0) -> np.ndarray:
    rows = [MaskEmbeddingGenerator.random_input(size, seed, number) for number in range(first, first + count)]
    return np.array(rows, np.float32)


def write_shards(*arguments, **options):
    return open_dataset(write_mammograms(*arguments, **options))


@pytest.fixture(scope="module")
def generator(tiny_run):
    """The file of a finished phase 2."""
    return tiny_run.stage("phase-2").generator


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    return tiny.inputs(2, count=3)[1][..., 0].astype(bool)


@pytest.fixture(scope="module")
def mask_folder(tmp_path_factory):
    """Three mask images of 2:1, of another size than the generator's: left halves, a quarter and three quarters."""
    folder = tmp_path_factory.mktemp("masks")
    for number, columns in enumerate((8, 4, 12)):
        mask = np.zeros((32, 16), np.uint8)
        mask[:, :columns] = 255
        cv2.imwrite(str(folder / f"{number}.png"), mask)
    return folder


# --- latents ------------------------------------------------------------------------------------


def test_a_latent_depends_on_seed_and_number_alone():
    np.testing.assert_array_equal(latents(0, 10, 6)[4:7], latents(4, 3, 6))


def test_every_number_and_every_seed_has_a_latent_of_its_own():
    drawn = np.concatenate([latents(0, 50, 6, seed=0), latents(0, 50, 6, seed=1)])
    assert len(np.unique(drawn[:, 0])) == 100


def test_latents_are_standard_normal():
    drawn = latents(0, 1000, 20)
    assert drawn.mean() == pytest.approx(0, abs=0.03) and drawn.std() == pytest.approx(1, abs=0.03)


# --- in one line --------------------------------------------------------------------------------


def test_images_and_masks_have_the_generator_s_size(generator, masks):
    images, used = generate(generator, masks, count=5)
    assert images.shape == used.shape == (5, HEIGHT, WIDTH)
    assert images.dtype == np.float32 and used.dtype == bool
    assert 0 <= images.min() <= images.max() <= 1


def test_images_are_the_generator_s_of_these_masks_and_latents(generator, masks):
    images, used = generate(generator, masks, count=3, seed=4)
    model = keras.models.load_model(generator)
    wanted = model([masks[..., None].astype(np.float32), latents(0, 3, 6, seed=4)])[..., 0]
    np.testing.assert_allclose(images, wanted, atol=1e-6)
    np.testing.assert_array_equal(used, masks)


def test_an_image_does_not_depend_on_how_many_are_made(generator, masks):
    """To the last bit: the last batch of a count may be short."""
    images, _ = generate(generator, masks, count=BATCH + 2)
    for count in (1, 3, BATCH, BATCH + 1):
        np.testing.assert_array_equal(generate(generator, masks, count=count)[0], images[:count])


def test_the_network_sees_batches_of_one_size_alone(generator, masks, monkeypatch):
    """Another would be compiled anew, and rounds differently on some processors."""
    model, sizes = load_generator(generator), set()
    predict = model.predict_on_batch
    monkeypatch.setattr(model, "predict_on_batch", lambda inputs: sizes.add(len(inputs[0])) or predict(inputs))
    generate(model, masks, count=BATCH + 1)
    assert sizes == {BATCH}


def test_masks_are_taken_round_and_round(generator, masks):
    _, used = generate(generator, masks, count=4)
    np.testing.assert_array_equal(used, masks[[0, 1, 2, 0]])


def test_several_latents_fill_one_mask_before_the_next(generator, masks):
    images, used = generate(generator, masks, count=5, latents_per_mask=2)
    np.testing.assert_array_equal(used, masks[[0, 0, 1, 1, 2]])
    assert not np.array_equal(images[0], images[1])


def test_the_same_seed_gives_the_same_images(generator, masks):
    first, same, other = (generate(generator, masks, count=3, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_without_masks_phantoms_give_them(generator):
    _, used = generate(generator, count=2)
    assert used.any(axis=(1, 2)).all() and not used.all(axis=(1, 2)).any()
    assert not np.array_equal(used[0], used[1])


def test_masks_of_another_shape_are_refused_with_both_shapes(generator, masks):
    for wrong in (masks[:, :8], masks[..., None], masks[0], masks[:0]):
        with pytest.raises(DataError, match=re.escape(f"masks: received shape {wrong.shape}; give (n, 16, 8), n 1")):
            generate(generator, wrong, count=1)


def test_images_of_another_shape_than_their_masks_are_refused(generator, masks):
    with pytest.raises(DataError, match=re.escape("images: received shape (2, 16, 8); give (3, 16, 8)")):
        generate(generator, masks, count=1, images=np.zeros((2, HEIGHT, WIDTH)))


def test_images_without_an_array_of_masks_are_refused(generator, masks, mask_folder):
    for given in (None, mask_folder):
        with pytest.raises(DataError, match=f"images: need their masks as an array, received masks={given}"):
            generate(generator, given, count=1, images=masks.astype(np.float32))


# --- where masks come from ----------------------------------------------------------------------


def test_a_dataset_gives_its_validation_masks(tiny_dataset):
    source = MaskSource(HEIGHT, WIDTH, tiny_dataset.folder)
    held_out = tiny_dataset.indices("validation")
    assert len(source) == len(held_out) == 8
    wanted = tiny_dataset.read((HEIGHT, WIDTH), held_out)[1]
    np.testing.assert_array_equal([source[number].mask for number in range(8)], wanted)


def test_a_dataset_gives_the_real_image_of_a_mask(tiny_dataset):
    found = MaskSource(HEIGHT, WIDTH, tiny_dataset.folder)[0]
    pixels = tiny_dataset.read((HEIGHT, WIDTH), tiny_dataset.indices("validation")[:1])[0]
    np.testing.assert_allclose(found.image, pixels[0] / 65535, rtol=1e-6)
    assert (found.laterality, found.view, found.origin) == ("L", "CC", "real image")


def test_a_folder_of_mask_images_is_resized_by_area(mask_folder):
    source = MaskSource(HEIGHT, WIDTH, mask_folder)
    assert [int(source[number].mask.sum(axis=1)[0]) for number in range(3)] == [4, 2, 6]


def test_phantoms_are_a_function_of_seed_and_number():
    first, same, other = (MaskSource(HEIGHT, WIDTH, seed=seed)[3].image for seed in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


@pytest.mark.parametrize("place", ["dataset", "phantoms"])
def test_masks_alone_are_the_same_masks(tiny_dataset, place):
    where = tiny_dataset.folder if place == "dataset" else None
    both, alone = (MaskSource(HEIGHT, WIDTH, where, with_images=wanted) for wanted in (True, False))
    for number in range(8):
        one, same = both[number], alone[number]
        np.testing.assert_array_equal(same.mask, one.mask)
        assert same.view == one.view and one.image is not None and same.image is None


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_masks_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"--masks {tmp_path / name}: holds neither"):
        MaskSource(HEIGHT, WIDTH, tmp_path / name)


def test_a_mask_of_another_shape_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "square.png"), np.full((16, 16), 255, np.uint8))
    with pytest.raises(DataError, match="square.png: is not an image of 2:1"):
        MaskSource(HEIGHT, WIDTH, tmp_path)[0]


def test_an_empty_mask_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((16, 8), np.uint8))
    with pytest.raises(DataError, match="black.png: its mask is empty"):
        MaskSource(HEIGHT, WIDTH, tmp_path)[0]


# --- files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory, generator, tiny_dataset):
    folder = tmp_path_factory.mktemp("synthetic") / "shards"
    return write_shards(generator, folder, 10, masks=tiny_dataset.folder, seed=3)


def test_shards_hold_the_images_and_their_masks(shards, generator, tiny_dataset):
    images, used = generate(generator, tiny_dataset.folder, count=10, seed=3)
    pixels, masks = shards.read((HEIGHT, WIDTH), np.arange(10))
    np.testing.assert_allclose(pixels / 65535, images, atol=1e-4)
    np.testing.assert_array_equal(masks, used)


def test_shards_hold_every_level_up_to_the_generator_s(shards):
    assert shards.levels == [(8, 4), (16, 8)]


def test_shards_say_that_they_are_synthetic_and_by_which_generator(shards, generator):
    assert shards.meta["synthetic"] is True
    assert shards.meta["generator"] == sha256(generator)


def test_shards_keep_side_and_view_of_their_masks(shards):
    assert set(shards.field("laterality")) == {"L"} and set(shards.field("view")) == {"CC"}


def test_images_of_one_mask_are_of_one_subject(tmp_path, generator, mask_folder):
    """Three masks, two latents each, then the first masks again."""
    dataset = write_shards(generator, tmp_path, 8, masks=mask_folder, latents_per_mask=2)
    _, of_masks = dataset.read((HEIGHT, WIDTH), np.arange(8))
    subjects = dataset.field("subject")
    for a in range(8):
        for b in range(8):
            assert (subjects[a] == subjects[b]) == np.array_equal(of_masks[a], of_masks[b])
    assert len(set(subjects)) == 3


def test_shards_can_be_trained_on(shards):
    batch = next(iter(mammogram_batches(shards, "train", HEIGHT, WIDTH, 4, seed=0)))
    assert batch["image"].shape == (4, HEIGHT, WIDTH, 1)


def test_shards_that_are_complete_are_left_alone(shards, generator, tiny_dataset):
    files = sorted(shards.folder.iterdir())
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    write_shards(generator, shards.folder, 10, masks=tiny_dataset.folder, seed=3)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def test_shards_after_a_kill_are_those_of_a_run_to_the_end(tmp_path, generator, monkeypatch):
    """Two shards; the first run dies when it writes the second."""
    count, write = 150, module.DatasetWriter.write

    def dies(writer, shard, items):
        if shard == 1:
            raise KeyboardInterrupt
        write(writer, shard, items)

    monkeypatch.setattr(module.DatasetWriter, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        write_shards(generator, tmp_path / "killed", count)
    monkeypatch.undo()
    folders = [write_shards(generator, tmp_path / name, count).folder for name in ("killed", "whole")]
    names = ["dataset.json", "manifest.csv", "shard-00000-of-00002.h5", "shard-00001-of-00002.h5"]
    assert all(sorted(path.name for path in folder.iterdir()) == names for folder in folders)
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)


@pytest.mark.parametrize("changes", [{"seed": 4}, {"latents_per_mask": 2}, {"masks": None}, {"count": 11}])
def test_shards_made_otherwise_are_not_taken_for_these(shards, generator, tiny_dataset, changes):
    settings = {"count": 10, "masks": tiny_dataset.folder, "seed": 3, **changes}
    with pytest.raises(DataError, match=str(shards.folder)):
        write_shards(generator, shards.folder, **settings)


def test_png_files_hold_the_images_in_16_bits(tmp_path, generator, mask_folder):
    write_mammograms(generator, tmp_path, 4, masks=mask_folder, file_format="png")
    images, _ = generate(generator, mask_folder, count=4)
    for number, image in enumerate(images):
        pixels = cv2.imread(str(tmp_path / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels / 65535, image, atol=1e-5)


def test_png_masks_lie_beside_their_images_and_can_be_used_again(tmp_path, generator, mask_folder):
    write_mammograms(generator, tmp_path, 3, masks=mask_folder, file_format="png")
    again, source = MaskSource(HEIGHT, WIDTH, tmp_path / "masks"), MaskSource(HEIGHT, WIDTH, mask_folder)
    for number in range(3):
        np.testing.assert_array_equal(again[number].mask, source[number].mask)


@FORMATS
def test_a_folder_that_cannot_be_written_is_named(tmp_path, generator, file_format):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"{tmp_path / 'file'}.* cannot be written"):
        write_mammograms(generator, tmp_path / "file" / "output", 1, file_format=file_format)


@FORMATS
def test_a_disk_that_fills_up_is_named(tmp_path, generator, monkeypatch, file_format):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    monkeypatch.setattr("preprocessing.shards.writer.write_shard", full)
    with pytest.raises(DataError, match=f"{tmp_path}.*cannot be written .No space left on device"):
        write_mammograms(generator, tmp_path, 20, file_format=file_format)


@FORMATS
def test_the_progress_bar_ends_at_the_count(tmp_path, generator, monkeypatch, file_format):
    totals, ticks = [], []

    @contextmanager
    def progress(title, total):
        totals.append(total)
        yield ticks.append

    monkeypatch.setattr(module, "progress", progress)
    write_mammograms(generator, tmp_path, BATCH + 1, file_format=file_format)
    assert totals == [BATCH + 1] and ticks == [BATCH, 1]


@FORMATS
def test_a_generator_that_is_not_there_is_named_and_nothing_is_written(tmp_path, file_format):
    with pytest.raises(GeneratorError, match="absent.keras: no such file"):
        write_mammograms(tmp_path / "absent.keras", tmp_path / "output", 1, file_format=file_format)
    assert not (tmp_path / "output").exists()


def test_a_synthetic_dataset_opens_by_itself(shards):
    assert open_dataset(shards.folder, kind="mammogram", verify=True).count == 10


# --- generators ---------------------------------------------------------------------------------


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(GeneratorError, match="text.keras: is not a Keras model"):
        load_generator(tmp_path / "text.keras")


def test_a_cut_file_is_named(tmp_path, generator):
    (tmp_path / "cut.keras").write_bytes(generator.read_bytes()[:2000])
    with pytest.raises(GeneratorError, match="cut.keras: is not a Keras model"):
        load_generator(tmp_path / "cut.keras")


def test_a_model_with_other_inputs_is_named(tmp_path):
    inputs = keras.Input((4,), name="x")
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(tmp_path / "other.keras")
    with pytest.raises(GeneratorError, match="other.keras: takes no mask and latent"):
        load_generator(tmp_path / "other.keras")


# --- figure -------------------------------------------------------------------------------------


def test_a_figure_is_drawn(tmp_path, generator, tiny_dataset):
    path = figure(generator, tmp_path / "new" / "figure.png", masks=tiny_dataset.folder, rows=2)
    sheet = cv2.imread(str(path))
    assert min(sheet.shape[:2]) > 100 and sheet.std() > 10


@pytest.mark.parametrize("name", ["figure.unknown", "file/figure.png"])
def test_a_figure_that_cannot_be_written_is_named(tmp_path, generator, tiny_dataset, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"--figure {tmp_path / name}: cannot be written"):
        figure(generator, tmp_path / name, masks=tiny_dataset.folder, rows=1)


def test_the_included_generator_has_no_option_that_keras_3_9_does_not_know():
    with zipfile.ZipFile(PRETRAINED) as archive:
        assert "quantization_config" not in archive.read("config.json").decode()
