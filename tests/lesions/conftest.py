"""Drawn mammograms with lesions, and drawn masses."""

import pytest
import tiny_lesions


@pytest.fixture(scope="session")
def mammograms(tmp_path_factory):
    return tiny_lesions.write_mammograms(tmp_path_factory.mktemp("lesions") / "mammograms")


@pytest.fixture(scope="session")
def masses(tmp_path_factory):
    return tiny_lesions.write_masses(tmp_path_factory.mktemp("lesions") / "masses")
