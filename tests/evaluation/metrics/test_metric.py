"""The difference of two halves of the real images: there, or not there, and never NaN."""

import numpy as np
import pytest

from evaluation.image_set import Samples
from evaluation.metrics.metric import AS_REAL, Metric, Sets, mean_row


def apart(of_real: list[float], subjects: list[int]) -> float | None:
    real = Samples(np.zeros((len(of_real), 8, 8)), subjects=np.array(subjects))
    fake = Samples(np.zeros((4, 8, 8)))
    sets = Sets(real, fake, {"number": (np.array(of_real), np.ones(4))}, 0, {})
    return mean_row(Metric("m", "m", AS_REAL, lambda metric, sets: []), sets, "number").halves


@pytest.mark.filterwarnings("error")
def test_a_half_in_which_nothing_can_be_measured_has_no_difference():
    """Of three patients the one with most images is a half of its own, and none of these can be measured."""
    known, unknown = apart([1, 1, 3, 3], [0, 0, 1, 1]), apart([1, 3] + 8 * [np.nan], [0, 1] + 8 * [2])
    assert known == 2 and unknown is None
