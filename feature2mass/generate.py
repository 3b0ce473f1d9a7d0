"""New labelled masses from a trained run, by visual feature processing within a category (Lee et al. 2018, §3.4).

Every new mass is decoded from a mixture of the features of up to twenty masses of its category, drawn at random with
random weights; the category is its label. Mixtures of masses that lie crosswise are blurred, so the first mass drawn
leads (ours): the others are mirrored so as to resemble it (training mirrors masses, and a mirrored mass keeps its
label), and the largest weights go to those that do. What averaging takes, a mixture gets back (`octaves`, ours). A
category with fewer than twenty masses lends all their mirror images, up to twenty seeds or all there are.
`manifest.csv` says for each mass what it came from; its first columns are those of `prepare_masses.py --rois`.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from feature2mass.features import SEEDS, category_weights, decode, encode, interpolate
from feature2mass.networks import FEATURES, SIZE
from feature2mass.octaves import Grain, energies, restored
from feature2mass.train import DECODER, ENCODER, SOURCE
from preprocessing.dataset import labelled_masses
from preprocessing.masses import ROI_COLUMNS, mass_item, normalise_contrast
from preprocessing.pictures import write_image
from preprocessing.shards import DataError, Dataset, DatasetWriter, open_dataset

BATCH = 64
EXAMPLES = 256  # masses that tell what the networks lose
MANIFEST = "manifest.csv"
MANIFEST_COLUMNS = (*ROI_COLUMNS, "masses_of_category", "seeds_drawn", "seeds", "mirrored", "weights")
MIRRORS = ("no", "left-right", "top-bottom", "both")
THUMBNAIL = 16  # height and width at which likeness is judged


class MassGeneratorError(ValueError):
    """Masses cannot be generated; the message says what to do."""


@dataclass(frozen=True)
class Networks:
    """What a finished run left.

    Attributes:
        encoder, decoder: in stock Keras layers.
        margins, shapes: names of the classes, in the order of the one-hot labels.
        fingerprint: SHA-256 of both files: which network made a mass.
    """

    encoder: keras.Model
    decoder: keras.Model
    margins: Sequence[str]
    shapes: Sequence[str]
    fingerprint: str


def load_networks(run: str | os.PathLike) -> Networks:
    """Open encoder.keras and decoder.keras of a finished run, with Keras' safe mode on.

    Raises:
        MassGeneratorError: the run is not there, not complete, or holds other networks.
    """
    run = Path(run)
    try:
        classes = json.loads((run / "config.json").read_text())["classes"]
        margins, shapes = classes["margin"], classes["shape"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MassGeneratorError(f"--run {run}: is no run of train_feature2mass.py") from error
    networks, digest = [], hashlib.sha256()
    for name in (ENCODER, DECODER):
        path = run / name
        if not path.is_file():
            raise MassGeneratorError(f"--run {run}: holds no {name}; train it to its end first")
        digest.update(path.read_bytes())
        try:
            networks.append(keras.models.load_model(path, compile=False))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MassGeneratorError(f"{path}: is not a Keras model; train again") from error
    encoder, decoder = networks
    sizes = [tuple(tensor.shape[1:]) for tensor in (*encoder.inputs, *decoder.inputs)]
    if sizes != [(SIZE, SIZE, 1), (len(margins),), (len(shapes),), (FEATURES,)]:
        raise MassGeneratorError(f"--run {run}: its networks are not those of its config.json; train again")
    return Networks(encoder, decoder, margins, shapes, digest.hexdigest())


def open_seeds(run: str | os.PathLike, data: str | os.PathLike | None, networks: Networks) -> Dataset:
    """The masses to mix: of `data`, or of what the run was trained on.

    Raises:
        MassGeneratorError: the data is gone, or the networks were trained on other classes.
        DataError: the dataset cannot be opened.
    """
    if data is None:
        try:
            data = json.loads((Path(run) / SOURCE).read_text())["folder"]
            dataset = open_dataset(data, kind="mass")
        except (OSError, ValueError, KeyError) as error:
            raise MassGeneratorError(f"--run {run}: its training data cannot be opened; give --data") from error
    else:
        dataset = open_dataset(data, kind="mass")
    for field, names in (("margin", networks.margins), ("shape", networks.shapes)):
        if list(dataset.classes(field)) != list(names):
            raise MassGeneratorError(
                f"--data {data}: its classes of {field} are {', '.join(dataset.classes(field))}, but --run {run} was "
                f"trained on {', '.join(names)}; give masses of the same classes, or train a run on these"
            )
    return dataset


@dataclass(frozen=True)
class Category:
    """One shape with one margin, and the masses of it that may be seeds.

    Attributes:
        shape, margin: indices of classes.
        seeds: dataset indices, (n,).
        thumbnails: the masses made small, float32 (n, 16, 16).
        mean: of the masses and their mirror images, float32 (64, 64).
    """

    shape: int
    margin: int
    seeds: np.ndarray
    thumbnails: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, shape: int, margin: int, seeds: np.ndarray) -> "Category":
        """The category of these masses of a dataset."""
        images = dataset.read_array("image", (SIZE, SIZE), seeds).astype(np.float32) / 65535
        blocks = images.reshape(-1, THUMBNAIL, SIZE // THUMBNAIL, THUMBNAIL, SIZE // THUMBNAIL)
        return cls(shape, margin, seeds, blocks.mean(axis=(2, 4)), mirrored(images.mean(axis=0)).mean(axis=0))


@dataclass(frozen=True)
class Seed:
    """A mass to mix, as it is or mirrored.

    Attributes:
        index: in the dataset.
        mirror: index into `MIRRORS`.
        category: its label.
    """

    index: int
    mirror: int
    category: Category


def categories(
    dataset: Dataset, shape: str | None = None, margin: str | None = None, split: str | None = "train"
) -> list[Category]:
    """The categories of a dataset, or those of a wanted shape or margin.

    Raises:
        MassGeneratorError: no such class, or no mass of it in the split.
    """
    for field, name in (("shape", shape), ("margin", margin)):
        if name is not None and name not in dataset.classes(field):
            raise MassGeneratorError(f"--{field} {name}: must be one of {', '.join(dataset.classes(field))}")
    indices, labels = labelled_masses(dataset, split)
    shapes, margins = dataset.classes("shape"), dataset.classes("margin")
    found = []
    for s, m in np.unique(labels, axis=0).tolist():
        if shape in (None, shapes[s]) and margin in (None, margins[m]):
            seeds = indices[(labels == (s, m)).all(axis=1)]
            found.append(Category.of(dataset, s, m, seeds))
    if not found:
        wanted = ", ".join(f"--{field} {name}" for field, name in (("shape", shape), ("margin", margin)) if name)
        where = f"the {split} split of {dataset.folder}" if split else f"{dataset.folder}"
        raise MassGeneratorError(
            f"{wanted or 'no category'}: {where} has no labelled mass of it to start from; choose another category or "
            "--data that has some"
        )
    return found


@dataclass(frozen=True)
class Recipe:
    """What one generated mass is mixed from.

    Attributes:
        number: of the mass.
        category: its label.
        seeds: dataset indices, (n,), twenty or fewer.
        mirrors: indices into `MIRRORS`, (n,).
        weights: multiples of 0.05 of sum 1, (n,).
    """

    number: int
    category: Category
    seeds: np.ndarray
    mirrors: np.ndarray
    weights: np.ndarray

    def mixture(self) -> tuple[list[Seed], np.ndarray]:
        """The seeds of weight above 0, and their weights."""
        used = self.weights > 0
        pairs = zip(self.seeds[used].tolist(), self.mirrors[used].tolist())
        return [Seed(index, mirror, self.category) for index, mirror in pairs], self.weights[used]

    def top(self, count: int = 3) -> np.ndarray:
        """Positions of the seeds with the largest weights, largest first."""
        return np.argsort(-self.weights, kind="stable")[:count]


def recipe(number: int, wanted: Sequence[Category], seed: int = 0) -> Recipe:
    """What to mix for the mass of a number, a function of (seed, number) and the masses; categories take turns.

    Seeds stand in the order of their likeness to the first, and so do weights, largest first.
    """
    category = wanted[number % len(wanted)]
    random = np.random.default_rng([seed, number])
    available = len(category.seeds)
    if available >= SEEDS:
        chosen = random.permutation(available)[:SEEDS]
        leader = random.integers(len(MIRRORS))
        looks = mirrored(category.thumbnails[chosen])
        mirrors = _differences(looks, looks[leader, 0]).argmin(axis=0)
        mirrors[0] = leader
    else:  # all masses as they are, then their mirror images by lot
        chosen, mirrors = np.arange(available), np.zeros(available, int)
        lot = random.permutation(available * (len(MIRRORS) - 1))[: SEEDS - available]
        chosen, mirrors = np.append(chosen, lot % available), np.append(mirrors, 1 + lot // available)
        order = random.permutation(len(chosen))
        chosen, mirrors = chosen[order], mirrors[order]
        looks = mirrored(category.thumbnails[chosen])
    seen = looks[mirrors, np.arange(len(chosen))]
    likeness = np.argsort(_differences(seen, seen[0]), kind="stable")  # the first resembles itself most
    (weights,) = category_weights(1, len(chosen), random=random)
    return Recipe(number, category, category.seeds[chosen[likeness]], mirrors[likeness], np.sort(weights)[::-1])


def mirrored(images: np.ndarray) -> np.ndarray:
    """(..., h, w) → (4, ..., h, w), in the order of `MIRRORS`."""
    return np.stack([images[..., :: -1 if mirror & 2 else 1, :: -1 if mirror & 1 else 1] for mirror in range(4)])


def _differences(images: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Mean square difference of images (..., h, w) from one."""
    return np.square(images - image).mean(axis=(-2, -1))


class Mixer:
    """Decodes mixtures of masses; every mass is read and encoded once."""

    def __init__(self, networks: Networks, dataset: Dataset):
        self.networks, self.dataset = networks, dataset
        self.features: dict[tuple[int, int], np.ndarray] = {}  # by index and mirror
        self.energies: dict[int, np.ndarray] = {}  # by index: mirrored or not, a mass is as far from the mean
        self.normalised = bool((dataset.field("low") != 0).any() or (dataset.field("high") != 1).any())

    @cached_property
    def deficit(self) -> tuple[np.ndarray, Grain]:
        """What the networks lose of masses: (mean of mass less reconstruction, float32 (64, 64); the grain they lack).

        The former is a mesh too faint to see until it is amplified.
        """
        indices, labels = (part[:EXAMPLES] for part in labelled_masses(self.dataset, "train"))
        images = self.dataset.read_array("image", (SIZE, SIZE), indices).astype(np.float32) / 65535
        features = encode(self.networks.encoder, images, margins=labels[:, 1], shapes=labels[:, 0])
        residuals = images - decode(self.networks.decoder, features)
        return residuals.mean(axis=0), Grain(features, residuals)

    def mixtures(self, wanted: Sequence[tuple[Sequence[Seed], np.ndarray]]) -> np.ndarray:
        """What seeds make together.

        Args:
            wanted: seeds and their weights, for each mass.

        Returns:
            float32 (n, 64, 64), about in [0, 1]: with the energy of their seeds in every octave.
        """
        self._encode([seed for seeds, _ in wanted for seed in seeds])
        mixed = []
        for seeds, weights in wanted:
            features = np.array([self.features[seed.index, seed.mirror] for seed in seeds])
            mixed.append(interpolate(features, weights[None])[0])
        masses = []
        lost, grain = self.deficit
        decoded = decode(self.networks.decoder, np.array(mixed)) + lost
        for mass, feature, (seeds, weights) in zip(decoded, mixed, wanted, strict=True):
            mean = np.tensordot(weights, [seed.category.mean for seed in seeds], 1).astype(np.float32)
            energy = weights @ [self.energies[seed.index] for seed in seeds]
            masses.append(restored(mass, mean, energy, grain(feature)))
        return np.array(masses)

    def masses(self, recipes: Sequence[Recipe]) -> np.ndarray:
        """Generated masses, float32 (n, 64, 64) in [0, 1], of normalised contrast where the dataset's is."""
        return np.array([stored for stored, _, _ in self.mixed(recipes)])

    def mixed(self, recipes: Sequence[Recipe]) -> list[tuple[np.ndarray, float, float]]:
        """Generated masses with what their contrast was before it was normalised: (as in `masses`, low, high).

        Low and high are those of the seeds, mixed as the features were, and then those of the mixture.
        """
        mixtures = self.mixtures([one.mixture() for one in recipes])
        return [self._stored(one, mass) for one, mass in zip(recipes, mixtures, strict=True)]

    def _stored(self, one: Recipe, mass: np.ndarray) -> tuple[np.ndarray, float, float]:
        low, high = (float(one.weights @ self.dataset.field(name)[one.seeds]) for name in ("low", "high"))
        if not self.normalised or np.ptp(mass) == 0:
            return mass.clip(0, 1), low, high
        stored, darkest, brightest = normalise_contrast(mass)
        return stored, low + (high - low) * darkest, low + (high - low) * brightest

    def _encode(self, seeds: Sequence[Seed]) -> None:
        """Features and energies of the seeds that have none yet."""
        new = {(seed.index, seed.mirror): seed.category for seed in seeds}
        new = {key: category for key, category in new.items() if key not in self.features}
        if not new:
            return
        images = np.array([seed_image(self.dataset, *key) for key in new])
        margins, shapes = ([getattr(category, name) for category in new.values()] for name in ("margin", "shape"))
        self.features.update(zip(new, encode(self.networks.encoder, images, margins, shapes), strict=True))
        for ((index, _), category), image in zip(new.items(), images, strict=True):
            self.energies.setdefault(index, energies(image - category.mean))


def seed_image(dataset: Dataset, index: int, mirror: int = 0) -> np.ndarray:
    """A seed as it is encoded, float32 (64, 64) in [0, 1]; `mirror` is an index into `MIRRORS`."""
    image = dataset.read_array("image", (SIZE, SIZE), [index])[0].astype(np.float32) / 65535
    return mirrored(image)[mirror]


def generate(
    run: str | os.PathLike,
    count: int = 8,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, list[Recipe]]:
    """Draw new masses.

    Args:
        run: of `train_feature2mass.py`.
        count: masses to make.
        data: masses to mix; None for what the run was trained on.
        shape, margin: names of classes; None for all that have masses, in turns.
        seed: of the choice of seeds and weights.

    Returns:
        (masses float32 (count, 64, 64) in [0, 1], what each is mixed from).

    Example::

        masses, recipes = generate("runs/masses", count=8, shape="irregular", margin="spiculated")
    """
    mixer, wanted = _opened(run, data, shape, margin)
    recipes = [recipe(number, wanted, seed) for number in range(count)]
    batches = [mixer.masses(recipes[first : first + BATCH]) for first in range(0, count, BATCH)]
    return np.concatenate(batches), recipes


def _opened(
    run: str | os.PathLike, data: str | os.PathLike | None, shape: str | None, margin: str | None
) -> tuple[Mixer, list[Category]]:
    networks = load_networks(run)
    dataset = open_seeds(run, data, networks)
    return Mixer(networks, dataset), categories(dataset, shape, margin)


def write_shards(
    run: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Write new masses as a dataset, in the format that training reads, with `manifest.csv` beside the shards.

    A killed call goes on after its last whole shard. Each mass is a subject of its own; all are in the training split.
    """
    mixer, wanted = _opened(run, data, shape, margin)
    dataset = mixer.dataset
    made = {"by": "generate_masses", "seed": seed, "shape": shape, "margin": margin}
    writer = DatasetWriter(
        output,
        "mass",
        count=count,
        made=made,
        work=dataset.fingerprint,
        levels=[(SIZE, SIZE)],
        classes={name: dataset.classes(name) for name in ("shape", "margin")},
        synthetic=True,
        generator=mixer.networks.fingerprint,
    )
    if not writer.complete:
        for shard, numbers in writer.missing():
            items = [_item(one, *mass) for one, mass in _stream(mixer, wanted, numbers, seed)]
            writer.write(shard, items)
        recipes = (recipe(number, wanted, seed) for number in range(count))
        _write_manifest(Path(output), recipes, dataset, place=lambda one: f"item {one.number}")
    return writer.finish()


def write_png(
    run: str | os.PathLike,
    output: str | os.PathLike,
    count: int,
    *,
    data: str | os.PathLike | None = None,
    shape: str | None = None,
    margin: str | None = None,
    seed: int = 0,
) -> int:
    """Write 16-bit PNG images and `manifest.csv`; returns how many.

    Raises:
        DataError: the folder cannot be written.
    """
    mixer, wanted = _opened(run, data, shape, margin)
    folder = Path(output)

    def written() -> Iterator[Recipe]:
        for one, (mass, _, _) in _stream(mixer, wanted, range(count), seed):
            write_image(folder / _png(one), mass)
            yield one

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    _write_manifest(folder, written(), mixer.dataset, place=_png)
    return count


def _stream(mixer: Mixer, wanted: Sequence[Category], numbers: range, seed: int) -> Iterator[tuple[Recipe, tuple]]:
    """(recipe, (mass, low, high)) one after another; memory holds one batch and the seeds' features."""
    for first in range(numbers.start, numbers.stop, BATCH):
        recipes = [recipe(number, wanted, seed) for number in range(first, min(first + BATCH, numbers.stop))]
        yield from zip(recipes, mixer.mixed(recipes), strict=True)


def _item(one: Recipe, mass: np.ndarray, low: float, high: float) -> dict:
    """A mass as it is stored."""
    item = mass_item(mass, subject=_subject(one), shape=one.category.shape, margin=one.category.margin)
    return item | {"low": low, "high": high}


def _png(one: Recipe) -> str:
    return f"{one.number:06d}.png"


def _subject(one: Recipe) -> str:
    return f"synthetic{one.number:07d}"


def _write_manifest(folder: Path, recipes: Iterable[Recipe], dataset: Dataset, place: Callable[[Recipe], str]) -> None:
    """A row a mass; seeds are item numbers of the dataset, those of no weight left out, heaviest first."""
    partial = folder / f"{MANIFEST}.part"
    shapes, margins = dataset.classes("shape"), dataset.classes("margin")
    try:
        with open(partial, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(MANIFEST_COLUMNS)
            for one in recipes:
                used = [position for position in one.top(len(one.weights)) if one.weights[position] > 0]
                mixed_from = (
                    ";".join(str(one.seeds[position]) for position in used),
                    ";".join(MIRRORS[one.mirrors[position]] for position in used),
                    ";".join(f"{one.weights[position]:.2f}" for position in used),
                )
                labels = shapes[one.category.shape], margins[one.category.margin]
                seeds = len(one.category.seeds), len(one.seeds)
                writer.writerow((place(one), 0, 0, SIZE, SIZE, *labels, _subject(one), *seeds, *mixed_from))
        os.replace(partial, folder / MANIFEST)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"--output {folder}: cannot be written ({error.strerror or type(error).__name__})")
