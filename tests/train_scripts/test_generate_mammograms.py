"""The command line of generation: what it writes, and one clear line for what it cannot."""

from pathlib import Path

import cv2
import pydicom
import pytest
from commands import command, refused

from preprocessing.shards import open_dataset

call = command("generate_mammograms")
FORMATS = pytest.mark.parametrize("file_format", ["h5", "png", "dicom"])


@pytest.fixture(scope="module")
def generator(tiny_run) -> Path:
    return tiny_run.stage("phase-2").generator


def test_shards_are_the_default(tmp_path, generator, tiny_dataset):
    result = call("--generator", generator, "--masks", tiny_dataset.folder, "--count", 3, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.output.strip() == f"{tmp_path / 'out'}: 3 synthetic mammograms"
    assert open_dataset(tmp_path / "out").meta["synthetic"]


def test_without_a_generator_the_package_s_own_is_used(tmp_path):
    result = call("--count", 1, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("generator: the one that comes with the package")
    images, masks = open_dataset(tmp_path / "out").read((512, 256), [0])
    assert images[masks == 1].std() > 1000 and not images[masks == 0].any()


def test_png_files(tmp_path, generator, tiny_dataset):
    masks = ["--masks", tiny_dataset.folder]
    call("--generator", generator, *masks, "--count", 2, "--output", tmp_path / "out", "--format", "png")
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["000000.png", "000001.png", "masks/000000.png", "masks/000001.png"]


def test_dicom_files_of_the_generator_s_size(tmp_path, generator, tiny_dataset):
    masks = ["--masks", tiny_dataset.folder]
    call("--generator", generator, *masks, "--count", 2, "--output", tmp_path / "out", "--format", "dicom")
    files = sorted((tmp_path / "out").glob("*.dcm"))
    assert [path.name for path in files] == ["000000.dcm", "000001.dcm"]
    header = pydicom.dcmread(files[0])
    assert (header.Rows, header.Columns) == (16, 8)


@pytest.mark.parametrize("name", ["figure", "figure.xyz"])
def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, generator, name):
    result = call("--generator", generator, "--output", tmp_path / "out", "--figure", tmp_path / name)
    refused(result, "--figure", f"{name}: must end in one of .png", code=2)
    assert not (tmp_path / "out").exists()


def test_a_figure_beside(tmp_path, generator, tiny_dataset):
    figure = tmp_path / "figure.png"
    masks = ["--masks", tiny_dataset.folder]
    result = call("--generator", generator, *masks, "--count", 1, "--output", tmp_path / "out", "--figure", figure)
    assert result.output.splitlines()[-1] == f"figure: {figure}"
    assert cv2.imread(str(figure)) is not None


def test_latents_per_mask_fill_a_mask_that_often(tmp_path, generator, tiny_dataset):
    arguments = ["--masks", tiny_dataset.folder, "--count", 4, "--latents-per-mask", 2, "--output", tmp_path / "out"]
    assert call("--generator", generator, *arguments).exit_code == 0
    images, masks = open_dataset(tmp_path / "out").read((16, 8), range(4))
    assert (masks[0] == masks[1]).all() and not (masks[1] == masks[2]).all()
    assert not (images[0] == images[1]).all()


def test_without_masks_phantoms_are_filled(tmp_path, generator):
    assert call("--generator", generator, "--count", 1, "--output", tmp_path / "out").exit_code == 0
    assert open_dataset(tmp_path / "out").read((16, 8), [0])[1].any()


# --- what it refuses ----------------------------------------------------------------------------


@FORMATS
def test_a_generator_that_is_not_there_is_named(tmp_path, file_format):
    arguments = ["--count", 1, "--output", tmp_path / "out", "--format", file_format]
    refused(call("--generator", tmp_path / "absent.keras", *arguments), "absent.keras: no such file")
    assert not (tmp_path / "out").exists()


@FORMATS
def test_a_file_that_is_no_model_is_named(tmp_path, file_format):
    (tmp_path / "text.keras").write_text("not a model")
    arguments = ["--count", 1, "--output", tmp_path / "out", "--format", file_format]
    refused(call("--generator", tmp_path / "text.keras", *arguments), "text.keras: is not a Keras model")
    assert not (tmp_path / "out").exists()


@FORMATS
def test_an_output_that_cannot_be_written_is_named(tmp_path, generator, file_format):
    (tmp_path / "file").write_text("")
    arguments = ["--count", 1, "--output", tmp_path / "file", "--format", file_format]
    refused(call("--generator", generator, *arguments), f"{tmp_path / 'file'}")


def test_masks_that_are_not_there_are_named(tmp_path, generator):
    arguments = ["--masks", tmp_path / "absent", "--count", 1, "--output", tmp_path / "out"]
    refused(call("--generator", generator, *arguments), f"--masks {tmp_path / 'absent'}")


@pytest.mark.parametrize(
    "flag, value", [("--count", 0), ("--latents-per-mask", 0), ("--seed", -1), ("--format", "gif")]
)
def test_a_value_that_cannot_be_names_the_flag(tmp_path, generator, flag, value):
    needed = {"--generator": generator, "--count": 1, "--output": tmp_path / "out", flag: value}
    refused(call(*(part for pair in needed.items() for part in pair)), flag, code=2)


@pytest.mark.parametrize("flag", ["--count", "--output"])
def test_a_missing_option_is_named(tmp_path, generator, flag):
    given = {"--generator": generator, "--count": 1, "--output": tmp_path / "out"}
    del given[flag]
    refused(call(*(part for pair in given.items() for part in pair)), flag, code=2)
