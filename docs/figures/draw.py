"""Draw the figures of the documentation; sizes and numbers in them are read from the code.

python docs/figures/draw.py
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

FOLDER = Path(__file__).parent
BLUE, GREEN, ORANGE, GREY, WHITE = "#dbe6f5", "#dcefdc", "#fbe5cf", "#ececec", "#ffffff"
CONTENT = "Description"  # entry of a PNG file that says what was drawn


@dataclass(frozen=True)
class Box:
    """A rounded box: its name, its lines of text, and where its centre is."""

    name: str
    text: str
    x: float
    y: float
    width: float
    height: float = 0.7
    color: str = BLUE


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, with a label."""

    start: str
    end: str
    text: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class Diagram:
    """Boxes and arrows on a canvas of `width` × `height` units."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float

    @property
    def content(self) -> str:
        """A digest of everything that is drawn."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


def size(shape: tuple) -> str:
    """(None, 512, 256, 8) → "512×256×8"."""
    return "×".join(str(length) for length in shape[1:])


# ---------------------------------------------------------------------------------------- diagrams


def data() -> Diagram:
    """The way from files to a report: mammograms above, masses below, both together in mammograms with lesions."""
    mammograms = (
        ("files", "DICOM, PNG, TIFF,\nJPEG, PGM", GREY, "prepare-\nmammograms"),
        ("dataset", "dataset:\nseven resolutions,\nmasks, patients split", BLUE, "train-\nmask-embed"),
        ("generator", "generator.keras", ORANGE, "generate-\nmammograms"),
        ("synthetic", "synthetic dataset,\nPNG or DICOM", GREEN, "evaluate"),
        ("report", "report.html", GREY, ""),
    )
    masses = (
        ("boxes", "marked masses:\nCBIS-DDSM, DDSM,\nCSV of boxes", GREY, "prepare-\nmasses"),
        ("mass dataset", "dataset of masses:\n64×64 pixels,\nshape and margin", BLUE, "train-\nfeature2mass"),
        ("mass networks", "encoder.keras,\ndecoder.keras", ORANGE, "generate-\nmasses"),
        ("synthetic masses", "labelled masses,\ndataset or PNG", GREEN, ""),
    )
    boxes, arrows = [], []
    for y, chain in ((4.0, mammograms), (0.8, masses)):
        boxes += [Box(name, text, 1.3 + 3.9 * n, y, 2.3, 1.2, color) for n, (name, text, color, _) in enumerate(chain)]
        arrows += [Arrow(one[0], other[0], one[3]) for one, other in zip(chain, chain[1:], strict=False)]
    boxes.append(Box("readers", "reader study:\none HTML page", 16.9, 5.8, 2.3, 0.9, GREY))
    boxes.append(
        Box("lesions", "mammograms with\nlesions: dataset, PNG,\nDICOM, COCO, YOLO", 16.9, 2.2, 2.3, 1.2, GREEN)
    )
    arrows.append(Arrow("synthetic", "readers", "reader-study"))
    arrows += [Arrow("synthetic", "lesions", "insert-lesions"), Arrow("synthetic masses", "lesions", "insert-lesions")]
    return Diagram(tuple(boxes), tuple(arrows), 18.3, 6.4)


def mask_embedding_generator(phase: int = 7) -> Diagram:
    """The generator of the preset `paper`, read from the network itself."""
    from mask_embedding_gan.blocks import NetworkConfig
    from mask_embedding_gan.generator import build_generator

    network = build_generator(NetworkConfig(), phase, fading=False)
    shape = {layer.name: size(layer.output.shape) for layer in network.layers}
    kernels = network.get_layer("to_image_7").output.shape[-1]
    boxes = [Box("mask", f"mask\n{shape['mask']}", 2, phase + 1.3, 2.4, color=GREY)]
    boxes.append(Box("image", f"image\n{size((None, *network.output.shape[1:]))}", 9, phase + 1.3, 2.4, color=GREEN))
    arrows = [Arrow("mask", f"mask {phase}")]
    for level in range(phase, 0, -1):
        boxes.append(Box(f"mask {level}", f"mask block → {shape[f'mask_{level}_activation']}", 2, level, 3.2, 0.55))
        text = f"latent block → {shape[f'latent_{level}_norm']}"
        boxes.append(Box(f"latent {level}", text, 9, level, 3.4, 0.55, ORANGE))
        if level > 1:
            arrows.append(Arrow(f"mask {level}", f"mask {level - 1}"))
            arrows.append(Arrow(f"latent {level - 1}", f"latent {level}"))
            arrows.append(Arrow(f"mask {level}", f"latent {level}", "concatenated", dashed=True))
    boxes += [
        Box("embedding", f"mask embedding\n{shape['mask_embedding']}", 2, -0.4, 2.4, color=BLUE),
        Box("latent", f"latent\n{shape['latent']}", 5.5, -1.7, 2.0, color=GREY),
        Box("joined", f"joined\n{shape['latent_and_embedding']}", 5.5, -0.4, 2.0, color=WHITE),
        Box("base", f"dense → {shape['projection_4x2']}", 9, -0.4, 2.8, color=ORANGE),
    ]
    arrows += [
        Arrow("mask 1", "embedding", "dense"),
        Arrow("embedding", "joined"),
        Arrow("latent", "joined"),
        Arrow("joined", "base"),
        Arrow("base", "latent 1"),
        Arrow(f"latent {phase}", "image", f"1×1 convolution to {kernels}"),
    ]
    lift = 2.4
    return Diagram(tuple(Box(**{**asdict(box), "y": box.y + lift}) for box in boxes), tuple(arrows), 11.2, phase + 4.3)


def growth() -> Diagram:
    """How a block is faded in: the image of a phase is a weighted sum of two."""
    boxes = (
        Box("below", "features of the phase before", 2.2, 1.5, 3.4, color=ORANGE),
        Box("new", "new block,\ntwice the resolution", 6.6, 2.4, 2.8, 0.8, ORANGE),
        Box("to new", "1×1 convolution", 10.4, 2.4, 2.3, color=BLUE),
        Box("to old", "1×1 convolution\nof the phase before", 6.6, 0.6, 2.8, 0.8, BLUE),
        Box("double", "enlarged", 10.4, 0.6, 2.3, color=WHITE),
        Box("sum", "sum", 13.4, 1.5, 1.1, color=WHITE),
        Box("image", "image", 15.6, 1.5, 1.6, color=GREEN),
    )
    arrows = (
        Arrow("below", "new"),
        Arrow("below", "to old"),
        Arrow("new", "to new"),
        Arrow("to old", "double"),
        Arrow("to new", "sum", "α"),
        Arrow("double", "sum", "1 − α"),
        Arrow("sum", "image"),
    )
    return Diagram(boxes, arrows, 16.6, 3.0)


def pix2pix_generator() -> Diagram:
    """The U-Net of pix2pix at 512×256, read from the network itself."""
    from pix2pix.networks import NetworkConfig, build_generator

    config = NetworkConfig()
    network = build_generator(config)
    shape = {layer.name: size(layer.output.shape) for layer in network.layers}
    depth = config.depth
    boxes = [Box("map", f"texture map\n{shape['texture_map']}", 2, depth + 1.3, 2.6, color=GREY)]
    boxes.append(Box("image", f"image\n{shape['image']}", 9, depth + 1.3, 2.6, color=GREEN))
    arrows = [Arrow("map", "down 1"), Arrow("up 1", "image", "tanh")]
    for layer in range(1, depth + 1):
        y = depth + 1 - layer
        boxes.append(Box(f"down {layer}", f"encoder {layer} → {shape[f'encoder_{layer}_activation']}", 2, y, 3.2, 0.55))
        if layer > 1:
            arrows.append(Arrow(f"down {layer - 1}", f"down {layer}"))
        block = depth - layer  # of the decoder, which reaches this resolution; the last one gives the image
        if block >= 1:
            dropped = " (dropout)" if block <= len(config.dropped) else ""
            text = f"decoder {block} → {shape[f'decoder_{block}_activation']}{dropped}"
            boxes.append(Box(f"up {layer}", text, 9, y, 4.0, 0.55, ORANGE))
            arrows.append(Arrow(f"down {layer}", f"up {layer}", "concatenated", dashed=True))
            arrows.append(Arrow(f"up {layer + 1}" if block > 1 else f"down {depth}", f"up {layer}"))
    return Diagram(tuple(boxes), tuple(arrows), 11.4, depth + 2.0)


def feature2mass() -> Diagram:
    """The networks of Feature2Mass, with the sizes of the preset `paper`."""
    from feature2mass.networks import EMBEDDING_UNITS, FEATURES, SIZE

    units = " → ".join(map(str, EMBEDDING_UNITS))
    plane = f"{SIZE}×{SIZE}"
    boxes = (
        Box("margin", f"margin, one-hot\ndense {units}", 1.9, 4.3, 3.0, 0.9, GREY),
        Box("mass", f"mass\n{plane}×1", 1.9, 2.9, 3.0, 0.9, GREY),
        Box("shape", f"shape, one-hot\ndense {units}", 1.9, 1.5, 3.0, 0.9, GREY),
        Box("input", f"{plane}×3", 5.0, 2.9, 1.7, 0.8, WHITE),
        Box("encoder", "encoder\n7 convolutions", 7.6, 2.9, 2.2, 0.9),
        Box("feature", f"visual feature\n{FEATURES}", 10.4, 2.9, 2.1, 0.9, GREEN),
        Box("decoder", "decoder\n7 transposed\nconvolutions", 13.2, 2.9, 2.2, 1.1, ORANGE),
        Box("new", f"mass\n{plane}×1", 15.9, 2.9, 1.8, 0.9, GREY),
        Box("d1", "D₁: real or generated?\nwhich margin?", 15.2, 4.6, 3.4, 0.9, WHITE),
        Box("d2", "D₂: real or generated?\nwhich shape?", 15.2, 1.2, 3.4, 0.9, WHITE),
        Box("others", "features of other masses,\nweights that sum to 1", 10.4, 1.2, 3.4, 0.9, WHITE),
    )
    arrows = (
        Arrow("margin", "input"),
        Arrow("mass", "input"),
        Arrow("shape", "input"),
        Arrow("input", "encoder"),
        Arrow("encoder", "feature"),
        Arrow("feature", "decoder"),
        Arrow("decoder", "new"),
        Arrow("new", "d1"),
        Arrow("new", "d2"),
        Arrow("others", "feature", "mixed", dashed=True),
    )
    return Diagram(boxes, arrows, 17.2, 5.4)


DIAGRAMS: dict[str, Callable[[], Diagram]] = {
    "data": data,
    "mask_embedding_generator": mask_embedding_generator,
    "growth": growth,
    "pix2pix_generator": pix2pix_generator,
    "feature2mass": feature2mass,
}


# --------------------------------------------------------------------------------------- rendering


def render(diagram: Diagram, output: Path) -> None:
    """Write a diagram as a PNG file that also says, in its metadata, what was drawn."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    figure = Figure(figsize=(diagram.width * 0.62, diagram.height * 0.62))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, diagram.width)
    axes.set_ylim(0, diagram.height)
    boxes = {}
    for box in diagram.boxes:
        corner = box.x - box.width / 2, box.y - box.height / 2
        style = {"boxstyle": "round,pad=0.02,rounding_size=0.1", "facecolor": box.color, "edgecolor": "#445", "lw": 0.9}
        boxes[box.name] = axes.add_patch(FancyBboxPatch(corner, box.width, box.height, **style))
        axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=8.5, linespacing=1.25)
    at = {box.name: box for box in diagram.boxes}
    for arrow in diagram.arrows:
        start, end = at[arrow.start], at[arrow.end]
        style = {"arrowstyle": "-|>", "color": "#445", "lw": 0.9, "linestyle": "--" if arrow.dashed else "-"}
        style |= {"patchA": boxes[arrow.start], "patchB": boxes[arrow.end], "shrinkA": 1, "shrinkB": 1}
        axes.annotate("", xy=(end.x, end.y), xytext=(start.x, start.y), arrowprops=style)
        if arrow.text:
            x, y, place = _label(start, end)
            axes.text(x, y, arrow.text, fontsize=7.5, color="#333", linespacing=1.1, **place)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130, metadata={CONTENT: diagram.content, "Software": None})


def _label(start: Box, end: Box) -> tuple[float, float, dict]:
    """Where the text of an arrow stands: above a level one, right of a vertical one, else on its middle."""
    if start.y == end.y:
        right, left = (start, end) if start.x < end.x else (end, start)
        x = (right.x + right.width / 2 + left.x - left.width / 2) / 2
        return x, start.y + 0.08, {"ha": "center", "va": "bottom"}
    lower, upper = (start, end) if start.y < end.y else (end, start)
    y = (lower.y + lower.height / 2 + upper.y - upper.height / 2) / 2
    if start.x == end.x:
        return start.x + 0.15, y, {"ha": "left", "va": "center"}
    left, right = (start, end) if start.x < end.x else (end, start)
    x = (left.x + left.width / 2 + right.x - right.width / 2) / 2
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    return x, (start.y + end.y) / 2, {"ha": "center", "va": "center", "bbox": ground}


def drawn(path: Path) -> str:
    """Return what a PNG file says was drawn."""
    from PIL import Image

    with Image.open(path) as image:
        return image.info.get(CONTENT, "")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(DIAGRAMS)))
def main(names: tuple[str, ...]) -> None:
    """Draw all figures, or those that are named."""
    for name in names or DIAGRAMS:
        path = FOLDER / f"{name}.png"
        render(DIAGRAMS[name](), path)
        click.echo(path)


if __name__ == "__main__":
    main()
