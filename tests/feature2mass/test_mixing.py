"""Mixtures, and the networks and masses that they need."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_masses
from contrast import undo_contrast

from feature2mass.features import decode, encode, interpolate
from feature2mass.generate import generate
from feature2mass.library import DatasetLibrary
from feature2mass.mixing import Mixer, load_networks, open_seeds
from feature2mass.octaves import energies, restored
from feature2mass.seeds import MassGeneratorError, Recipe, mirrored, seed_image
from feature2mass.settings import Mixing
from generation.masses import write_masses
from preprocessing.batches import labelled_masses
from preprocessing.shards import Dataset, open_dataset


def restored_mixture(one: Recipe, run: Path, dataset: Dataset) -> np.ndarray:
    """What a recipe says, step by step."""
    networks = load_networks(run)
    images = np.array([seed_image(dataset, *key) for key in zip(one.seeds, one.mirrors)])
    kinds = len(images) * [one.category.margin], len(images) * [one.category.shape]
    feature = interpolate(encode(networks.encoder, images, *kinds), one.weights[None])
    library = DatasetLibrary(networks.encoder, networks.decoder, dataset)
    lost, grain = library.lost, library.grain
    mass = decode(networks.decoder, feature)[0] + lost
    every = dataset.read_array("image", (64, 64), one.category.seeds) / 65535
    mean = mirrored(every).mean(axis=(0, 1)).astype(np.float32)
    wanted = one.weights @ [energies(image - mean) for image in images.astype(np.float32)]
    return restored(mass, mean, wanted, grain(feature[0]))


def test_a_mass_is_the_restored_mixture_that_its_recipe_says(tiny_mass_run, tiny_masses_dataset):
    for mass, one in zip(*generate(tiny_mass_run.path, 9, seed=3)):
        wanted = restored_mixture(one, tiny_mass_run.path, tiny_masses_dataset)
        np.testing.assert_allclose(mass, wanted.clip(0, 1), atol=1e-4)


def test_what_networks_lose_of_any_mass_is_the_mean_of_mass_less_reconstruction(tiny_mass_run, tiny_masses_dataset):
    networks = load_networks(tiny_mass_run.path)
    indices, labels = labelled_masses(tiny_masses_dataset, "train")
    images = tiny_masses_dataset.read_array("image", (64, 64), indices) / 65535
    given_back = decode(networks.decoder, encode(networks.encoder, images, labels[:, 1], labels[:, 0]))
    lost = DatasetLibrary(networks.encoder, networks.decoder, tiny_masses_dataset).lost
    np.testing.assert_allclose(lost, (images - given_back).mean(axis=0), atol=1e-5)
    assert np.abs(lost).max() > 1e-3


def test_masses_get_the_contrast_that_their_dataset_has(tmp_path, tiny_mass_run):
    """Stored from black to white, with fields that give back what was decoded, on the scale of its seeds' films."""
    seeds = tiny_masses.write_dataset(tmp_path / "seeds", contrast="normalised")
    dataset = open_dataset(write_masses(tiny_mass_run.path, tmp_path / "new", 6, data=seeds.folder))
    stored = dataset.read_array("image", (64, 64), range(6)) / 65535
    assert (stored.min(axis=(1, 2)) == 0).all() and (stored.max(axis=(1, 2)) == 1).all()
    again = undo_contrast(stored, dataset.field("low"), dataset.field("high"))
    for number, one in enumerate(generate(tiny_mass_run.path, 6, data=seeds.folder)[1]):
        mixture = restored_mixture(one, tiny_mass_run.path, seeds)
        low, high = (one.weights @ seeds.field(name)[one.seeds] for name in ("low", "high"))
        unclipped = (stored[number] > 0) & (stored[number] < 1)
        np.testing.assert_allclose(again[number][unclipped], (low + (high - low) * mixture)[unclipped], atol=1e-4)


# --- what cannot be used --------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path, tiny_mass_run) -> Path:
    return Path(shutil.copytree(tiny_mass_run.path, tmp_path / "run"))


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("{")])
def test_a_folder_that_is_no_run_is_named(copied, damage):
    damage(copied / "config.json")
    with pytest.raises(MassGeneratorError, match=f"--run {copied}: is not a run"):
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


def test_training_data_that_has_changed_asks_for_data(copied, tmp_path):
    other = tiny_masses.write_dataset(tmp_path / "other", contrast="normalised")
    (copied / "source.json").write_text(json.dumps({"folder": str(other.folder)}))
    with pytest.raises(MassGeneratorError, match=f"training data in {other.folder} has changed since; give --data"):
        open_seeds(copied, None, load_networks(copied))
    assert open_seeds(copied, other.folder, load_networks(copied)).folder == other.folder


def test_without_octaves_a_mass_is_its_decoded_mixture(tiny_mass_run, tiny_masses_dataset):
    networks = load_networks(tiny_mass_run.path)
    library = DatasetLibrary(networks.encoder, networks.decoder, tiny_masses_dataset)
    seeds, weights = generate(tiny_mass_run.path, 1)[1][0].mixture()
    images = np.array([seed_image(tiny_masses_dataset, seed.index, seed.mirror) for seed in seeds])
    kinds = [seeds[0].category.margin] * len(seeds), [seeds[0].category.shape] * len(seeds)
    feature = interpolate(encode(networks.encoder, images, *kinds), weights[None])
    made = Mixer(library, Mixing()).mixtures([(seeds, weights)])
    np.testing.assert_allclose(made, decode(networks.decoder, feature), atol=1e-5)


def test_a_run_says_how_its_masses_are_mixed(tiny_mass_run):
    assert load_networks(tiny_mass_run.path).mixing == tiny_masses.preset().mixing
