"""New masses: their labels, what they were mixed from, and the files they are written to."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tiny_masses

from feature2mass.features import decode, encode, interpolate
from feature2mass.generate import (
    MIRRORS,
    Category,
    MassGeneratorError,
    Mixer,
    Recipe,
    categories,
    generate,
    load_networks,
    mirrored,
    open_seeds,
    recipe,
    seed_image,
    write_png,
    write_shards,
)
from feature2mass.octaves import energies, restored
from preprocessing.dataset import labelled_masses, mass_batches
from preprocessing.masses import read_rois, undo_contrast
from preprocessing.shards import DataError, Dataset


def category(shape: int, margin: int, seeds: np.ndarray) -> Category:
    """Masses that look like noise."""
    looks = np.random.default_rng(0).random((len(seeds), 16, 16), np.float32)
    return Category(shape, margin, seeds, looks, mean=looks.mean())


MANY = category(0, 0, np.arange(100, 130))  # thirty masses
FEW = category(1, 0, np.arange(6))
ONE = category(0, 1, np.array([7]))


# --- recipes --------------------------------------------------------------------------------------


def test_twenty_different_seeds_of_the_category():
    one = recipe(0, [MANY])
    assert len(one.seeds) == len(np.unique(one.seeds)) == 20 and set(one.seeds) <= set(MANY.seeds)


def looks_of(one) -> np.ndarray:
    """The seeds as the recipe mirrors them, (n, 16, 16)."""
    images = one.category.thumbnails[np.searchsorted(one.category.seeds, one.seeds)]
    return mirrored(images)[one.mirrors, np.arange(len(images))]


@pytest.mark.parametrize("wanted", [MANY, FEW, ONE])
def test_the_more_a_seed_resembles_the_first_the_larger_its_weight(wanted):
    for number in range(5):
        one = recipe(number, [wanted])
        looks = looks_of(one)
        assert (np.diff(np.square(looks - looks[0]).mean(axis=(1, 2))) >= 0).all()
        assert (np.diff(one.weights) <= 0).all()


def test_seeds_are_mirrored_so_as_to_resemble_the_first():
    one = recipe(0, [MANY])
    leader, others = looks_of(one)[0], looks_of(one)[1:]
    for look in others:
        errors = np.square(mirrored(look) - leader).mean(axis=(1, 2))
        assert errors.argmin() == 0


def test_the_first_is_mirrored_by_lot():
    assert {int(recipe(number, [MANY]).mirrors[0]) for number in range(40)} == {0, 1, 2, 3}


def test_weights_are_multiples_of_a_twentieth_that_sum_to_1():
    for number in range(50):
        weights = recipe(number, [MANY]).weights
        np.testing.assert_allclose(weights * 20, np.round(weights * 20), atol=1e-9)
        assert weights.sum() == pytest.approx(1)


def test_fewer_than_twenty_masses_lend_their_mirror_images_up_to_twenty():
    one = recipe(0, [FEW])
    keys = set(zip(one.seeds.tolist(), one.mirrors.tolist()))
    assert len(one.seeds) == len(keys) == 20
    assert {(seed, 0) for seed in range(6)} <= keys  # all as they are, and 14 of 18 mirror images


def test_a_single_mass_is_mixed_with_its_three_mirror_images():
    one = recipe(0, [ONE])
    assert one.seeds.tolist() == [7] * 4 and sorted(one.mirrors) == [0, 1, 2, 3]


def test_recipes_are_a_function_of_seed_and_number():
    a, b, c, d = (recipe(number, [MANY], seed) for number, seed in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert np.array_equal(a.seeds, b.seeds) and np.array_equal(a.weights, b.weights)
    assert not np.array_equal(a.seeds, c.seeds) and not np.array_equal(a.seeds, d.seeds)


def test_categories_take_turns():
    assert [recipe(number, [MANY, FEW, ONE]).category for number in range(4)] == [MANY, FEW, ONE, MANY]


def test_the_top_three_are_those_of_largest_weight():
    one = recipe(5, [MANY])
    assert sorted(one.weights)[-3:] == sorted(one.weights[one.top()])
    assert (np.diff(one.weights[one.top()]) <= 0).all()


def test_seeds_are_of_the_category_and_the_training_split(tiny_masses_dataset):
    training = set(tiny_masses_dataset.indices("train"))
    found = categories(tiny_masses_dataset)
    assert {(c.shape, c.margin) for c in found} == {(0, 0), (0, 1), (1, 0), (2, 1)}
    for category in found:
        assert set(category.seeds) <= training
        for field in ("shape", "margin"):
            assert set(tiny_masses_dataset.field(field)[category.seeds]) == {getattr(category, field)}


@pytest.mark.parametrize(
    "wanted, found",
    [
        ({"shape": "round"}, {(0, 0), (0, 1)}),
        ({"margin": "spiculated"}, {(0, 1), (2, 1)}),
        ({"shape": "irregular", "margin": "spiculated"}, {(2, 1)}),
    ],
)
def test_a_wanted_class_narrows_the_categories(tiny_masses_dataset, wanted, found):
    assert {(c.shape, c.margin) for c in categories(tiny_masses_dataset, **wanted)} == found


@pytest.mark.parametrize("mirror, name", enumerate(MIRRORS))
def test_mirrored_seeds(tiny_masses_dataset, mirror, name):
    plain, mirrored = seed_image(tiny_masses_dataset, 3), seed_image(tiny_masses_dataset, 3, mirror)
    wanted = {"no": plain, "left-right": plain[:, ::-1], "top-bottom": plain[::-1], "both": plain[::-1, ::-1]}
    np.testing.assert_array_equal(mirrored, wanted[name])


# --- masses ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(tiny_mass_run):
    return generate(tiny_mass_run.path, 9, seed=3)


def test_masses_are_64_by_64_in_the_unit_interval(generated):
    masses, _ = generated
    assert masses.shape == (9, 64, 64) and masses.dtype == np.float32
    assert masses.min() >= 0 and masses.max() <= 1


def restored_mixture(one: Recipe, run: Path, dataset: Dataset) -> np.ndarray:
    """What a recipe says, step by step."""
    networks = load_networks(run)
    images = np.array([seed_image(dataset, *key) for key in zip(one.seeds, one.mirrors)])
    kinds = len(images) * [one.category.margin], len(images) * [one.category.shape]
    feature = interpolate(encode(networks.encoder, images, *kinds), one.weights[None])
    lost, grain = Mixer(networks, dataset).deficit
    mass = decode(networks.decoder, feature)[0] + lost
    every = dataset.read_array("image", (64, 64), one.category.seeds) / 65535
    mean = mirrored(every).mean(axis=(0, 1)).astype(np.float32)
    wanted = one.weights @ [energies(image - mean) for image in images.astype(np.float32)]
    return restored(mass, mean, wanted, grain(feature[0]))


def test_a_mass_is_the_restored_mixture_that_its_recipe_says(generated, tiny_mass_run, tiny_masses_dataset):
    for mass, one in zip(*generated):
        wanted = restored_mixture(one, tiny_mass_run.path, tiny_masses_dataset)
        np.testing.assert_allclose(mass, wanted.clip(0, 1), atol=1e-4)


def test_what_networks_lose_of_any_mass_is_the_mean_of_mass_less_reconstruction(tiny_mass_run, tiny_masses_dataset):
    networks = load_networks(tiny_mass_run.path)
    indices, labels = labelled_masses(tiny_masses_dataset, "train")
    images = tiny_masses_dataset.read_array("image", (64, 64), indices) / 65535
    given_back = decode(networks.decoder, encode(networks.encoder, images, labels[:, 1], labels[:, 0]))
    lost, _ = Mixer(networks, tiny_masses_dataset).deficit
    np.testing.assert_allclose(lost, (images - given_back).mean(axis=0), atol=1e-5)
    assert np.abs(lost).max() > 1e-3


def test_masses_get_the_contrast_that_their_dataset_has(tmp_path, tiny_mass_run):
    """Stored from black to white, with fields that give back what was decoded, on the scale of its seeds' films."""
    seeds = tiny_masses.write_dataset(tmp_path / "seeds", contrast="normalised")
    dataset = write_shards(tiny_mass_run.path, tmp_path / "new", 6, data=seeds.folder)
    stored = dataset.read_array("image", (64, 64), range(6)) / 65535
    assert (stored.min(axis=(1, 2)) == 0).all() and (stored.max(axis=(1, 2)) == 1).all()
    again = undo_contrast(stored, dataset.field("low"), dataset.field("high"))
    for number, one in enumerate(generate(tiny_mass_run.path, 6, data=seeds.folder)[1]):
        mixture = restored_mixture(one, tiny_mass_run.path, seeds)
        low, high = (one.weights @ seeds.field(name)[one.seeds] for name in ("low", "high"))
        unclipped = (stored[number] > 0) & (stored[number] < 1)
        np.testing.assert_allclose(again[number][unclipped], (low + (high - low) * mixture)[unclipped], atol=1e-4)


def test_another_seed_gives_other_masses(generated, tiny_mass_run):
    assert not np.array_equal(generate(tiny_mass_run.path, 9, seed=4)[0], generated[0])


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory, tiny_mass_run):
    return write_shards(tiny_mass_run.path, tmp_path_factory.mktemp("synthetic") / "shards", 9, seed=3)


def manifest(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_shards_hold_the_masses_and_their_labels(shards, generated):
    masses, recipes = generated
    np.testing.assert_allclose(shards.read_array("image", (64, 64), range(9)) / 65535, masses, atol=1e-4)
    assert shards.field("shape").tolist() == [one.category.shape for one in recipes]
    assert shards.field("margin").tolist() == [one.category.margin for one in recipes]


def test_shards_say_that_they_are_synthetic_and_by_which_networks(shards, tiny_mass_run):
    assert shards.meta["synthetic"] is True
    assert shards.meta["generator"] == load_networks(tiny_mass_run.path).fingerprint


def test_shards_can_be_trained_on(shards):
    batch = next(iter(mass_batches(shards, "train", 4, seed=0)))
    assert batch["image"].shape == (4, 64, 64, 1) and batch["shape"].shape == (4, 3)


def test_the_manifest_says_what_each_mass_came_from(shards, generated, tiny_masses_dataset):
    for row, one in zip(manifest(shards.folder), generated[1], strict=True):
        weights = [float(weight) for weight in row["weights"].split(";")]
        assert sum(weights) == pytest.approx(1) and weights == sorted(weights, reverse=True)
        recorded = zip(map(int, row["seeds"].split(";")), row["mirrored"].split(";"), weights)
        used = zip(one.seeds, (MIRRORS[m] for m in one.mirrors), one.weights)
        assert sorted(recorded) == sorted((s, m, pytest.approx(w)) for s, m, w in used if w > 0)
        assert row["shape"] == tiny_masses_dataset.classes("shape")[one.category.shape]
        assert int(row["masses_of_category"]) == len(one.category.seeds)
        assert int(row["seeds_drawn"]) == len(one.seeds)


def test_complete_shards_are_left_alone(shards, tiny_mass_run):
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(shards.folder.iterdir())]
    write_shards(tiny_mass_run.path, shards.folder, 9, seed=3)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(shards.folder.iterdir())] == before


@pytest.mark.parametrize("changes", [{"seed": 4}, {"shape": "round"}, {"count": 10}])
def test_shards_made_otherwise_are_not_taken_for_these(shards, tiny_mass_run, changes):
    settings = {"count": 9, "seed": 3, **changes}
    with pytest.raises(DataError, match=str(shards.folder)):
        write_shards(tiny_mass_run.path, shards.folder, **settings)


def test_png_files_hold_the_masses_and_can_be_cut_as_rois(tmp_path, tiny_mass_run, generated):
    assert write_png(tiny_mass_run.path, tmp_path, 9, seed=3) == 9
    for number, mass in enumerate(generated[0]):
        pixels = cv2.imread(str(tmp_path / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels / 65535, mass, atol=1e-4)
    lesions = read_rois(tmp_path / "manifest.csv", tmp_path)
    assert len(lesions) == 9 and not any(lesion.unusable for lesion in lesions)


@pytest.mark.parametrize("write", [write_shards, write_png])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_mass_run, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"{tmp_path / 'file'}.* cannot be written"):
        write(tiny_mass_run.path, tmp_path / "file" / "output", 1)


# --- what cannot be used --------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path, tiny_mass_run) -> Path:
    return Path(shutil.copytree(tiny_mass_run.path, tmp_path / "run"))


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("{")])
def test_a_folder_that_is_no_run_is_named(copied, damage):
    damage(copied / "config.json")
    with pytest.raises(MassGeneratorError, match=f"--run {copied}: is no run"):
        load_networks(copied)


def test_an_unfinished_run_is_named(copied):
    (copied / "decoder.keras").unlink()
    with pytest.raises(MassGeneratorError, match="holds no decoder.keras; train it to its end first"):
        load_networks(copied)


def test_a_damaged_network_is_named(copied):
    (copied / "encoder.keras").write_text("not a model")
    with pytest.raises(MassGeneratorError, match="encoder.keras: is not a Keras model"):
        load_networks(copied)


def test_networks_of_other_classes_than_the_config_says_are_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    config["classes"]["margin"].append("obscured")
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(MassGeneratorError, match="its networks are not those of its config.json"):
        load_networks(copied)


def test_another_model_in_place_of_the_encoder_is_refused(copied):
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(copied / "encoder.keras")
    with pytest.raises(MassGeneratorError, match="its networks are not those of its config.json"):
        load_networks(copied)


def test_data_of_other_classes_names_both(tmp_path, tiny_mass_run):
    classes = {**tiny_masses.CLASSES, "margin": ("circumscribed", "obscured")}
    other = tiny_masses.write_dataset(tmp_path / "other", {(0, 0): 3}, classes)
    with pytest.raises(MassGeneratorError, match="margin are circumscribed, obscured.* circumscribed, spiculated"):
        open_seeds(tiny_mass_run.path, other.folder, load_networks(tiny_mass_run.path))


def test_training_data_that_is_gone_asks_for_data(copied):
    (copied / "source.json").write_text(json.dumps({"folder": str(copied / "gone")}))
    with pytest.raises(MassGeneratorError, match="training data cannot be opened; give --data"):
        open_seeds(copied, None, load_networks(copied))


@pytest.mark.parametrize(
    "wanted", [{"shape": "oval", "margin": "spiculated"}, {"shape": "irregular", "margin": "circumscribed"}]
)
def test_a_category_without_seeds_is_one_clear_line(tiny_masses_dataset, wanted):
    with pytest.raises(
        MassGeneratorError, match=f"--shape {wanted['shape']}, --margin {wanted['margin']}: .* no labelled"
    ):
        categories(tiny_masses_dataset, **wanted)


def test_a_class_that_does_not_exist_names_those_that_do(tiny_masses_dataset):
    with pytest.raises(MassGeneratorError, match="--shape square: must be one of round, oval, irregular"):
        categories(tiny_masses_dataset, shape="square")
