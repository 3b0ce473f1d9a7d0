import numpy as np
import pytest
import tiny_lesions

from lesions.inserter import open_inserter
from lesions.masses import PhantomMasses, mass_source, patch_of
from preprocessing.shards import DataError


def test_a_lesion_of_a_mammogram_is_cut_out_at_its_own_scale(mammograms):
    patch = mass_source(mammograms).patch(0)
    x, y, width, height = patch.box
    assert (width, height) == tiny_lesions.LESION[2:] and patch.size == 30
    image = mammograms.read_array("image", (512, 256), [0])[0] / 65535
    left, top = round(tiny_lesions.LESION[0] - x), round(tiny_lesions.LESION[1] - y)
    size = len(patch.image)
    assert np.allclose(patch.image, image[top : top + size, left : left + size], atol=1e-4)
    assert patch.subject == "patient00" and (patch.shape, patch.margin) == ("oval", "circumscribed")


def test_its_outline_is_found(mammograms):
    patch = mass_source(mammograms).patch(0)
    left, top = (round(a - b) for a, b in zip(tiny_lesions.LESION[:2], patch.box[:2]))
    truth = tiny_lesions.lesion_disc()[top : top + len(patch.image), left : left + len(patch.image)]
    assert (patch.outline & truth).sum() / (patch.outline | truth).sum() > 0.85


def test_a_mass_of_a_dataset_has_the_brightness_that_it_had(masses):
    patch = mass_source(masses).patch(1)
    assert patch.image.mean() == pytest.approx(0.45, abs=0.05) and patch.size is None
    assert (patch.shape, patch.margin) == ("oval", "circumscribed")


def test_a_mass_of_known_size_is_inserted_at_it(mammograms, tmp_path):
    masses = tiny_lesions.write_masses(tmp_path / "masses", size=23.0)
    inserter = open_inserter(mammograms.folder, masses.folder)
    sizes = [found.longest_side for n in range(6) for found in inserter.image(n).annotations if found.synthetic]
    assert len(sizes) >= 6 and sizes == pytest.approx([23.0] * len(sizes), rel=0.05)


def test_a_known_outline_is_taken_and_an_unknown_one_found(masses):
    truth = masses.read_array("lesion", (64, 64), [1])[0] > 0
    known, found = (mass_source(masses).patch(number).outline for number in (1, 0))
    assert (known == truth).all()
    assert (found & truth).sum() / (found | truth).sum() > 0.85


def test_masses_of_a_shape(masses):
    source = mass_source(masses)
    assert source.matching("oval").tolist() == [1, 5]
    with pytest.raises(DataError, match="oval spiculated"):
        source.matching("oval", "spiculated")
    with pytest.raises(DataError, match="--shape ovl"):
        source.matching("ovl")


def test_mammograms_without_lesions_hold_no_masses(tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data", lesions=False)
    with pytest.raises(DataError, match="without known lesions"):
        mass_source(dataset)


def test_a_split_without_masses_is_told(masses):
    with pytest.raises(DataError, match="no masses of the split validation"):
        mass_source(masses, "validation")


def test_phantoms_have_every_label_and_a_true_outline():
    source = PhantomMasses()
    numbers = source.matching("irregular", "spiculated")
    patch = source.patch(int(numbers[0]))
    assert (patch.shape, patch.margin, patch.calibrated) == ("irregular", "spiculated", False)
    assert patch.outline.any() and patch.longest_side == pytest.approx(64 / 1.5, rel=0.1)


@pytest.mark.parametrize("synthetic", [False, True])
def test_half_dark_surroundings_of_a_generated_mass_are_no_breast(synthetic):
    image = tiny_lesions.tissue(0, (64, 64)).astype(np.float32)
    image[:8] *= 0.4  # the skin of some of the masses that were mixed
    patch = patch_of(image, np.zeros((64, 64), bool), 1.5, synthetic=synthetic)
    assert patch.valid[:4].all() != synthetic and patch.valid[16:].all()


def test_a_mass_upside_down(masses):
    patch = mass_source(masses).patch(1)
    twice = patch.mirrored().mirrored()
    assert (patch.mirrored().image == patch.image[::-1]).all() and twice.box == pytest.approx(patch.box)
