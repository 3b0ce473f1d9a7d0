from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_benchmark_is_named_like_a_package():
    """A script's own folder comes first on the path, so that it would hide the package from the scripts next to it."""
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert packages & {file.stem for file in (ROOT / "benchmarks").glob("*.py")} == set()
