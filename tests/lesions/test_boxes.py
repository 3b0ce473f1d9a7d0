import csv

import cv2
import numpy as np
import pytest

from lesions.annotations import read_annotations
from lesions.boxes import Frame, add_boxes, clipped, frame_of
from preprocessing.mammograms.breast_mask import find_breast
from preprocessing.mammograms.convert import convert_mammograms
from preprocessing.mammograms.standardise import orient, standardise
from preprocessing.masses.rois import ROI_COLUMNS
from preprocessing.shards import DataError

BOX = (150, 300, 40, 24)  # x, y, width, height on the film, of a bright rectangle


def film(*, chest_wall_right: bool, height: int = 700, width: int = 420) -> np.ndarray:
    """A breast with a bright rectangle at `BOX`, float (height, width)."""
    y, x = np.mgrid[:height, :width]
    depth = width - 1 - x if chest_wall_right else x
    breast = ((y - height / 2) / (0.45 * height)) ** 2 + (depth / (0.8 * width)) ** 2 < 1
    pixels = np.where(breast, 0.4, 0.02) + 0.01 * np.random.default_rng(0).random((height, width))
    x, y, width, height = BOX
    pixels[y : y + height, x : x + width] = 0.95
    return pixels.astype(np.float32)


def write_boxes(path, *rows) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([ROI_COLUMNS, *rows])


def brightness_in(dataset, lesion) -> float:
    """The least brightness inside a lesion's box, which is one bright rectangle."""
    image = dataset.read_array("image", (512, 256), [lesion.item])[0] / 65535
    x, y, width, height = (round(value) for value in lesion.box)
    return image[y + 1 : y + height - 1, x + 1 : x + width - 1].min()


def test_a_box_is_mirrored_cut_padded_and_scaled():
    frame = Frame(mirrored=True, width=100, left=5, above=20, scale=(2.0, 0.5))
    assert frame.box((60, 10, 30, 8)) == ((100 - 60 - 30 - 5) * 0.5, (10 + 20) * 2.0, 15.0, 16.0)


@pytest.mark.parametrize("chest_wall_right", [False, True])
def test_a_box_lies_where_its_lesion_lies(chest_wall_right):
    pixels = film(chest_wall_right=chest_wall_right)
    image, _ = standardise(*orient(pixels, find_breast(pixels))[:2])
    bright = np.argwhere(image > 0.7)
    (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0) + 1
    frame = frame_of(*orient(pixels, find_breast(pixels)), (512, 256))
    assert frame.mirrored == chest_wall_right
    x, y, width, height = frame.box(BOX)
    assert np.allclose((x, y, x + width, y + height), (left, top, right, bottom), atol=1.0)


def test_boxes_follow_a_given_mask_that_differs_from_the_breast_that_would_be_found(tmp_path):
    pixels = film(chest_wall_right=False)
    given = find_breast(pixels).copy()
    given[:, :60] = False  # a strip at the chest wall that the user leaves out
    for folder, image in (("films", pixels), ("masks", given)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), np.round(image * 255).astype(np.uint8))
    given = {"masks": tmp_path / "masks"}
    dataset = convert_mammograms([tmp_path / "films"], tmp_path / "data", workers=1, **given).dataset
    write_boxes(tmp_path / "boxes.csv", ("a.png", *BOX, "OVAL", "", "P"))
    add_boxes(dataset, tmp_path / "boxes.csv", [tmp_path / "films"], **given)
    assert brightness_in(dataset, read_annotations(dataset)[0]) > 0.9


def test_films_are_found_from_another_folder_than_the_dataset_was_made_in(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    pixels = film(chest_wall_right=False)
    cv2.imwrite(str(tmp_path / "films" / "a.png"), np.round(pixels * 255).astype(np.uint8))
    write_boxes(tmp_path / "boxes.csv", ("a.png", *BOX, "OVAL", "", "P"))
    monkeypatch.chdir(tmp_path)
    dataset = convert_mammograms(["films"], tmp_path / "data", workers=1).dataset
    monkeypatch.chdir(tmp_path / "films")
    assert len(add_boxes(dataset, tmp_path / "boxes.csv", ["../films"]).annotations) == 1


def test_two_films_of_one_name_keep_their_own_boxes(tmp_path):
    for folder, right in (("p1", False), ("p2", True)):
        (tmp_path / "films" / folder).mkdir(parents=True)
        pixels = film(chest_wall_right=right)
        cv2.imwrite(str(tmp_path / "films" / folder / "1-1.png"), np.round(pixels * 255).astype(np.uint8))
    dataset = convert_mammograms([tmp_path / "films"], tmp_path / "data", workers=1).dataset
    rows = [(name, *BOX, "OVAL", "", "P") for name in ("p1/1-1.png", "p2/1-1.png", "1-1.png")]
    write_boxes(tmp_path / "boxes.csv", *rows)
    done = add_boxes(dataset, tmp_path / "boxes.csv", [tmp_path / "films"])
    assert [one.item for one in done.annotations] == [0, 1]
    assert all(brightness_in(dataset, one) > 0.9 for one in done.annotations)
    assert done.rejected == [(2, "fits 2 films of one name; write its path below --input")]


def test_what_leaves_the_image_is_cut_off():
    assert clipped((-4, 500, 10, 20), (512, 256)) == (0, 500, 6, 12)


def test_boxes_of_films_become_lesions_of_the_dataset(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for name, right in (("a", False), ("b", True)):
        cv2.imwrite(str(films / f"{name}.png"), np.round(film(chest_wall_right=right) * 255).astype(np.uint8))
    dataset = convert_mammograms([films], tmp_path / "data", workers=1).dataset
    rows = [
        ("b.png", *BOX, "OVAL", "CIRCUMSCRIBED", "P"),
        ("a.png", *BOX, "IRREGULAR-LOBULATED", "", "P"),
        ("c.png", *BOX, "OVAL", "", "P"),
        ("a.png", "", 1, 2, 3, "", "", "P"),
        ("a.png", 150, "nan", 40, 24, "", "", "P"),
        ("a.png", 150, 300, "inf", 24, "", "", "P"),
        ("b.png", *BOX, "OVAL", "CIRCUMSCRIBED", "P"),
    ]
    write_boxes(tmp_path / "boxes.csv", *rows)
    done = add_boxes(dataset, tmp_path / "boxes.csv", [films])
    assert [number for number, _ in done.rejected] == [2, 3, 4, 5, 6]
    assert all(reason.startswith("box without numbers") for _, reason in done.rejected[1:-1])
    assert done.rejected[-1][1] == "the same as row 1"
    first, second = read_annotations(dataset)
    assert (first.item, first.shape, second.item, second.shape) == (0, "", 1, "oval")
    assert brightness_in(dataset, second) > 0.9
    with pytest.raises(DataError, match="no row can be used; row 1: its film is not in the dataset"):
        write_boxes(tmp_path / "boxes.csv", ("z.png", 1, 2, 3, 4, "", "", "P"))
        add_boxes(dataset, tmp_path / "boxes.csv", [films])
    (tmp_path / "data.films.csv").unlink()
    with pytest.raises(DataError, match=r"data\.films\.csv: .* cannot be read, or .*; prepare the dataset again"):
        add_boxes(dataset, tmp_path / "boxes.csv", [films])
