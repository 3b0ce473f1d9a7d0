"""Validators and an archive take the DICOM objects: dciodvfy, dcmftest, and Orthanc by C-STORE and REST."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lesions.generate import insert_lesions
from preprocessing.images.dicom_writer import Origin, Study, encoded_dicom
from preprocessing.version import made_by

# dciodvfy of 2022 does not know Synthetic Data (0008,001C), which the standard has since 2023.
NEWER = "Attribute with an even group number is not a recognized standard attribute - (0x0008,0x001c)"
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


@pytest.fixture(scope="module")
def files(tmp_path_factory, mammograms, masses) -> list[Path]:
    """Generated mammograms of known and of unknown side; mammograms with lesions, and segmentations."""
    folder = tmp_path_factory.mktemp("dicom")
    image = np.random.default_rng(0).random((512, 256)).astype(np.float32)
    names = {"series": "seed 0", "generator": "0123456789abcdef" * 4}
    (folder / "unknown.dcm").write_bytes(encoded_dicom(image, number=0, **names))
    study = Study("four", 1, 2, of_four=True, date="20250102", time="030405")
    origin = Origin("the breast outline of a real image", True, 7, "mask 3", made_by())
    known = {"laterality": "R", "view": "MLO", "study": study, "origin": origin}
    (folder / "known.dcm").write_bytes(encoded_dicom(image, number=1, **names, **known))
    if _has("highdicom"):
        insert_lesions(mammograms.folder, masses.folder, folder / "lesions", count=3, file_format="dicom")
    return sorted(folder.rglob("*.dcm"))


def _has(module: str) -> bool:
    return find_spec(module) is not None


def needs(*programs: str | None) -> pytest.MarkDecorator:
    missing = [program for program in programs if not program or shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason="needs dcmtk, dicom3tools and orthanc (Debian packages)")


@needs("dciodvfy")
def test_dciodvfy_finds_no_error_but_what_is_newer_than_itself(files):
    for path in files:
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace").stderr
        assert "MammographyImageForPresentation" in said or "Segmentation" in said
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        assert [line for line in errors if NEWER not in line] == []


@needs("dcmftest")
def test_dcmftest_takes_every_file(files):
    assert subprocess.run(["dcmftest", *files], capture_output=True).returncode == 0


@needs("storescu", ORTHANC)
def test_orthanc_gives_back_the_pixels_that_were_sent(files, tmp_path):
    with _orthanc(tmp_path) as (http, dicom):
        subprocess.run(["storescu", "-R", "-aec", "ORTHANC", "127.0.0.1", str(dicom), *files], check=True, timeout=60)
        stored = [pydicom.dcmread(path) for path in files]
        assert len(_get(http, "instances")) == len(stored)
        for dataset in stored:
            (found,) = _get(http, "tools/lookup", dataset.SOPInstanceUID.encode())
            if dataset.Modality == "MG":
                raw = _read(http, f"instances/{found['ID']}/frames/0/raw")
                assert raw == dataset.PixelData
            back = pydicom.dcmread(pydicom.filebase.DicomBytesIO(_read(http, f"instances/{found['ID']}/file")))
            assert np.array_equal(back.pixel_array, dataset.pixel_array) and back == dataset


@contextmanager
def _orthanc(folder: Path):
    """Run Orthanc with an archive of its own; yields its ports for HTTP and DICOM."""
    http, dicom = _free_port(), _free_port()
    places = {name: str(folder / "archive") for name in ("StorageDirectory", "IndexDirectory")}
    settings = {"HttpPort": http, "DicomPort": dicom, "RemoteAccessAllowed": False, "AuthenticationEnabled": False}
    (folder / "orthanc.json").write_text(json.dumps({**places, **settings, "DicomAet": "ORTHANC", "Plugins": []}))
    server = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                _get(http, "system")
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.2)
        yield http, dicom
    finally:
        server.terminate()
        server.wait(20)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _read(port: int, path: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", body, timeout=20) as answer:
        return answer.read()


def _get(port: int, path: str, body: bytes | None = None):
    return json.loads(_read(port, path, body))
