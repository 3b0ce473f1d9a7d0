"""What new masses are mixed from: the features of labelled masses, of a dataset or stored in a file with a decoder.

A dataset's masses are encoded when they are first needed. A file, which `write_mass_generator` writes, holds what
mixing needs of each of them: features, a thumbnail of 16×16 pixels, and its size where known. Masses that resemble the
originals can be decoded from it, so it is as private as they are.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import ArrayLike

from feature2mass.features import decode, encode
from feature2mass.networks import FEATURES, SIZE
from feature2mass.octaves import OCTAVES, Grain, energies
from feature2mass.seeds import (
    MIRRORS,
    THUMBNAIL,
    Category,
    MassGeneratorError,
    Seed,
    categories,
    known,
    seed_image,
    wanted_pairs,
)
from feature2mass.settings import Mixing
from preprocessing.atomic import write_whole
from preprocessing.batches import labelled_masses
from preprocessing.json_file import parse_json
from preprocessing.masses.options import calibrated_of, context_of
from preprocessing.shards import Dataset
from training.export import model_from_text
from training.stored_arrays import stored_arrays

EXAMPLES = 256  # masses by which the loss of the networks is measured
COMPONENTS = 256  # principal components that a file keeps of the features
FORMAT = 1
ROUNDED = 4096  # numbers from which an array is rounded
LEVELS = 2047  # of either sign: 12 bits
LARGEST = 2**30  # bytes of an array


class DatasetLibrary:
    """The training masses of a dataset; every mass is read and encoded once.

    Attributes:
        decoder: gives masses back from their features.
        shapes, margins: names of the classes.
        synthetic: whether the masses are.
        normalised: whether their contrast is, so that `contrast` says how much they had.
        fingerprint: SHA-256 that identifies these masses.
        context: side of a mass's window over the longest side of the mass.
        calibrated: whether grey levels are as on a mammogram; those of phantoms are not.
        lost: mean of what the networks lose of a mass, float32 (64, 64): a mesh, faint until it is amplified.
        grain: the texture that they lose.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, dataset: Dataset):
        self.encoder, self.decoder, self.dataset = encoder, decoder, dataset
        self.shapes, self.margins = (list(dataset.classes(field)) for field in ("shape", "margin"))
        self.synthetic, self.fingerprint = bool(dataset.meta["synthetic"]), dataset.fingerprint
        self.context, self.calibrated = context_of(dataset.meta["made"]), calibrated_of(dataset.meta["made"])
        self.normalised = bool((dataset.field("low") != 0).any() or (dataset.field("high") != 1).any())
        self._features: dict[tuple[int, int], np.ndarray] = {}  # by index and mirror
        self._energies: dict[int, np.ndarray] = {}  # by index: mirrored or not, a mass is as far from the mean

    @cached_property
    def _loss(self) -> tuple[np.ndarray, Grain]:
        indices, labels = (part[:EXAMPLES] for part in labelled_masses(self.dataset, "train"))
        images = self.dataset.images((SIZE, SIZE), indices)
        return _loss(self.decoder, encode(self.encoder, images, margins=labels[:, 1], shapes=labels[:, 0]), images)

    @property
    def lost(self) -> np.ndarray:
        return self._loss[0]

    @property
    def grain(self) -> Grain:
        return self._loss[1]

    def categories(self, shape: str | None = None, margin: str | None = None) -> list[Category]:
        """Return those that may be mixed, or those of a wanted shape or margin."""
        return categories(self.dataset, shape, margin)

    def features(self, seeds: Sequence[Seed]) -> np.ndarray:
        """Return the visual features of masses, float32 (n, 1024)."""
        self._encode(seeds)
        return np.array([self._features[seed.index, seed.mirror] for seed in seeds])

    def energies(self, seeds: Sequence[Seed]) -> np.ndarray:
        """Return the energies of the octaves of masses, less their category's mean, float (n, 6)."""
        self._encode(seeds)
        return np.array([self._energies[seed.index] for seed in seeds])

    def contrast(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the grey levels that stored 0 and 1 stand for, two arrays (n,)."""
        return self.dataset.field("low")[indices], self.dataset.field("high")[indices]

    def items(self, indices: np.ndarray) -> np.ndarray | None:
        """Return which items of their dataset masses are, (n,); None where it is not known."""
        return indices

    def image(self, index: int, mirror: int = 0) -> np.ndarray:
        """Return a mass to look at, float32 (64, 64) in [0, 1]."""
        return seed_image(self.dataset, index, mirror)

    def _encode(self, seeds: Sequence[Seed]) -> None:
        """Compute features and energies of the seeds that have none yet."""
        new = {(seed.index, seed.mirror): seed.category for seed in seeds}
        new = {key: category for key, category in new.items() if key not in self._features}
        if not new:
            return
        images = np.array([seed_image(self.dataset, *key) for key in new])
        margins, shapes = (np.array([getattr(one, name) for one in new.values()]) for name in ("margin", "shape"))
        self._features.update(zip(new, encode(self.encoder, images, margins, shapes), strict=True))
        for ((index, _), category), image in zip(new.items(), images, strict=True):
            self._energies.setdefault(index, energies(image - category.mean))


# -------------------------------------------------------------------------------------- as a file


class StoredLibrary:
    """The masses that a file of `write_mass_generator` keeps; to be looked at, they are decoded.

    Attributes and methods are those of `DatasetLibrary`.
    """

    def __init__(self, decoder: keras.Model, arrays: Mapping[str, np.ndarray], about: Mapping):
        self.decoder, self._arrays = decoder, arrays
        self.shapes, self.margins = about["shapes"], about["margins"]
        self.synthetic, self.fingerprint = about["synthetic"], about["masses"]
        self.normalised = about["normalised"]
        self.context, self.calibrated = context_of(about), calibrated_of(about)
        self.lost = arrays["lost"]
        self.grain = Grain(arrays["grain_mean"], arrays["grain_deviation"], arrays["grain_amplitude"])

    def categories(self, shape: str | None = None, margin: str | None = None) -> list[Category]:
        labels, sizes = self._arrays["labels"], self._arrays.get("sizes")
        means = {tuple(pair): mean for pair, mean in zip(self._arrays["categories"].tolist(), self._arrays["means"])}
        found = []
        for s, m in wanted_pairs(list(means), self.shapes, self.margins, shape, margin, where="the generator"):
            seeds = np.flatnonzero((labels == (s, m)).all(axis=1))
            of_these = None if sizes is None else known(np.where(sizes[seeds] > 0, sizes[seeds], np.nan))
            found.append(Category(s, m, seeds, self._arrays["thumbnails"][seeds], means[s, m], of_these))
        return found

    def features(self, seeds: Sequence[Seed]) -> np.ndarray:
        return _features(self._arrays, [seed.index for seed in seeds], [seed.mirror for seed in seeds])

    def energies(self, seeds: Sequence[Seed]) -> np.ndarray:
        return self._arrays["energies"][[seed.index for seed in seeds]]

    def contrast(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._arrays["low"][indices], self._arrays["high"][indices]

    def items(self, indices: np.ndarray) -> np.ndarray | None:
        return self._arrays["items"][indices] if "items" in self._arrays else None

    def image(self, index: int, mirror: int = 0) -> np.ndarray:
        (category,) = (one for one in self.categories() if index in one.seeds)
        return (decode(self.decoder, self.features([Seed(index, mirror, category)]))[0] + self.lost).clip(0, 1)


Library = DatasetLibrary | StoredLibrary


def write_mass_generator(path: str | os.PathLike, library: DatasetLibrary, mixing: Mixing) -> None:
    """Write a decoder with what it needs to draw new masses, about 6 MB for 800 masses at half width.

    Features are reduced to their first 256 principal components, and large arrays rounded to 12 bits with a scale per
    last index (both ours). What the networks lose is measured after that.
    """
    found = library.categories()
    seeds = [Seed(int(index), 0, category) for category in found for index in category.seeds]
    mirrors = [Seed(seed.index, mirror, seed.category) for seed in seeds for mirror in range(len(MIRRORS))]
    features = library.features(mirrors)
    mean = features.mean(axis=0)
    basis = np.linalg.svd(features - mean, full_matrices=False)[2][:COMPONENTS]
    items = np.array([seed.index for seed in seeds])
    low, high = library.contrast(items)
    arrays = {
        "items": items,
        "labels": np.array([(seed.category.shape, seed.category.margin) for seed in seeds]),
        "categories": np.array([(category.shape, category.margin) for category in found]),
        "means": np.array([category.mean for category in found]),
        "thumbnails": np.concatenate([category.thumbnails for category in found]),
        **{"energies": library.energies(seeds), "low": low, "high": high},
        **{"mean": mean, "basis": basis},
        "components": ((features - mean) @ basis.T).reshape(len(seeds), len(MIRRORS), -1),
    }
    if any(category.sizes is not None for category in found):
        sizes = [np.full(len(one.seeds), np.nan) if one.sizes is None else one.sizes for one in found]
        arrays["sizes"] = np.nan_to_num(np.concatenate(sizes))  # 0: unknown
    arrays |= {f"decoder/{number:03d}": weight for number, weight in enumerate(library.decoder.get_weights())}
    about = {
        "format": FORMAT,
        **{"shapes": library.shapes, "margins": library.margins, "masses": library.fingerprint},
        **{"synthetic": library.synthetic, "normalised": library.normalised, "mixing": asdict(mixing)},
        **{"context": library.context, "calibrated": library.calibrated},
        "decoder": library.decoder.to_json(),
    }
    stored = {name: _rounded(array) for name, array in arrays.items()}
    examples = np.linspace(0, len(seeds) - 1, min(EXAMPLES, len(seeds))).astype(int)
    lost, grain = _loss(
        model_from_text(about["decoder"], [value * scale for name, (value, scale) in stored.items() if "/" in name]),
        _features({name: value * scale for name, (value, scale) in stored.items()}, examples, 0 * examples),
        np.array([library.image(seeds[number].index) for number in examples]),
    )
    measured = {"lost": lost, "grain_mean": grain.mean, "grain_deviation": grain.deviation}
    stored |= {name: _rounded(array) for name, array in (measured | {"grain_amplitude": grain.amplitude}).items()}
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["about"] = json.dumps(about)
        for name, (value, scale) in stored.items():
            options = {"compression": 9, "shuffle": True} if value.size >= ROUNDED else {}
            options |= {"fletcher32": True} if value.ndim else {}  # damage is noticed when it is read
            file.create_dataset(name, data=value, **options).attrs["scale"] = scale
    write_whole(path, content.getvalue())


def read_mass_generator(path: str | os.PathLike) -> tuple[StoredLibrary, Mixing, str]:
    """Open a file of `write_mass_generator`: (its masses and decoder, how they are mixed, SHA-256 of the file).

    Raises:
        MassGeneratorError: the file is damaged, or is no such file.
    """
    try:
        content = Path(path).read_bytes()
        with h5py.File(io.BytesIO(content), "r") as file:
            about = parse_json(file.attrs["about"])
            arrays = {name: _read(array) for name, array in stored_arrays(file)}
        weights = [arrays.pop(name) for name in sorted(arrays) if name.startswith("decoder/")]
        decoder = model_from_text(about["decoder"], weights)
        if about["format"] != FORMAT or [tuple(one.shape[1:]) for one in decoder.inputs] != [(FEATURES,)]:
            raise ValueError("another format")
        _check_shapes(arrays, (len(about["shapes"]), len(about["margins"])))
        return StoredLibrary(decoder, arrays, about), Mixing(**about["mixing"]), hashlib.sha256(content).hexdigest()
    except Exception as error:  # a damaged file makes Keras raise anything
        raise MassGeneratorError(
            f"--run {path}: is no file that save_networks.py wrote of a run of train_feature2mass.py, or is damaged"
        ) from error


def _rounded(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | np.float32 | int]:
    """Return integers and the scale by which they are the array, or float32 and 1 for one that is small."""
    array = np.asarray(array)
    if array.dtype.kind != "f":
        return array, 1
    if array.size < ROUNDED:
        return array.astype(np.float32), np.float32(1)
    scale = np.abs(array).max(axis=tuple(range(array.ndim - 1))).astype(np.float32) / LEVELS + np.float32(1e-12)
    return np.rint(array / scale).astype(np.int16), scale


def _check_shapes(arrays: Mapping[str, np.ndarray], classes: tuple[int, int]) -> None:
    """Raise ValueError unless the arrays belong together; `classes` is how many shapes and margins there are."""
    masses, categories, components = len(arrays["labels"]), len(arrays["categories"]), len(arrays["basis"])
    wanted = {
        **{"labels": (masses, 2), "low": (masses,), "high": (masses,), "thumbnails": (masses, THUMBNAIL, THUMBNAIL)},
        **{"energies": (masses, OCTAVES + 1), "components": (masses, len(MIRRORS), components)},
        **{"categories": (categories, 2), "means": (categories, SIZE, SIZE), "lost": (SIZE, SIZE)},
        **{"basis": (components, FEATURES), "mean": (FEATURES,), "grain_mean": (FEATURES,)},
        **{"grain_deviation": (FEATURES,), "grain_amplitude": (SIZE, SIZE // 2 + 1)},
    }
    wanted |= {name: (masses,) for name in ("sizes", "items") if name in arrays}
    if {name: array.shape for name, array in arrays.items()} != wanted:
        raise ValueError("arrays of other shapes")
    for name in ("labels", "categories"):
        if not ((arrays[name] >= 0) & (arrays[name] < classes)).all():
            raise ValueError(f"{name} of unknown classes")
    if not (arrays.get("sizes", np.zeros(1)) >= 0).all():
        raise ValueError("sizes below 0")


def _read(stored: h5py.Dataset) -> np.ndarray:
    if stored.nbytes > LARGEST:
        raise ValueError(f"{stored.name} is too large")
    array = stored[()] * stored.attrs["scale"]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{stored.name} is NaN or infinite")
    return array


def _features(arrays: Mapping[str, np.ndarray], indices: ArrayLike, mirrors: ArrayLike) -> np.ndarray:
    """Return the features of masses from their principal components, float32 (n, 1024)."""
    components = arrays["components"][np.asarray(indices), np.asarray(mirrors)]
    return (arrays["mean"] + components @ arrays["basis"]).astype(np.float32)


def _loss(decoder: keras.Model, features: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, Grain]:
    """Return what networks lose of images, as `lost` and `grain` of a library."""
    residuals = images - decode(decoder, features)
    return residuals.mean(axis=0), Grain.of(features, residuals)
