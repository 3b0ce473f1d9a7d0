"""New masses, and the files that they are written to."""

import csv
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_masses

from feature2mass.generate import generate
from feature2mass.handover import save_masses
from feature2mass.library import read_mass_generator
from feature2mass.mixing import load_networks
from feature2mass.seeds import MIRRORS
from generation.masses import write_masses
from lesions.masses import mass_source
from preprocessing.batches import mass_batches
from preprocessing.masses.rois import read_rois
from preprocessing.shards import DataError, open_dataset

# --- masses ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(tiny_mass_run):
    return generate(tiny_mass_run.path, 9, seed=3)


def test_masses_are_64_by_64_in_the_unit_interval(generated):
    masses, _ = generated
    assert masses.shape == (9, 64, 64) and masses.dtype == np.float32
    assert masses.min() >= 0 and masses.max() <= 1


def test_another_seed_gives_other_masses(generated, tiny_mass_run):
    assert not np.array_equal(generate(tiny_mass_run.path, 9, seed=4)[0], generated[0])


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory, tiny_mass_run):
    return open_dataset(write_masses(tiny_mass_run.path, tmp_path_factory.mktemp("synthetic") / "shards", 9, seed=3))


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
    write_masses(tiny_mass_run.path, shards.folder, 9, seed=3)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(shards.folder.iterdir())] == before


@pytest.mark.parametrize("changes", [{"seed": 4}, {"shape": "round"}, {"count": 10}])
def test_shards_made_otherwise_are_not_taken_for_these(shards, tiny_mass_run, changes):
    settings = {"count": 9, "seed": 3, **changes}
    with pytest.raises(DataError, match=str(shards.folder)):
        write_masses(tiny_mass_run.path, shards.folder, **settings)


def test_png_files_hold_the_masses_and_can_be_cut_as_rois(tmp_path, tiny_mass_run, generated):
    write_masses(tiny_mass_run.path, tmp_path, 9, seed=3, file_format="png")
    for number, mass in enumerate(generated[0]):
        pixels = cv2.imread(str(tmp_path / f"{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels / 65535, mass, atol=1e-4)
    lesions = read_rois(tmp_path / "manifest.csv", tmp_path)
    assert len(lesions) == 9 and not any(lesion.unusable for lesion in lesions)


@pytest.mark.parametrize("file_format", ["h5", "png"])
def test_the_progress_bar_ends_at_the_count(tmp_path, tiny_mass_run, monkeypatch, file_format):
    totals, ticks = [], []

    @contextmanager
    def progress(title, total):
        totals.append(total)
        yield lambda count=1: ticks.append(count)

    monkeypatch.setattr("generation.writers.progress", progress)
    write_masses(tiny_mass_run.path, tmp_path, 5, file_format=file_format)
    assert totals == [5] and sum(ticks) == 5


@pytest.mark.parametrize("file_format", ["h5", "png"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_mass_run, file_format):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=f"{tmp_path / 'file'}.* cannot be written"):
        write_masses(tiny_mass_run.path, tmp_path / "file" / "output", 1, file_format=file_format)


@pytest.mark.parametrize("file_format", ["dicom", "tiff"])
def test_another_format_is_refused_and_nothing_is_written(tmp_path, tiny_mass_run, file_format):
    with pytest.raises(DataError, match=f"--format {file_format}: must be h5 or png"):
        write_masses(tiny_mass_run.path, tmp_path / "output", 1, file_format=file_format)
    assert not (tmp_path / "output").exists()


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    from tiny_masses import write_dataset

    return write_dataset(tmp_path_factory.mktemp("sized") / "seeds", sized=True)


def test_new_masses_have_the_size_of_what_they_were_mixed_from(tiny_mass_run, sized, tmp_path):
    dataset = open_dataset(write_masses(tiny_mass_run.path, tmp_path / "new", 9, data=sized.folder))
    _, recipes = generate(tiny_mass_run.path, 9, data=sized.folder)
    assert dataset.field("size").tolist() == pytest.approx([one.size for one in recipes])
    rows = manifest(dataset.folder)
    assert [float(row["size"]) for row in rows] == pytest.approx([one.size for one in recipes], abs=0.005)


def test_png_files_of_known_size_come_back_with_it(tiny_mass_run, sized, tmp_path):
    write_masses(tiny_mass_run.path, tmp_path, 2, file_format="png", data=sized.folder)
    lesions = read_rois(tmp_path / "manifest.csv", tmp_path)
    assert [lesion.size for lesion in lesions] == [float(row["size"]) for row in manifest(tmp_path)]


def test_of_masses_of_unknown_size_nothing_is_said(shards):
    assert np.isnan(shards.field("size")).all() and "size" not in manifest(shards.folder)[0]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, tiny_mass_run):
    folder = tmp_path_factory.mktemp("stored")
    seeds = tiny_masses.write_dataset(folder / "seeds", made={"context": 2.0})
    save_masses(tiny_mass_run.path, folder / "masses.h5", seeds.folder)
    return folder / "masses.h5", seeds.folder


def test_seeds_are_items_of_the_dataset_where_a_file_is_mixed_from(stored, tiny_mass_run, tmp_path):
    file, seeds = stored
    of_file = manifest(write_masses(file, tmp_path / "file", 6))
    of_run = manifest(write_masses(tiny_mass_run.path, tmp_path / "run", 6, data=seeds))
    assert [row["seeds"] for row in of_file] == [row["seeds"] for row in of_run]


def test_seeds_whose_items_are_not_known_are_called_places_in_the_file(tmp_path):
    (row,) = manifest(write_masses(None, tmp_path / "new", 1))
    assert "seeds" not in row and all(place.isdigit() for place in row["seeds_in_file"].split(";"))


@pytest.mark.parametrize("from_file", [False, True])
def test_outlines_are_sought_by_the_context_of_what_was_mixed(stored, tiny_mass_run, tmp_path, monkeypatch, from_file):
    run, data = (stored[0], None) if from_file else (tiny_mass_run.path, stored[1])
    folder = write_masses(run, tmp_path / "new", 1, data=data)
    used = []
    monkeypatch.setattr("lesions.masses.patch_of", lambda image, outline, context, **known: used.append(context))
    mass_source(open_dataset(folder)).patch(0)
    assert used == [2.0]


@pytest.mark.parametrize(("by", "calibrated"), [("prepare_masses", True), ("make_phantoms", False)])
def test_masses_of_original_contrast_keep_their_brightness_but_not_phantoms(tmp_path, tiny_mass_run, by, calibrated):
    seeds = tiny_masses.write_dataset(tmp_path / "seeds", made={"by": by})
    save_masses(tiny_mass_run.path, tmp_path / "masses.h5", seeds.folder)
    assert read_mass_generator(tmp_path / "masses.h5")[0].calibrated == calibrated
    written = write_masses(tiny_mass_run.path, tmp_path / "new", 1, data=seeds.folder)
    patch = mass_source(open_dataset(written)).patch(0)
    assert patch.calibrated == calibrated


def test_the_included_generator_makes_masses_of_a_wanted_kind(tmp_path):
    dataset = open_dataset(write_masses(None, tmp_path / "new", 3, shape="irregular", margin="spiculated"))
    assert {dataset.classes("shape")[n] for n in dataset.field("shape")} == {"irregular"}
    assert {dataset.classes("margin")[n] for n in dataset.field("margin")} == {"spiculated"}
    images = dataset.images((64, 64), range(3))
    middle, border = images[:, 24:40, 24:40].mean(axis=(1, 2)), images[:, :4].mean(axis=(1, 2))
    assert (middle > border + 0.1).all()  # a bright mass in darker surroundings
