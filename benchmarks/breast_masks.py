"""How well breast masks agree with hand labels: IoU of the methods `film` and `otsu`.

The folder holds films `fgt_seg/NAME.png` and label maps `fgt_seg_labels/NAME_LI.png` (64 is
background), as in the 66 DDSM films with tissue labels; they may lie in subfolders.

    python benchmarks/breast_masks.py --folder ddsm-tissue66
"""

from pathlib import Path

import click
import cv2
import numpy as np

from preprocessing.mammograms.breast_mask import breast_mask

BACKGROUND = 64  # grey value in a label map


def labelled_films(folder: Path) -> list[tuple[Path, Path]]:
    """Pairs of film and label map found under the folder, sorted."""
    films = sorted(folder.rglob("fgt_seg/*.png"))
    pairs = [(film, film.parents[1] / "fgt_seg_labels" / f"{film.stem}_LI.png") for film in films]
    return [(film, labels) for film, labels in pairs if labels.is_file()]


def intersection_over_union(film: Path, labels: Path, method: str) -> float:
    """IoU of the found and the hand-drawn breast of one film."""
    pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    by_hand = cv2.imread(str(labels), cv2.IMREAD_GRAYSCALE) != BACKGROUND
    found = breast_mask(pixels, method)
    return float((found & by_hand).sum() / (found | by_hand).sum())


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    pairs = labelled_films(folder)
    if not pairs:
        raise click.BadParameter(f"no labelled films under {folder}", param_hint="--folder")
    mean = {}
    for method in ("film", "otsu"):
        agreement = [intersection_over_union(*pair, method) for pair in pairs]
        mean[method] = np.mean(agreement)
        print(f"{method}: IoU mean {mean[method]:.3f}, worst {min(agreement):.3f} (n={len(pairs)})")
    print(f"ratio film / otsu: {mean['film'] / mean['otsu']:.2f}")


if __name__ == "__main__":
    main()
