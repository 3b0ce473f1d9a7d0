"""What inserted lesions add to a small detector of masses.

    python benchmarks/detection.py --mammograms films --generated synthetic --masses masses-{fold} --work runs/detection

The mammograms are a dataset with known lesions (`lesions.boxes`). A fully convolutional network is trained on crops of
256×128 films to draw a map of where masses are, on 10 %, 30 % and 100 % of the training patients: on their films alone
(`films`), or with half of each batch from images with inserted masses. The masses are those of the same patients
(`moved`), those of all training patients (`others`), or generated (`masses`); they lie in the films of the same
patients or, with `-in-generated`, in generated mammograms. All get equally many steps and are tested on the films of
the other patients, next to blobs of brightness (`blobs`). A training whose result is in the folder is not run again.
"""

import csv
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import click
import cv2
import numpy as np

LEVEL = (256, 128)
CROP = 96
STRIDE = 4  # of the map
BATCH = 32
LEARNING_RATE = 3e-3
WIDTHS = (12, 20, 32, 48)
FOLDS = 5
ARMS = "films,moved,masses,moved-in-generated,masses-in-generated"
SHARES = (0.1, 0.3, 1.0)
CORE = 0.7  # of a box, that is mass for sure; the rest of it neither trains nor counts
MASS_WEIGHT = 8.0
PEAKS = 12  # that are looked at in a film
NEAR = 5  # cells of the map between two of them
RATES = (0.5, 1.0, 2.0)  # false positives per film
REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Films:
    """Films at 256×128: float32 images (n, 256, 128, 2), breasts, boxes of each (x, y, width, height), patients."""

    images: np.ndarray
    masks: np.ndarray
    boxes: list
    subjects: np.ndarray

    def part(self, some) -> "Films":
        return Films(self.images[some], self.masks[some], [self.boxes[index] for index in some], self.subjects[some])


def prepared(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What the network sees: brightness over that of the breast, and what stands out of its surroundings."""
    inside = mask > 0
    mean, spread = image[inside].mean(), max(float(image[inside].std()), 1e-3)
    levelled = np.where(inside, (image - mean) / spread, -2).astype(np.float32)
    return np.stack([levelled, 2 * (levelled - cv2.GaussianBlur(levelled, (0, 0), 10))], axis=-1)


def films_of(dataset, lesions: list) -> Films:
    masks = dataset.masks(LEVEL, range(dataset.count))
    images = np.array([prepared(dataset.images(LEVEL, [item])[0], masks[item]) for item in range(dataset.count)])
    scale = LEVEL[0] / dataset.levels[-1][0]
    boxes = [[tuple(scale * value for value in one.box) for one in found] for found in lesions]
    return Films(images, masks, boxes, dataset.field("subject"))


def composed(dataset, hosts, source, placement, count: int, seed: int) -> Films:
    """Mammograms of a dataset (`hosts`, its items) with masses of a source."""
    from lesions.inserter import Inserter, Settings

    of_any = {name: np.full(len(source), "") for name in ("split", "subject")}  # folds keep patients apart, not splits
    source = replace(source, labels=source.labels | of_any)
    inserter = Inserter(dataset, source, placement, Settings(split="all", seed=seed))
    inserter.items = hosts
    found = [inserter.image(number) for number in range(count)]
    size, scale = LEVEL[::-1], LEVEL[0] / dataset.levels[-1][0]
    masks = [cv2.resize(one.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5 for one in found]
    images = [cv2.resize(one.image, size, interpolation=cv2.INTER_AREA) for one in found]
    boxes = [[tuple(scale * value for value in box.box) for box in one.annotations] for one in found]
    return Films(np.array([prepared(*pair) for pair in zip(images, masks)]), np.array(masks), boxes, np.arange(count))


# --------------------------------------------------------------------------------------- training


def crop(films: Films, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A turned, scaled and perhaps mirrored crop, half of them with a mass; the map (…, 2) of mass and weight."""
    boxes = np.array(films.boxes[number]).reshape(-1, 4)
    if len(boxes) and rng.integers(2):
        x, y, width, height = boxes[rng.integers(len(boxes))]
        centre = np.array([x + width / 2, y + height / 2]) + rng.uniform(-0.35, 0.35, 2) * CROP
    else:
        rows, columns = np.nonzero(films.masks[number])
        some = rng.integers(len(rows))
        centre = np.array([columns[some], rows[some]], float)
    angle, scale = rng.uniform(-0.3, 0.3), np.exp(rng.uniform(-0.2, 0.2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[1] *= rng.choice([1, -1])
    matrix = np.c_[turn, CROP / 2 - turn @ centre]
    image = cv2.warpAffine(films.images[number], matrix, (CROP, CROP), borderValue=(-2, 0))
    image = image * rng.uniform(0.9, 1.1) + rng.normal(0, 0.1)
    cells = CROP // STRIDE
    places = (np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1) + 0.5) * STRIDE  # x, y
    places = (places - matrix[:, 2]) @ np.linalg.inv(turn).T  # in the film
    target = np.zeros((cells, cells, 2), np.float32)
    target[..., 1] = 1
    for x, y, width, height in boxes:
        distance = np.hypot((places[..., 0] - x) / width * 2 - 1, (places[..., 1] - y) / height * 2 - 1)
        core = distance <= CORE
        core |= distance == distance.min() if distance.min() < 1 else False
        target[..., 1] = np.where(core, MASS_WEIGHT, np.where(distance <= 1.2, 0, target[..., 1]))
        target[..., 0] = np.maximum(target[..., 0], core)
    return image.astype(np.float32), target


def built():
    from keras import Model, initializers, layers

    def convolved(x, filters, strides=1):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))

    image = x = layers.Input((None, None, 2))
    x = convolved(x, WIDTHS[0], 2)
    kept = []
    for filters in WIDTHS[1:]:
        x = convolved(convolved(x, filters, 2), filters)
        kept.append(x)
    for other in reversed(kept[:-1]):
        x = layers.UpSampling2D()(layers.Conv2D(other.shape[-1], 1)(x))
        x = convolved(layers.Concatenate()([x, other]), other.shape[-1])
    return Model(image, layers.Conv2D(1, 1, bias_initializer=initializers.Constant(-3.0))(layers.Dropout(0.1)(x)))


def trained(films: Films, extra: Films | None, steps: int, seed: int):
    """A network trained on crops of films, half of each batch of `extra` where there is any."""
    import keras
    from keras import ops

    def loss(target, logits):
        found, weight = target[..., :1], target[..., 1:]
        entropy = ops.binary_crossentropy(found, logits, from_logits=True)
        return ops.sum(weight * entropy) / ops.sum(weight)

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = built()
    network.compile(keras.optimizers.Adam(LEARNING_RATE), loss, jit_compile=False)
    sources = [films] if extra is None else [films, extra]
    for step in range(steps):
        network.optimizer.learning_rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        chosen = [sources[number % len(sources)] for number in range(BATCH)]
        crops = [crop(one, int(rng.integers(len(one.images))), rng) for one in chosen]
        network.train_on_batch(*(np.array(column) for column in zip(*crops)))
    return network


# ---------------------------------------------------------------------------------------- testing


def maps(network, images: np.ndarray) -> np.ndarray:
    """Map (n, 64, 32) of where masses are, film and mirrored film."""
    both = [network.predict(some, batch_size=16, verbose=0)[..., 0] for some in (images, images[:, ::-1])]
    return (both[0] + both[1][:, ::-1]) / 2


def blobs(images: np.ndarray) -> np.ndarray:
    """The same by brightness alone: what is brighter than its surroundings at the median size of masses."""
    blur = lambda image, sigma: cv2.GaussianBlur(image, (0, 0), sigma)
    found = [blur(image[..., 0], 4) - blur(image[..., 0], 10) for image in images]
    size = LEVEL[1] // STRIDE, LEVEL[0] // STRIDE
    return np.array([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in found])


def detections(drawn: np.ndarray, films: Films) -> list[tuple[list, int]]:
    """For each film: (score, which lesion it hits or −1) of its peaks, and how many lesions there are."""
    found = []
    for one, mask, boxes in zip(drawn, films.masks, films.boxes):
        one = np.where(cv2.resize(mask.astype(np.float32), one.shape[::-1], interpolation=cv2.INTER_AREA) > 0, one, -99)
        smooth = cv2.GaussianBlur(one.astype(np.float32), (0, 0), 0.8)
        top = (smooth == cv2.dilate(smooth, np.ones((NEAR, NEAR), np.uint8))) & (one > -99)
        rows, columns = np.nonzero(top)
        best = np.argsort(smooth[rows, columns])[::-1][:PEAKS]
        peaks = []
        for row, column in zip(rows[best], columns[best]):
            x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
            hit = [n for n, box in enumerate(boxes) if inside(x - box[0], box[2]) and inside(y - box[1], box[3])]
            peaks.append((float(smooth[row, column]), hit[0] if hit else -1))
        found.append((peaks, len(boxes)))
    return found


def inside(offset: float, length: float) -> bool:
    """Whether a place lies in a box, with half a cell to spare."""
    return -STRIDE / 2 <= offset <= length + STRIDE / 2


def measured(found: list) -> np.ndarray:
    """Sensitivity at each of `RATES`, and average precision."""
    rows = []
    for peaks, _ in found:
        seen = set()
        for score, hit in peaks:  # best first; a second peak in a lesion counts neither way
            if hit not in seen:
                rows.append((score, hit >= 0))
            if hit >= 0:
                seen.add(hit)
    lesions = sum(count for _, count in found)
    hits = np.array([hit for _, hit in sorted(rows, key=lambda row: -row[0])], bool)
    sensitivity, false = np.cumsum(hits) / lesions, np.cumsum(~hits) / len(found)
    at = [sensitivity[false <= rate].max(initial=0) for rate in RATES]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return np.array([*at, (precision * hits).sum() / lesions])


def intervals(found: dict[str, list], subjects: np.ndarray, base: str, seed: int = 0) -> dict[str, np.ndarray]:
    """(value, low, high, gain over `base`, low, high) [measures, 6] of each arm, films drawn by patient."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(subjects == subject) for subject in np.unique(subjects)]
    drawn = {arm: [] for arm in found}
    for _ in range(REPLICATES):
        some = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        for arm, films in found.items():
            drawn[arm].append(measured([films[index] for index in some]))
    value = {arm: measured(films) for arm, films in found.items()}
    result = {}
    for arm in found:
        limits = np.percentile(drawn[arm], [2.5, 97.5], axis=0)
        gains = np.percentile(np.array(drawn[arm]) - drawn[base], [2.5, 97.5], axis=0)
        result[arm] = np.array([value[arm], *limits, value[arm] - value[base], *gains]).T
    return result


@dataclass(frozen=True, eq=False)
class Inputs:
    """Mammograms with lesions, generated ones, and the folder of generated masses, `{fold}` in its place."""

    dataset: object
    annotations: list
    generated: object
    masses: str

    def extra(
        self, arm: str, known: np.ndarray, training: np.ndarray, count: int, fold: int, seed: int
    ) -> Films | None:
        """Images with inserted masses; `known` and `training` are the films of some and of all training patients."""
        from lesions.masses import mass_source
        from lesions.placement import fit_placement
        from preprocessing.shards import open_dataset

        kind, _, generated = arm.partition("-in-")
        if kind == "films":
            return None
        if kind == "masses":
            source = mass_source(open_dataset(self.masses.format(fold=fold)))
        else:
            source = of_items(mass_source(self.dataset), known if kind == "moved" else training)
        hosts, items = (self.generated, np.arange(self.generated.count)) if generated else (self.dataset, known)
        items = np.random.default_rng(seed).permutation(items)
        return composed(hosts, items, source, fit_placement(self.dataset, self.annotations, items=known), count, seed)


def of_items(source, items: np.ndarray):
    """The masses of some mammograms."""
    kept = np.isin([source.annotations[number].item for number in source.numbers], items)
    labels = {name: values[kept] for name, values in source.labels.items()}
    return replace(source, numbers=source.numbers[kept], labels=labels)


@click.command(help=__doc__.split("\n")[0], context_settings={"show_default": True})
@click.option("--mammograms", type=click.Path(exists=True, path_type=Path), required=True, help="Dataset with lesions.")
@click.option("--generated", type=click.Path(exists=True, path_type=Path), help="Dataset of generated mammograms.")
@click.option("--masses", default="", help="Dataset of generated masses; {fold} stands for 0 to 4.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder of results.")
@click.option("--steps", type=click.IntRange(1), default=1000, help="Of each training, 32 crops each.")
@click.option("--inserted", type=click.IntRange(1), default=400, help="Images with inserted masses.")
@click.option("--folds", type=click.IntRange(1, FOLDS), default=FOLDS, help="How many of the five to test on.")
@click.option("--shares", default=",".join(map(str, SHARES)), help="Of the training patients.")
@click.option("--arms", default=ARMS, help="What to train on.")
@click.option("--seed", type=click.IntRange(0), default=0)
def main(mammograms, generated, masses, work, steps, inserted, folds, shares, arms, seed) -> None:
    from preprocessing.tensorflow_settings import import_tensorflow_quietly

    import_tensorflow_quietly()
    from lesions.annotations import by_item, read_annotations
    from preprocessing.shards import open_dataset

    dataset = open_dataset(mammograms, kind="mammogram")
    annotations = read_annotations(dataset)
    films = films_of(dataset, by_item(annotations, dataset.count))
    inputs = Inputs(dataset, annotations, generated and open_dataset(generated, kind="mammogram"), masses)
    work.mkdir(parents=True, exist_ok=True)
    names, numbers = np.unique(films.subjects, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))[numbers]  # of each film's patient
    shares, arms = [float(share) for share in shares.split(",")], arms.split(",")
    tests = [np.flatnonzero(order % FOLDS == fold) for fold in range(folds)]
    subjects = np.concatenate([films.subjects[test] for test in tests])
    found = {"blobs": [one for test in tests for one in detections(blobs(films.images[test]), films.part(test))]}
    for fold, test in enumerate(tests):
        people = np.unique(order[order % FOLDS != fold])
        for share, arm in product(shares, arms):
            file = work / f"{fold}-{share}-{arm}.npy"
            if not file.exists():
                began = time.process_time()
                known = np.flatnonzero(np.isin(order, people[: round(share * len(people))]))
                extra = inputs.extra(arm, known, np.flatnonzero(order % FOLDS != fold), inserted, fold, seed + fold)
                made = time.process_time()
                network = trained(films.part(known), extra, steps, seed + fold)
                np.save(file, maps(network, films.images[test]))
                seconds = f"{made - began:.0f} and {time.process_time() - made:.0f} CPU seconds"
                click.echo(f"{file.stem}: {len(known)} films, {seconds}")
            found.setdefault(f"{share} {arm}", []).extend(detections(np.load(file), films.part(test)))
    report(work / "detection.csv", found, subjects, shares)


def report(path: Path, found: dict[str, list], subjects: np.ndarray, shares: list[float]) -> None:
    measures = [*(f"sensitivity at {rate}" for rate in RATES), "AP"]
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["arm", "measure", "value", "low", "high", "gain", "gain low", "gain high"])
        for share in shares:
            arms = {arm: films for arm, films in found.items() if arm.startswith(f"{share} ") or arm == "blobs"}
            for arm, rows in intervals(arms, subjects, f"{share} films").items():
                for measure, row in zip(measures, rows):
                    table.writerow([arm, measure, *np.round(row, 4)])
                text = "; ".join(
                    "{} {:.3f} [{:.3f}, {:.3f}] gain {:+.3f} [{:+.3f}, {:+.3f}]".format(measure, *row)
                    for measure, row in zip(measures, rows)
                )
                click.echo(f"{arm}, {len(subjects)} films: {text}")


if __name__ == "__main__":
    main()
