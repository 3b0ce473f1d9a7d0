"""A reader study with lesions: mammograms without lesions, with genuine and with inserted ones, mixed **(ours)**."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evaluation.image_set import EvaluationError
from evaluation.reader_study.build import Shown, write_study
from evaluation.reader_study.key import FIND, GENUINE, INSERTED, IS_LESION, IS_REAL, NORMAL
from lesions.annotations import Annotation, by_item, has_annotations, read_annotations
from lesions.export import MANIFEST
from preprocessing.counted import counted
from preprocessing.csv_table import read_table
from preprocessing.shards import Dataset

WORDS = {name: [words[score] for score in sorted(words)] for name, words in (("lesion", IS_LESION), ("real", IS_REAL))}

DONOR = re.compile(r"item (\d+), lesion of item (\d+) at .*")  # image and mass in the manifest of inserted lesions


@dataclass(frozen=True, eq=False)
class Source:
    """The images of one kind that a study can show.

    Attributes:
        flag: the option that named the dataset, for error texts.
        lesions: by item, of the whole dataset.
        items: that are of the kind.
        donors: by item, patients of the genuine images whose lesions were inserted into it.
    """

    flag: str
    dataset: Dataset
    lesions: Sequence[Sequence[Annotation]]
    items: np.ndarray
    donors: Mapping[int, set[str]] = field(default_factory=dict)


def build_lesion_study(
    genuine: Dataset,
    inserted: Dataset,
    page: str | os.PathLike,
    key: str | os.PathLike,
    *,
    normal: Dataset | None = None,
    count: int = 30,
    title: str = "Reader study",
    seed: int = 0,
) -> str:
    """Write the page and the sealed key of a study with as many images of each kind.

    Args:
        genuine: mammograms with known lesions.
        inserted: mammograms with inserted lesions, as `insert_lesions` writes them.
        page, key: as of `build.build`.
        normal: mammograms without lesions. Defaults to those of `genuine` that have none.
        count: images of each kind.
        title: shown to the readers; must not tell what is what.
        seed: which images are drawn.

    Returns:
        The study's name.

    Raises:
        EvaluationError: too few images of a kind, images of different sizes, or as of `build.write_study`.
        DataError: the lesions of a dataset are not known, or where inserted ones are from.
        OSError: a file cannot be written.
    """
    known = read_annotations(genuine)
    sources = {
        GENUINE: _source(
            "--genuine", genuine, known, lambda found: len(found) > 0 and not any(one.synthetic for one in found)
        ),
        INSERTED: _source(
            "--inserted", inserted, read_annotations(inserted), lambda found: any(one.synthetic for one in found)
        ),
    }
    sources[INSERTED] = replace(sources[INSERTED], donors=_donors(sources[INSERTED], genuine))
    if normal is None:
        sources[NORMAL] = _source("--genuine", genuine, known, lambda found: not found)
    else:
        lesions = read_annotations(normal) if has_annotations(normal) else []
        sources[NORMAL] = _source("--normal", normal, lesions, lambda found: not found)
    _check_sizes(sources)
    shown = [_shown(sources[kind], kind, item) for kind, items in drawn(sources, count, seed).items() for item in items]
    return write_study(shown, page, key, task=FIND, words=WORDS, title=title, of_patients=True)


def drawn(sources: dict[str, Source], count: int, seed: int) -> dict[str, list[int]]:
    """Draw the items of each kind, no two images of one patient: the same breast without its lesion would tell.

    Nor is a lesion shown both in its own breast and in the one that it was inserted into.

    Raises:
        EvaluationError: there are not enough patients.
    """
    rng = np.random.default_rng(seed)
    taken: set[str] = set()
    with_own: set[str] = set()  # patients whose genuine lesion is shown in place
    elsewhere: set[str] = set()  # and where it was inserted
    chosen: dict[str, list[int]] = {}
    patients = {kind: source.dataset.field("subject")[source.items] for kind, source in sources.items()}
    for kind in sorted(sources, key=lambda kind: len(np.unique(patients[kind]))):
        source, chosen[kind] = sources[kind], []
        for place in rng.permutation(len(source.items)):
            item, whose = int(source.items[place]), patients[kind][place]
            own, donors = {whose} if kind == GENUINE else set(), source.donors.get(item, set())
            twice = whose in taken or own & elsewhere or donors & with_own
            if len(chosen[kind]) < count and not twice:
                taken.add(whose)
                with_own |= own
                elsewhere |= donors
                chosen[kind].append(item)
        if len(chosen[kind]) < count:
            other = ", or give --normal" if kind == NORMAL and source.flag != "--normal" else ""
            found = counted(len(chosen[kind]), "patient")
            raise EvaluationError(
                f"{source.flag} {source.dataset.folder}: has {kind} images of {found} not yet in the study, "
                f"--images asks for {count}; ask for fewer{other}"
            )
    return chosen


def _source(
    flag: str,
    dataset: Dataset,
    annotations: Sequence[Annotation],
    wanted: Callable[[Sequence[Annotation]], bool],
) -> Source:
    lesions = by_item(annotations, dataset.count)
    items = [item for item, found in enumerate(lesions) if wanted(found)]
    return Source(flag, dataset, lesions, np.array(items, int))


def _donors(inserted: Source, genuine: Dataset) -> dict[int, set[str]]:
    """Find the patients of the genuine images whose lesions were inserted, by the item they are in now."""
    donors: dict[int, set[str]] = defaultdict(set)
    if not len(inserted.items):
        return donors
    subjects = genuine.field("subject")
    for row in read_table(inserted.dataset.folder / MANIFEST, inserted.flag, ("image", "mass", "masses")):
        found = DONOR.fullmatch(f"{row['image']}, {row['mass']}")
        if found and row["masses"] == genuine.fingerprint and int(found[2]) < genuine.count:
            donors[int(found[1])].add(subjects[int(found[2])])
    return donors


def _check_sizes(sources: dict[str, Source]) -> None:
    wanted = sources[GENUINE].dataset.levels[-1]
    for source in sources.values():
        height, width = source.dataset.levels[-1]
        if (height, width) != wanted:
            raise EvaluationError(
                f"{source.flag} {source.dataset.folder}: has images of {height}x{width}, --genuine of "
                f"{wanted[0]}x{wanted[1]}; sizes would give the answer away"
            )


def _shown(source: Source, kind: str, item: int) -> Shown:
    image = source.dataset.images(source.dataset.levels[-1], [item])[0]
    lesions = [{"box": list(one.box), "inserted": one.synthetic} for one in source.lesions[item]]
    return Shown(image, {"kind": kind, "lesions": lesions})
