"""A generator of masses in one file, without the images that it was trained on."""

import io
import json
import shutil
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_masses

from feature2mass.features import decode
from feature2mass.generate import MassGenerator, generate
from feature2mass.handover import _unfinished, is_mass_run, save_masses
from feature2mass.library import read_mass_generator
from feature2mass.mixing import load_networks, open_mixer
from feature2mass.seeds import MassGeneratorError, Seed
from training.checkpoint import checkpoints


@pytest.fixture(scope="module")
def stored(tiny_mass_run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "masses.h5"
    save_masses(tiny_mass_run.path, path)
    return path


def test_a_file_draws_the_masses_that_its_run_draws(stored, tiny_mass_run):
    (from_file, recipes), (from_run, others) = (generate(place, 12, seed=3) for place in (stored, tiny_mass_run.path))
    for one, other in zip(recipes, others, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        assert (one.category.shape, one.category.margin) == (other.category.shape, other.category.margin)
    differences, deviations = from_file - from_run, from_run - from_run.mean(axis=0)
    assert np.sqrt(np.square(differences).mean()) < 0.1 * np.sqrt(np.square(deviations).mean())


def test_a_file_holds_no_image_at_full_size(stored, tiny_masses_dataset):
    with h5py.File(stored) as file:
        sizes = {name: item.shape for name, item in file.items() if isinstance(item, h5py.Dataset)}
    held = [name for name, shape in sizes.items() if shape[-2:] == (64, 64)]
    assert sorted(held) == ["lost", "means"]  # of all masses, and of the masses of a category


def test_a_stored_mass_to_look_at_is_the_decoded_one(stored, tiny_mass_run):
    of_file, of_run = (open_mixer(place)[0].library for place in (stored, tiny_mass_run.path))
    category = of_run.categories()[0]
    seen = of_file.image(int(of_file.categories()[0].seeds[1]), mirror=2)
    decoded = decode(of_run.decoder, of_run.features([Seed(int(category.seeds[1]), 2, category)]))[0] + of_file.lost
    np.testing.assert_allclose(seen, decoded.clip(0, 1), atol=0.01)


def test_contrast_and_labels_are_kept(tiny_mass_run, tmp_path):
    seeds = tiny_masses.write_dataset(tmp_path / "seeds", contrast="normalised")
    save_masses(tiny_mass_run.path, tmp_path / "masses.h5", seeds.folder)
    (from_file, from_run) = (
        MassGenerator(*place).draw(range(6))
        for place in ((tmp_path / "masses.h5",), (tiny_mass_run.path, seeds.folder))
    )
    for one, other in zip(from_file, from_run, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.05)


def test_sizes_are_kept_and_known_of_what_is_drawn(stored, tiny_mass_run, tmp_path):
    seeds = tiny_masses.write_dataset(tmp_path / "seeds", sized=True)
    save_masses(tiny_mass_run.path, tmp_path / "masses.h5", seeds.folder)
    from_file, from_run = (
        [mass.recipe.size for mass in MassGenerator(*place).draw(range(12))]
        for place in ((tmp_path / "masses.h5",), (tiny_mass_run.path, seeds.folder))
    )
    assert from_file == pytest.approx(from_run) and min(from_file) >= 10
    with h5py.File(stored) as file:
        assert "sizes" not in file  # of masses of unknown size


def test_a_wanted_class_narrows_what_is_drawn(stored):
    assert {
        one.category.margin for one in MassGenerator(stored, margin="spiculated").draw(range(4)) for one in [one.recipe]
    } == {1}
    with pytest.raises(MassGeneratorError, match="--shape square: must be one of round, oval, irregular"):
        MassGenerator(stored, shape="square")
    with pytest.raises(
        MassGeneratorError, match="--shape oval, --margin spiculated: the generator has no labelled mass"
    ):
        MassGenerator(stored, shape="oval", margin="spiculated")


def test_an_unfinished_run_gives_its_moving_average(tiny_mass_run, tmp_path, monkeypatch):
    """The last checkpoint is that of the finished networks."""
    finished = load_networks(tiny_mass_run.path).decoder.get_weights()
    monkeypatch.setattr("feature2mass.handover.DECODER", "none.keras")
    save_masses(tiny_mass_run.path, tmp_path / "masses.h5")
    library, _, _ = read_mass_generator(tmp_path / "masses.h5")
    for weight, other in zip(library.decoder.get_weights(), finished, strict=True):
        np.testing.assert_allclose(weight, other, atol=np.abs(other).max() / 2000)


def test_an_unfinished_run_older_than_the_switches_gives_the_network_that_it_trains(tiny_mass_run, tmp_path):
    run = Path(shutil.copytree(tiny_mass_run.path, tmp_path / "run"))
    (run / "decoder.keras").unlink()
    config = json.loads((run / "config.json").read_text())
    for name in ("plain_ends", "activation_last"):
        del config["preset"]["network"][name]
    (run / "config.json").write_text(json.dumps(config))
    save_masses(run, tmp_path / "old.h5")
    save_masses(tiny_mass_run.path, tmp_path / "new.h5")
    decoders = [read_mass_generator(tmp_path / name)[0].decoder for name in ("old.h5", "new.h5")]
    for weight, other in zip(*(decoder.get_weights() for decoder in decoders), strict=True):
        np.testing.assert_allclose(weight, other, atol=np.abs(other).max() / 1000)


def test_networks_of_a_checkpoint_are_told_by_its_digest(tiny_mass_run):
    newest = checkpoints(tiny_mass_run.path)[0]
    assert _unfinished(tiny_mass_run.path).fingerprint == sha256(newest.read_bytes()).hexdigest()


def test_a_run_of_masses_is_told_from_others(tiny_mass_run, tmp_path):
    assert is_mass_run(tiny_mass_run.path) and not is_mass_run(tmp_path)


def cut_short(content: bytes) -> bytes:
    return content[:-5000]


def with_one_bit_changed(content: bytes) -> bytes:
    with h5py.File(io.BytesIO(content)) as file:
        place = file["means"].id.get_chunk_info(0).byte_offset + 100
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def without_a_label(content: bytes) -> bytes:
    changed = io.BytesIO(content)
    with h5py.File(changed, "r+") as file:
        labels = file["labels"][1:]
        del file["labels"]
        file.create_dataset("labels", data=labels).attrs["scale"] = 1
    return changed.getvalue()


def with_a_size_too_many(content: bytes) -> bytes:
    changed = io.BytesIO(content)
    with h5py.File(changed, "r+") as file:
        file.create_dataset("sizes", data=np.ones(len(file["labels"]) + 1)).attrs["scale"] = 1
    return changed.getvalue()


DAMAGES = [cut_short, with_one_bit_changed, without_a_label, with_a_size_too_many, lambda content: b""]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(stored, tmp_path, damage):
    file = tmp_path / "masses.h5"
    file.write_bytes(damage(stored.read_bytes()))
    with pytest.raises(MassGeneratorError, match=f"--run {file}: is no file that save_networks.py wrote"):
        MassGenerator(file)


def test_a_generator_in_a_file_takes_no_other_masses(stored, tiny_masses_dataset):
    with pytest.raises(MassGeneratorError, match="needs --run with the folder of a run"):
        MassGenerator(stored, tiny_masses_dataset.folder)
