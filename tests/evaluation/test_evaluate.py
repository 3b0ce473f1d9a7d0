"""The table of all metrics: what it says of good, bad, few and broken images."""

import numpy as np
import pytest
import tiny

from evaluation import image_set as samples
from evaluation.evaluate import evaluate
from evaluation.image_set import EvaluationError, Samples, same_size
from evaluation.intervals import Estimate
from evaluation.metrics.catalogue import catalogue, present_names, suitable
from preprocessing.mammograms.item import mammogram_item
from preprocessing.shards import DatasetWriter

OF_MASKS = {"variation_per_mask", "detail_correlation_per_mask", "mask_iou_film", "leakage"}
JUDGED = {"memorisation_texture", "realism_auc_cnn", "labels_read_cnn", "labels_learned_cnn"}


def textures(count: int, seed: int, contrast: float = 0.1) -> np.ndarray:
    """White noise on random grey, 64×64."""
    rng = np.random.default_rng(seed)
    grey = rng.uniform(0.4, 0.6, (count, 1, 1))
    return np.clip(grey + contrast * rng.standard_normal((count, 64, 64)), 0, 1)


@pytest.fixture(scope="module")
def real() -> Samples:
    return Samples(textures(128, 0), name="real")


def test_images_of_the_same_kind_are_as_real(real):
    found = evaluate(real, Samples(textures(64, 1)))
    assert [row.name for row in found.rows if row.verdict != "as real"] == []
    assert {row.name.split()[0] for row in found.rows} == set(catalogue()) - OF_MASKS - JUDGED


def test_flat_images_differ_wherever_texture_is_looked_at(real):
    found = evaluate(
        real,
        Samples(textures(64, 1, contrast=0.05)),
        ["swd_7x7", "fine_energy_64px", "fid_radiomic_z", "kid_radiomic_z", "precision_k3_radiomic_z"],
    )
    same = [row.name for row in found.rows if row.verdict != "differs"]
    assert same == ["swd_7x7 16x16"]  # where averages over 4×4 pixels have left little of the noise
    fine = found.row("fine_energy_64px")
    assert fine.generated.value == pytest.approx(fine.real.value / 4, rel=0.05)


def test_the_chunk_makes_no_difference(real, monkeypatch):
    some = real.subset(np.arange(40))
    fake = Samples(textures(20, 2))
    metrics = ["beta_64px", "histogram_w1_64bins", "kid_radiomic_z", "swd_7x7"]
    before = [row.generated for row in evaluate(some, fake, metrics).rows]
    monkeypatch.setattr(samples, "CHUNK", 7)
    assert [row.generated for row in evaluate(some, fake, metrics).rows] == before


def test_a_metric_with_too_few_images_says_so_and_the_others_go_on(real):
    found = evaluate(real.subset(np.arange(20)), Samples(textures(10, 1)), ["fid_radiomic_z", "kid_radiomic_z"])
    assert "needs at least 128 real images (two halves) and 64 generated ones; there are 20 and 10" in (
        found.row("fid_radiomic_z").problem
    )
    assert found.row("kid_radiomic_z").generated is not None


def test_texture_of_small_images_says_which_size_it_needs():
    found = evaluate(
        Samples(np.random.default_rng(0).random((9, 32, 16))), Samples(np.ones((9, 32, 16))), ["beta_64px"]
    )
    assert "at least 64x64 pixels, these are 32x16" in found.rows[0].problem


def test_films_of_a_patient_count_as_one(real):
    """Four copies of each image: every interval of the real set is wider than that of as many patients."""
    some = real.read(np.arange(16))[0]
    four = Samples(np.repeat(some, 4, axis=0), subjects=np.repeat(np.arange(16), 4))
    alone = Samples(np.repeat(some, 4, axis=0))
    fake = Samples(textures(32, 1))
    found, wrong = (evaluate(of, fake, ["fine_energy_64px", "histogram_w1_64bins"]).rows for of in (four, alone))
    for ours, theirs in zip(found, wrong):
        assert ours.real.high - ours.real.low > 1.3 * (theirs.real.high - theirs.real.low), ours.name


def test_masks_are_used_where_there_are_some(tiny_dataset):
    real = Samples.of_dataset(tiny_dataset)
    assert set(suitable(catalogue(), real, real)) == set(catalogue()) - JUDGED | {"memorisation_texture"}
    found = evaluate(real, real, ["leakage"])
    assert found.row("leakage").generated.value == 0


def test_a_dataset_is_read_as_an_array_would_be(tiny_dataset):
    of_dataset = Samples.of_dataset(tiny_dataset, (16, 8), "validation")
    images, masks = tiny_dataset.read((16, 8), tiny_dataset.indices("validation"))
    assert of_dataset.read(range(3))[0] == pytest.approx(images[:3] / 65535)
    assert (of_dataset.read(range(3))[1] == masks[:3].astype(bool)).all()
    assert (len(of_dataset), of_dataset.size) == (tiny.IMAGES // 5, (16, 8))


# --- what it refuses ----------------------------------------------------------------------------


def test_different_sizes_are_named():
    with pytest.raises(EvaluationError, match="A has images of 64x32 and B of 32x16"):
        same_size(Samples(np.zeros((1, 64, 32)), name="A"), Samples(np.zeros((1, 32, 16)), name="B"))


def test_an_image_with_nan_is_named(real):
    broken = textures(40, 1)
    broken[33, 5, 5] = np.nan
    with pytest.raises(EvaluationError, match="fakes: image 33 holds NaN"):
        evaluate(real, Samples(broken, name="fakes"), ["histogram_w1_64bins"])


def test_pixels_outside_0_and_1_are_refused(real):
    with pytest.raises(EvaluationError, match=r"must lie in \[0, 1\], found 0 to 255"):
        evaluate(real, Samples(np.full((40, 64, 64), 255.0) * np.eye(64)), ["histogram_w1_64bins"])


def test_an_unknown_metric_is_named(real):
    with pytest.raises(EvaluationError, match="unknown metric 'inception'"):
        evaluate(real, real, ["inception"])


def test_masks_that_are_not_there_are_named(real):
    with pytest.raises(EvaluationError, match="'mask_iou_film': needs masks"):
        evaluate(real, real, ["mask_iou_film"])


def test_an_empty_set_is_named(real):
    with pytest.raises(EvaluationError, match="nothing: holds no images"):
        evaluate(real, Samples(np.zeros((0, 64, 64)), name="nothing"))


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(EvaluationError, match=r"received shape \(3, 64, 64, 1\)"):
        Samples(np.zeros((3, 64, 64, 1)))


def test_masks_too_narrow_for_a_patch_of_texture_are_said_to_be():
    rng = np.random.default_rng(0)
    masks = np.zeros((4, 128, 64), bool)
    masks[:, :, :40] = True
    sets = [Samples(rng.random((4, 128, 64)), masks) for _ in range(2)]
    for row in evaluate(*sets, ["beta_64px", "fine_energy_64px"]).rows:
        assert row.problem == "no patch of texture fits into any of the masks; compare at a finer level"


# --- numbers that are none ----------------------------------------------------------------------


def broken_features(images, masks):
    features = np.random.default_rng(len(images)).random((len(images), 3))
    features[0, 1] = np.nan
    return features


def test_features_that_are_not_finite_are_no_score(real):
    """Not even the best one: a distance of 0 is what a NaN becomes by way of max(0, NaN)."""
    names = [f"{kind}_broken_z" for kind in ("fid", "kid", "precision_k3", "recall_k3", "density_k3", "coverage_k3")]
    found = evaluate(real, real, names, extractor=broken_features, extractor_name="broken")
    assert [row.name for row in found.rows] == names
    for row in found.rows:
        assert row.generated is None and "NaN or infinite" in row.problem


# --- names --------------------------------------------------------------------------------------


def test_a_name_carries_the_extractor():
    names = catalogue(broken_features, "My Net.v2")
    assert "fid_My-Net-v2_z" in names and not [name for name in names if "radiomic" in name]


def test_former_names_stand_for_the_present_ones():
    found, replaced = present_names(["fid", "privacy", "leakage", "labels"], catalogue())
    labels = ["labels_read_cnn", "labels_learned_cnn"]
    assert found == ["fid_radiomic_z", "memorisation_texture", "leakage", *labels]
    assert replaced == {"fid": ["fid_radiomic_z"], "privacy": ["memorisation_texture"], "labels": labels}
    assert present_names(["precision"], catalogue())[0] == ["precision_k3_radiomic_z"]


def test_what_evaluations_share_changes_nothing(real):
    some, fakes, shared = real.subset(np.arange(40)), [Samples(textures(20, seed)) for seed in (2, 3)], {}
    metrics = ["swd_7x7", "kid_radiomic_z", "fine_energy_64px"]
    together = [evaluate(some, fake, metrics, shared=shared).rows for fake in fakes]
    assert together == [evaluate(some, fake, metrics).rows for fake in fakes]


def test_realism_compares_generated_with_real_and_halves_of_real_with_each_other(real, monkeypatch):
    """Generated images are of nobody among the real ones, so that no fold knows them."""
    from evaluation.metrics import realism

    asked = []

    def judged(first: Samples, second: Samples, *, seed: int) -> Estimate:
        asked.append((len(first), len(second), not set(first.subjects) & set(second.subjects)))
        return Estimate(0.9, 0.8, 1.0, len(first) + len(second))

    monkeypatch.setattr(realism, "real_or_generated", judged)
    (row,) = evaluate(real, Samples(textures(30, 1)), ["realism_auc_cnn"]).rows
    assert asked == [(128, 30, True), (64, 64, True)]
    assert row.generated.count == 158 and row.wanted == "low"


@pytest.mark.parametrize("four", [False, True])
def test_realism_counts_a_generated_image_as_of_the_patient_whose_mask_it_fills(
    tiny_dataset, tmp_path, monkeypatch, four
):
    from evaluation.metrics import realism

    masks = tiny_dataset.indices("validation")
    made = {"by": "generate_mammograms", **({"study_of_four": True} if four else {})}
    level, numbers = tiny_dataset.levels[-1], range(4)
    writer = DatasetWriter(tmp_path, count=4, made=made, work=tiny_dataset.fingerprint, levels=[level], synthetic=True)
    subject = "study{:011d}" if four else "mask{:010d}"
    images = np.zeros(level, np.float32), np.ones(level, bool)
    writer.write(0, [mammogram_item(*images, subject=subject.format(number)) for number in numbers])
    patients = tiny_dataset.field("subject")[masks]
    if four:
        monkeypatch.setattr(realism.MaskSource, "studies", lambda self: [(number, 0, 0, 0) for number in (3, 1, 2)])
        patients = patients[[3, 1, 2, 3]]
    asked = []
    monkeypatch.setattr(
        realism, "real_or_generated", lambda *sets, seed: asked.append(sets) or Estimate(0.9, 0.8, 1.0, 9)
    )
    evaluate(Samples.of_dataset(tiny_dataset), Samples.of_dataset(writer.finish(), level), ["realism_auc_cnn"])
    real, fake = asked[0]
    number = dict(zip(tiny_dataset.field("subject"), real.subjects))
    assert len(set(number.values())) == len(number)
    assert fake.subjects.tolist() == [number[patient] for patient in patients[:4]]


def test_a_value_that_is_not_finite_is_a_problem_of_its_row(real, monkeypatch):
    from evaluation.metrics import realism

    monkeypatch.setattr(realism, "real_or_generated", lambda *sets, seed: Estimate(float("nan"), 0.0, 1.0, 9))
    (row,) = evaluate(real, real, ["realism_auc_cnn"]).rows
    assert row.generated is None and "is not finite" in row.problem
