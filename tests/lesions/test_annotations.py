import json

import pytest
import tiny_lesions

from lesions.annotations import LESIONS_FILE, Annotation, by_item, read_annotations, write_annotations
from preprocessing.shards import DataError

TRIANGLE = ((1.0, 2.0), (5.5, 2.0), (3.25, 6.5))


def test_what_is_written_is_read_again(mammograms, tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data", lesions=False)
    lesions = [
        Annotation(3, (1, 2, 4.5, 4.5), "oval", "", TRIANGLE, True),
        Annotation(0, (0, 0, 9, 8), "", "spiculated"),
    ]
    write_annotations(dataset, lesions)
    assert read_annotations(dataset) == [lesions[1], lesions[0]]


def test_the_centre_and_the_longest_side_of_a_box():
    one = Annotation(0, (10, 20, 6, 4))
    assert one.centre == (13, 22) and one.longest_side == 6


def test_a_changed_file_is_refused(tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data")
    path = tmp_path / "data" / LESIONS_FILE
    path.write_text(path.read_text().replace("100.0", "101.0", 1))
    with pytest.raises(DataError, match="damaged"):
        read_annotations(dataset)


def test_lesions_of_other_images_are_refused(tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data")
    path = tmp_path / "data" / LESIONS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": "0" * 64}))
    with pytest.raises(DataError, match="other images"):
        read_annotations(dataset)


def test_a_dataset_without_lesions_says_so(tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data", lesions=False)
    with pytest.raises(DataError, match="no lesions are known"):
        read_annotations(dataset)


def test_a_lesion_of_no_item_is_refused(tmp_path):
    dataset = tiny_lesions.write_mammograms(tmp_path / "data", lesions=False)
    with pytest.raises(DataError, match="item 6"):
        write_annotations(dataset, [Annotation(6, (0, 0, 1, 1))])


def test_annotations_by_item():
    one, two = Annotation(0, (0, 0, 1, 1)), Annotation(2, (0, 0, 1, 1))
    assert by_item([two, one], 3) == [[one], [], [two]]
