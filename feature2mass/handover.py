"""A run's generator as one small file, which draws masses without the dataset that it was trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from feature2mass.library import DatasetLibrary, write_mass_generator
from feature2mass.mixing import Networks, load_networks, open_seeds
from feature2mass.networks import NetworkConfig, build_decoder, build_encoder, build_generator, finished_networks
from feature2mass.seeds import MassGeneratorError
from feature2mass.settings import DECODER, EARLIER, mixing_of
from preprocessing.json_file import read_json
from preprocessing.shards.format import sha256
from training.checkpoint import checkpoints, restore_average


def is_mass_run(run: Path) -> bool:
    """Return whether a folder is a run of Feature2Mass."""
    try:
        return "margin" in read_json(run / "config.json")["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def save_masses(run: Path, output: Path, data: Path | None = None) -> int:
    """Write the newest generator of a run, finished or not, as `library.write_mass_generator` does.

    Args:
        data: masses to keep; None for those that the run is trained on.

    Returns:
        How many masses it keeps the features of.

    Raises:
        MassGeneratorError, CheckpointError, DataError: one clear line.
    """
    networks = load_networks(run) if (run / DECODER).is_file() else _unfinished(run)
    library = DatasetLibrary(networks.encoder, networks.decoder, open_seeds(run, data, networks))
    write_mass_generator(output, library, networks.mixing)
    return sum(len(category.seeds) for category in library.categories())


def _unfinished(run: Path) -> Networks:
    """Open the moving average of a run's newest checkpoint."""
    found = checkpoints(run)
    if not found:
        raise MassGeneratorError(f"--run {run}: holds no checkpoint yet")
    config = read_json(run / "config.json")
    margins, shapes = config["classes"]["margin"], config["classes"]["shape"]
    stored = EARLIER["preset"]["network"] | config["preset"]["network"]
    sizes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    network = replace(NetworkConfig(**sizes), smooth_start=False)
    generator = build_generator(
        build_encoder(network, len(margins), len(shapes), synchronized=False),
        build_decoder(network, synchronized=False),
    )
    restore_average(found[0], generator)
    encoder, decoder = finished_networks(generator, network, len(margins), len(shapes))
    return Networks(encoder, decoder, margins, shapes, sha256(found[0]), mixing_of(config))
