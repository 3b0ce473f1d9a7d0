import pytest
import tiny_lesions

from lesions.remarks import remarks_on


def test_masses_of_unknown_patients_are_remarked_on(mammograms, masses):
    (said,) = remarks_on(mammograms.folder, masses.folder, "train", "h5")
    assert f"--masses {masses.folder}: has no patient of --mammograms" in said and "--key" in said


@pytest.mark.parametrize("donors", [None, "phantoms"])
def test_masses_of_nobody_are_not(mammograms, donors):
    assert remarks_on(mammograms.folder, donors, "train", "h5") == []


def test_nor_are_masses_of_the_same_patients(mammograms):
    assert remarks_on(mammograms.folder, mammograms.folder, "train", "h5") == []


def test_yolo_of_both_splits_needs_no_remark(tmp_path):
    both = tiny_lesions.write_mammograms(tmp_path / "both", split=0.5).folder
    assert remarks_on(both, both, "all", "yolo") == []
    assert "--split all makes a validation set" in remarks_on(both, both, "train", "yolo")[0]
