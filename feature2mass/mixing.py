"""The networks of a finished run, and masses decoded from mixtures of features (Lee et al. 2018, §2.2–2.3, §3.4).

The energy that averaging features removes is restored (`octaves`, ours).
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from feature2mass.features import decode, interpolate, spread_weights
from feature2mass.library import DatasetLibrary, Library, read_mass_generator
from feature2mass.networks import FEATURES, SIZE
from feature2mass.octaves import restored
from feature2mass.seeds import MassGeneratorError, Recipe, Seed
from feature2mass.settings import ALL_OF_MIXING, DECODER, ENCODER, SOURCE, Mixing, mixing_of
from preprocessing.json_file import read_json
from preprocessing.masses.window import normalise_contrast
from preprocessing.shards import Dataset, open_dataset
from training.export import ModelError, open_model

PRETRAINED = Path(__file__).parent / "pretrained" / "masses.h5"  # docs/model-card-masses.md


@dataclass(frozen=True)
class Networks:
    """The encoder and decoder of a run.

    Attributes:
        encoder, decoder: in stock Keras layers.
        margins, shapes: names of the classes, in the order of the one-hot labels.
        fingerprint: SHA-256 of the two files, or of the checkpoint, that they are from: which network made a mass.
        mixing: how the run mixes masses.
    """

    encoder: keras.Model
    decoder: keras.Model
    margins: Sequence[str]
    shapes: Sequence[str]
    fingerprint: str
    mixing: Mixing = ALL_OF_MIXING


def load_networks(run: str | os.PathLike) -> Networks:
    """Open encoder.keras and decoder.keras of a finished run, with Keras' safe mode on.

    Raises:
        MassGeneratorError: the run is not there, not complete, or holds other networks.
    """
    run = Path(run)
    try:
        config = read_json(run / "config.json")
        margins, shapes = config["classes"]["margin"], config["classes"]["shape"]
        mixing = mixing_of(config)
        if not all(isinstance(name, str) for name in (*margins, *shapes)):
            raise TypeError("a class without a name")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MassGeneratorError(f"--run {run}: is not a run of train_feature2mass.py") from error
    networks, digest = [], hashlib.sha256()
    for name in (ENCODER, DECODER):
        path = run / name
        if not path.is_file():
            raise MassGeneratorError(f"--run {run}: holds no {name}; train it to its end first")
        digest.update(path.read_bytes())
        try:
            networks.append(open_model(path))
        except ModelError as error:
            raise MassGeneratorError(f"{error}; train again") from error
    encoder, decoder = networks
    sizes = [tuple(tensor.shape[1:]) for tensor in (*encoder.inputs, *decoder.inputs)]
    if sizes != [(SIZE, SIZE, 1), (len(margins),), (len(shapes),), (FEATURES,)]:
        raise MassGeneratorError(f"--run {run}: its networks are not those of its config.json; train again")
    return Networks(encoder, decoder, margins, shapes, digest.hexdigest(), mixing)


def open_seeds(run: str | os.PathLike, data: str | os.PathLike | None, networks: Networks) -> Dataset:
    """Open the masses to mix: those of `data`, or those that the run was trained on.

    Raises:
        MassGeneratorError: the data is gone or has changed, or the networks were trained on other classes.
        DataError: the dataset cannot be opened.
    """
    if data is None:
        try:
            data = read_json(Path(run) / SOURCE)["folder"]
            trained_on = read_json(Path(run) / "config.json")["data"]
            dataset = open_dataset(data, kind="mass")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MassGeneratorError(f"--run {run}: its training data cannot be opened; give --data") from error
        if [shard["sha256"] for shard in dataset.meta["shards"]] != trained_on:
            raise MassGeneratorError(f"--run {run}: its training data in {data} has changed since; give --data")
    else:
        dataset = open_dataset(data, kind="mass")
    for field, names in (("margin", networks.margins), ("shape", networks.shapes)):
        if list(dataset.classes(field)) != list(names):
            raise MassGeneratorError(
                f"--data {data}: its classes of {field} are {', '.join(dataset.classes(field))}, but --run {run} was "
                f"trained on {', '.join(names)}; give masses of the same classes, or train a run on these"
            )
    return dataset


def open_mixer(run: str | os.PathLike | None, data: str | os.PathLike | None = None) -> tuple["Mixer", str]:
    """Open what new masses are drawn with, and its SHA-256.

    Args:
        run: a finished run, or a file of `library.write_mass_generator`; None for the one that comes with the package.
        data: dataset of masses to mix; None for what the run was trained on.

    Raises:
        MassGeneratorError, DataError: one clear line.
    """
    if run is None or Path(run).is_file():
        if data is not None:
            raise MassGeneratorError(f"--data {data}: needs --run with the folder of a run, whose encoder it takes")
        stored, mixing, fingerprint = read_mass_generator(PRETRAINED if run is None else run)
        return Mixer(stored, mixing), fingerprint
    networks = load_networks(run)
    library = DatasetLibrary(networks.encoder, networks.decoder, open_seeds(run, data, networks))
    return Mixer(library, networks.mixing), networks.fingerprint


class Mixer:
    """Decodes mixtures of masses."""

    def __init__(self, library: Library, mixing: Mixing = ALL_OF_MIXING):
        self.library, self.mixing = library, mixing

    def mixtures(self, wanted: Sequence[tuple[Sequence[Seed], np.ndarray]]) -> np.ndarray:
        """Decode mixtures of seeds.

        Args:
            wanted: seeds and their weights, of each mass.

        Returns:
            float32 (n, 64, 64), about in [0, 1]; with the energy of their seeds in every octave where the run restores
            octaves.
        """
        features = self.library.features([seed for seeds, _ in wanted for seed in seeds])
        ends = np.cumsum([len(seeds) for seeds, _ in wanted])[:-1]
        parts = zip(np.split(features, ends), wanted, strict=True)
        mixed = np.array([self._mixed(part, weights[None])[0] for part, (_, weights) in parts])
        if not self.mixing.octaves:
            return decode(self.library.decoder, mixed)
        masses = []
        decoded = decode(self.library.decoder, mixed) + self.library.lost
        for mass, feature, (seeds, weights) in zip(decoded, mixed, wanted, strict=True):
            mean = np.tensordot(weights, [seed.category.mean for seed in seeds], 1).astype(np.float32)
            energy = weights @ self.library.energies(seeds)
            grain = self.library.grain(feature)
            masses.append(restored(mass, mean, energy, grain, amplify_finest=not self.mixing.grain))
        return np.array(masses)

    def _mixed(self, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Mix as `interpolate` does, by weights that are spread where the run spreads them."""
        if not self.mixing.spread:
            return interpolate(features, weights)
        return (spread_weights(weights) @ features).astype(np.float32)

    def masses(self, recipes: Sequence[Recipe]) -> np.ndarray:
        """Generate masses, float32 (n, 64, 64) in [0, 1], of normalised contrast where the library's is."""
        return np.array([stored for stored, _, _ in self.mixed(recipes)])

    def mixed(self, recipes: Sequence[Recipe]) -> list[tuple[np.ndarray, float, float]]:
        """Generate masses with their contrast before it was normalised: (as in `masses`, low, high).

        Low and high are those of the seeds, mixed as the features were, and then those of the mixture.
        """
        mixtures = self.mixtures([one.mixture() for one in recipes])
        return [self._stored(one, mass) for one, mass in zip(recipes, mixtures, strict=True)]

    def _stored(self, one: Recipe, mass: np.ndarray) -> tuple[np.ndarray, float, float]:
        low, high = (float(one.weights @ values) for values in self.library.contrast(one.seeds))
        if not self.library.normalised or np.ptp(mass) == 0:
            return mass.clip(0, 1), low, high
        stored, darkest, brightest = normalise_contrast(mass)
        return stored, low + (high - low) * darkest, low + (high - low) * brightest
