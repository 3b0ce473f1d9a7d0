"""Imports between the packages: count them, draw them, and find those that point upwards or close a circle.

python benchmarks/import_graph.py --figure docs/figures/imports.png
python benchmarks/import_graph.py --root OTHER_CHECKOUT
"""

import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click

# A package may import packages of earlier layers only; packages of one layer do not import each other.
LAYERS = (
    ("preprocessing",),
    ("training",),
    ("mask_embedding_gan", "pix2pix", "feature2mass"),
    ("lesions", "generation"),
    ("evaluation",),
    ("train_scripts",),
    ("synthmammo",),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}


@dataclass(frozen=True)
class Import:
    """One import statement of one of our modules by another.

    Attributes:
        importer: dotted name of the module that imports.
        imported: dotted name of the module that is imported.
        line: where, in the importer's file.
    """

    importer: str
    imported: str
    line: int

    @property
    def packages(self) -> tuple[str, str]:
        """The top-level packages of importer and imported module."""
        return self.importer.partition(".")[0], self.imported.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.imported}"


def modules(root: Path) -> dict[str, Path]:
    """Return the file of every module of the packages, by dotted name."""
    found = {}
    for package in RANK:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Return every import of one module of ours by another, those inside functions and for type checkers included."""
    files = modules(root)
    names = set(files) | {package for package in RANK if (root / package).is_dir()}
    found = []
    for importer, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, names):
                if target != importer:
                    found.append(Import(importer, target, node.lineno))
    return found


def _targets(node: ast.AST, names: set[str]) -> set[str]:
    """The modules of ours that a statement imports; `from package import module` imports the module."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in names}
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        full = {f"{node.module}.{alias.name}" for alias in node.names}
        found = full & names
        if len(found) < len(node.names) and node.module in names:
            found.add(node.module)
        return found
    return set()


def cross_package(found: list[Import]) -> list[Import]:
    """Return the imports whose two modules are in different packages."""
    return [one for one in found if one.packages[0] != one.packages[1]]


def upward(found: list[Import]) -> list[Import]:
    """Return the imports of a package in the same or a later layer."""
    return [one for one in cross_package(found) if RANK[one.packages[1]] >= RANK[one.packages[0]]]


def circles(edges: set[tuple[str, str]]) -> list[set[str]]:
    """Return the groups of nodes that reach each other (strongly connected components of two and more).

    Args:
        edges: (from, to) of a directed graph.
    """
    reached = {node: _reach(node, edges) for edge in edges for node in edge}
    groups = {frozenset(other for other in to if node in reached[other]) for node, to in reached.items() if node in to}
    return [set(group) for group in sorted(groups, key=sorted) if len(group) > 1]


def _reach(start: str, edges: set[tuple[str, str]]) -> set[str]:
    """The nodes that can be reached from a node by one edge or more."""
    following: dict[str, set[str]] = {}
    for source, target in edges:
        following.setdefault(source, set()).add(target)
    seen, waiting = set(), [start]
    while waiting:
        for node in following.get(waiting.pop(), ()):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen


def folder(module: str, files: dict[str, Path]) -> str:
    """Return the folder that a module is in, as a dotted name; of `a/__init__.py` it is `a`."""
    return module if files[module].name == "__init__.py" else module.rpartition(".")[0]


def draw(counts: Counter, output: Path) -> None:
    """Draw the imports of each package (row) from each other (column); upward ones would stand above the diagonal."""
    from matplotlib.figure import Figure

    names = [name for layer in LAYERS for name in layer if any(name in pair for pair in counts)]
    figure = Figure(figsize=(7.2, 5.6), layout="constrained")
    axes = figure.subplots()
    numbers = [[counts.get((importer, imported), 0) for imported in names] for importer in names]
    axes.imshow(numbers, cmap="Blues", vmin=0, vmax=1.6 * max(map(max, numbers)))
    for row, of_row in enumerate(numbers):
        for column, number in enumerate(of_row):
            text = "" if row == column else str(number or "·")
            axes.text(column, row, text, ha="center", va="center", color="black" if number else "0.7", fontsize=10)
    axes.plot([-0.5, len(names) - 0.5], [-0.5, len(names) - 0.5], color="0.6", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("imported package")
    axes.set_ylabel("importing package")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110, metadata={"Software": None})


@click.command(context_settings={"show_default": True})
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(__file__).parents[1],
    show_default="this one",
    help="Checkout to look at.",
)
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw the packages here.")
def main(root: Path, figure: Path | None) -> None:
    """Print the imports between packages, those that point upwards, and the circles among modules."""
    found = imports(root)
    across = cross_package(found)
    counts = Counter(one.packages for one in across)
    for (importer, imported), number in sorted(counts.items()):
        click.echo(f"{importer:20} imports {imported:20} {number:4}")
    for one in upward(found):
        click.echo(f"upward: {one}")
    for group in circles({(one.importer, one.imported) for one in found}):
        click.echo(f"circle: {', '.join(sorted(group))}")
    pairs = {(one.importer, one.imported) for one in across}
    click.echo(f"{len(modules(root))} modules; {len(found)} imports of ours, {len(across)} between packages")
    click.echo(f"distinct pairs of modules in different packages: {len(pairs)}; pairs of packages: {len(counts)}")
    if figure:
        draw(counts, figure)
        click.echo(f"figure: {figure}")


if __name__ == "__main__":
    main()
