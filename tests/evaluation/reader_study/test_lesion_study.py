"""Which images a study with lesions shows: no patient twice, nor a lesion both in its own breast and in another."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_lesions

from evaluation.image_set import EvaluationError
from evaluation.reader_study.key import GENUINE, INSERTED, NORMAL
from evaluation.reader_study.lesion_study import Source, _donors, drawn
from lesions.generate import insert_lesions
from preprocessing.shards import open_dataset


def source(patients: list[str], donors: dict[int, set[str]] | None = None) -> Source:
    dataset = SimpleNamespace(field=lambda name: np.array(patients), folder="data")
    return Source("--flag", dataset, [], np.arange(len(patients)), donors or {})


@pytest.mark.parametrize("inserted", [["h0", "h1"], ["h0", "h1", "h1", "h2"]])
@pytest.mark.parametrize("seed", range(10))
def test_no_lesion_is_shown_where_it_was_and_where_it_was_inserted(inserted, seed):
    """Whichever kind is drawn first. The lesion of "a", whose other image is of her too, is in all but one image."""
    donors = {item: {"a"} for item in range(len(inserted) - 1)}
    sources = {
        GENUINE: source(["a", "a", "b"]),
        INSERTED: source(inserted, donors),
        NORMAL: source(["n0", "n1", "n2", "n3", "n4"]),
    }
    chosen = drawn(sources, 1, seed)
    assert not (chosen[GENUINE][0] in (0, 1) and chosen[INSERTED][0] in donors)


def test_too_few_images_without_the_lesions_of_others_are_told():
    sources = {GENUINE: source(["a"]), INSERTED: source(["h", "i"], {0: {"a"}, 1: {"a"}}), NORMAL: source(["n"])}
    with pytest.raises(EvaluationError, match="has inserted images of 0 patients not yet in the study"):
        drawn(sources, 1, 0)


def test_the_patients_of_inserted_lesions_are_found_in_the_manifest(tmp_path):
    genuine = tiny_lesions.write_mammograms(tmp_path / "genuine")
    hosts = tiny_lesions.write_mammograms(tmp_path / "hosts", lesions=False)
    insert_lesions(hosts.folder, genuine.folder, tmp_path / "inserted", split="all")
    inserted = open_dataset(tmp_path / "inserted")
    found = _donors(Source("--inserted", inserted, [], np.arange(inserted.count)), genuine)
    with open(tmp_path / "inserted" / "manifest.csv") as file:
        masses = {int(row["image"].split()[1]): int(row["mass"].split()[3]) for row in csv.DictReader(file)}
    assert masses and found == {image: {f"patient{item:02d}"} for image, item in masses.items()}
    unlike = SimpleNamespace(fingerprint="another", count=genuine.count, field=genuine.field)
    assert not _donors(Source("--inserted", inserted, [], np.arange(inserted.count)), unlike)
