import numpy as np

from lesions.smooth import bands, blurred_within, distance_to, membrane, spread


def test_a_membrane_keeps_what_is_known():
    rng = np.random.default_rng(0)
    values, known = rng.random((20, 30)).astype(np.float32), rng.random((20, 30)) < 0.3
    assert np.allclose(membrane(values, known)[known], values[known], atol=1e-6)


def test_a_membrane_over_one_value_is_flat():
    known = np.zeros((33, 17), bool)
    known[0], known[-1] = True, True
    assert np.allclose(membrane(np.full((33, 17), 0.7, np.float32), known), 0.7, atol=1e-5)


def test_a_membrane_stays_between_what_is_known():
    known = np.zeros((32, 32), bool)
    known[:, 0], known[:, -1] = True, True
    values = np.where(np.arange(32) < 16, 1.0, 2.0) * np.ones((32, 1))
    filled = membrane(values, known)
    assert filled.min() >= 1 - 1e-5 and filled.max() <= 2 + 1e-5
    assert (np.diff(filled[16]) >= -1e-5).all()


def test_bands_add_up_to_the_image():
    image = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    assert np.allclose(sum(bands(image)), image, atol=1e-6)


def test_fine_structure_is_in_the_first_band():
    checks = np.indices((32, 32)).sum(axis=0) % 2 - 0.5
    inside = np.zeros((32, 32), bool)
    inside[8:-8, 8:-8] = True
    strengths = [spread(band, inside) for band in bands(checks.astype(np.float32))]
    assert strengths[0] > 0.9 * spread(checks, inside) and max(strengths[1:]) < 0.1


def test_a_blur_within_a_region_takes_nothing_from_outside():
    region = np.zeros((20, 20), bool)
    region[:, :10] = True
    image = np.where(region, 0.5, 9.0)
    assert np.allclose(blurred_within(image, region, 2.0)[:, :10], 0.5, atol=1e-5)


def test_distances_are_exact():
    region = np.zeros((5, 6), bool)
    region[1, 1] = True
    distance = distance_to(region)
    assert distance[1, 1] == 0 and distance[1, 5] == 4
    assert distance[4, 5] == 5 and distance[2, 2] == np.sqrt(np.float32(2))
