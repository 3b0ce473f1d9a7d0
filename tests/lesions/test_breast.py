import numpy as np
import pytest

from lesions.breast import Breast


def rectangle() -> Breast:
    """Rows 2 to 11, columns 0 to 5 of 16×8."""
    mask = np.zeros((16, 8), bool)
    mask[2:12, :6] = True
    return Breast(mask)


def test_a_place_is_a_share_of_the_breast():
    assert rectangle().place(3, 7) == (0.5, 0.5)
    assert rectangle().place(0, 2) == (0, 0)
    assert rectangle().place(6, 12) == (1, 1)


def test_a_place_and_its_pixel_are_each_others_inverse():
    y, x = np.mgrid[:40, :20]
    breast = Breast(((y - 20) / 18) ** 2 + (x / 15) ** 2 < 1)
    for pixel in ((3.5, 10.25), (7.0, 30.0), (0.5, 20.5)):
        assert np.allclose(breast.pixel(*breast.place(*pixel)), pixel)


def test_an_empty_mask_is_no_breast():
    with pytest.raises(ValueError, match="empty"):
        Breast(np.zeros((4, 4), bool))
