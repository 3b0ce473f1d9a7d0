"""Whether images may show patients: what made them says it, not whether they are called synthetic."""

import pytest

from preprocessing.shards import shows_patients


@pytest.mark.parametrize(
    "made, patients",
    [
        ({"by": "make_phantoms"}, False),
        ({"by": "generate_mammograms"}, False),
        ({"by": "generate_masses"}, False),
        ({"by": "prepare_mammograms"}, True),
        ({"by": "insert_lesions"}, True),
        ({"by": "insert_lesions", "shows_patients": True}, True),
        ({"by": "insert_lesions", "shows_patients": False}, False),
        ({}, True),
    ],
)
def test_only_what_draws_or_generates_images_shows_no_patient(made, patients):
    assert shows_patients({"made": made, "synthetic": True}) is patients
