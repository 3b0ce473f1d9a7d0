"""All metrics by name, in the order of the table, and the names that they had before names carried the protocol."""

from collections.abc import Sequence

from evaluation.image_set import EvaluationError, Samples
from evaluation.metrics.detail import DETAIL_OF_ONE_MASK, DETAIL_OF_PAIRS
from evaluation.metrics.feature_distances import NEIGHBOURS, feature_metrics
from evaluation.metrics.features import Extractor, radiomic
from evaluation.metrics.labels import LABELS_LEARNED, LABELS_READ
from evaluation.metrics.masks import HISTOGRAM, LEAKAGE, MASK_IOU
from evaluation.metrics.memorisation import MEMORISATION
from evaluation.metrics.metric import Metric
from evaluation.metrics.msssim import DIVERSITY, VARIATION
from evaluation.metrics.realism import REALISM
from evaluation.metrics.swd import SLICED_WASSERSTEIN
from evaluation.metrics.texture import FINE_ENERGY, POWER_LAW

_OF_PAIRS = (DIVERSITY, VARIATION, DETAIL_OF_PAIRS, DETAIL_OF_ONE_MASK)
_OF_IMAGES = (SLICED_WASSERSTEIN, *_OF_PAIRS, MASK_IOU, LEAKAGE, POWER_LAW, FINE_ENERGY, HISTOGRAM)
_JUDGED = (MEMORISATION, REALISM, LABELS_READ, LABELS_LEARNED)

_FORMER = {
    "swd": (SLICED_WASSERSTEIN.name,),
    "msssim": (DIVERSITY.name,),
    "variation": (VARIATION.name,),
    "iou": (MASK_IOU.name,),
    "beta": (POWER_LAW.name,),
    "fine": (FINE_ENERGY.name,),
    "histogram": (HISTOGRAM.name,),
    "privacy": (MEMORISATION.name,),
    "auc": (REALISM.name,),
    "labels": (LABELS_READ.name, LABELS_LEARNED.name),
}
_FORMER_OF_FEATURES = ("fid", "kid", "precision", "recall", "density", "coverage")


def catalogue(extractor: Extractor = radiomic, extractor_name: str = "radiomic") -> dict[str, Metric]:
    """Return all metrics by name.

    Args:
        extractor: of the features of FID, KID, precision, recall, density and coverage.
        extractor_name: what the names of these metrics say of it.
    """
    metrics = (*_OF_IMAGES, *feature_metrics(extractor, extractor_name), *_JUDGED)
    return {metric.name: metric for metric in metrics}


def suitable(metrics: dict[str, Metric], real: Samples, fake: Samples) -> list[str]:
    """Return the names of the metrics that two sets can have and that are measured where none is named."""
    return [name for name, metric in metrics.items() if metric.by_default and not metric.unsuitable(real, fake)]


def present_names(names: Sequence[str], metrics: dict[str, Metric]) -> tuple[list[str], dict[str, list[str]]]:
    """Replace former names of metrics by present ones.

    Args:
        names: as a user gives them.
        metrics: all there are.

    Returns:
        (present names, each once; former name → present names for each that was given).

    Raises:
        EvaluationError: an unknown metric, with the names that there are.
    """
    former = {name: list(now) for name, now in _FORMER.items()}
    for name in _FORMER_OF_FEATURES:
        starts = (f"{name}_", f"{name}_k{NEIGHBOURS}_")
        former[name] = [now for now in metrics if now.startswith(starts)]
    found, replaced = [], {}
    for name in names:
        if name in metrics:
            found.append(name)
        elif name in former:
            replaced[name] = former[name]
            found += former[name]
        else:
            raise EvaluationError(f"unknown metric {name!r}; there are {', '.join(metrics)}")
    return list(dict.fromkeys(found)), replaced
