"""A page to look at: every image of a COCO folder with the boxes and outlines of its lesions."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from preprocessing.atomic import write_whole
from preprocessing.contact_sheet.pages import STYLE, SYNTHETIC, VIEWPORT, WARNING
from preprocessing.counted import counted

PAGE = "index.html"
_COLOURS = {True: "#60ff60", False: "#ffa040"}  # of a lesion inserted here, and of one that was there before
_STYLE = (
    "img, svg { display: block; width: 256px; height: auto } svg { background: none; position: absolute; top: 4px }"
)


def write_page(folder: Path, content: dict, synthetic: bool) -> Path:
    """Write `index.html`, which shows the files in `images/`; browsers load them as they are scrolled to.

    Args:
        content: what `annotations.json` holds.
        synthetic: whether no part of an image is of a patient.
    """
    lesions: dict[int, list[dict]] = {image["id"]: [] for image in content["images"]}
    for lesion in content["annotations"]:
        lesions[lesion["image_id"]].append(lesion)
    figures = "".join(_figure(image, lesions[image["id"]]) for image in content["images"])
    inserted = sum(map(_inserted, content["annotations"]))
    before = len(content["annotations"]) - inserted
    there = f", {before} there before (orange)" if before else ""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{VIEWPORT}<title>Mammograms with lesions</title>'
        f"<style>{STYLE}{_STYLE}</style><h1>Mammograms with lesions</h1>"
        f'<p class="warning">{SYNTHETIC if synthetic else WARNING}</p>'
        f"<p>{counted(len(content['images']), 'image')}, {counted(inserted, 'inserted lesion')} (green){there}. "
        "Boxes and outlines hide under the pointer.</p>"
        f"<main>{figures}</main></html>\n"
    )
    write_whole(folder / PAGE, page)
    return folder / PAGE


def _inserted(lesion: dict) -> bool:
    """Whether a lesion came with a mass; those that an earlier call inserted were in the mammogram before."""
    return bool(lesion["mass"])


def _figure(image: dict, lesions: list[dict]) -> str:
    shapes = "".join(shape for lesion in lesions for shape in _shapes(lesion))
    kinds = "; ".join(_kind(lesion) for lesion in lesions)
    words = ", ".join((image["laterality"] or "side unknown", image["view"] or "view unknown"))
    return (
        f'<figure style="position: relative"><img loading="lazy" src="images/{image["file_name"]}" alt="">'
        f'<svg viewBox="0 0 {image["width"]} {image["height"]}">{shapes}</svg>'
        f"<figcaption>{image['id'] - 1}: {escape(words)}<br><small>{kinds}</small>"
        "</figcaption></figure>\n"
    )


def _kind(lesion: dict) -> str:
    """Shape and margin in the colour of the box."""
    words = " ".join(filter(None, (lesion["shape"], lesion["margin"]))) or "unlabelled"
    return f'<span style="color: {_COLOURS[_inserted(lesion)]}">{escape(words)}</span>'


def _shapes(lesion: dict) -> Iterator[str]:
    """The box, and the outline where it is more than the box."""
    colour = _COLOURS[_inserted(lesion)]
    x, y, width, height = lesion["bbox"]
    yield f'<path style="stroke: {colour}" d="M{x} {y}h{width}v{height}h-{width}z"/>'
    (points,) = lesion["segmentation"]
    if len(points) > 8:
        pairs = " ".join(f"{px:g},{py:g}" for px, py in zip(points[::2], points[1::2]))
        yield f'<path style="stroke: {colour}; stroke-dasharray: 2" d="M{pairs}z"/>'
