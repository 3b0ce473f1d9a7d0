"""The version of this software, and what else decides the numbers that it computes.

`__version__` stands here alone; packaging and every output read it from here.
"""

import subprocess
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

__version__ = "0.1.0"

SOFTWARE = "synthetic-mammography"  # in its files too, by which its images are known as synthetic
LIBRARIES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "h5py", "pydicom")


@cache
def commit() -> str | None:
    """Return the commit of the checkout that is run, with "-dirty" where files differ from it.

    Returns:
        Forty hexadecimal digits (and perhaps the suffix); None for an installed package, or without git.
    """
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return found or None


@cache
def libraries() -> dict[str, str]:
    """Return the installed versions of the libraries that compute, decode or write images."""
    found = {}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def made_by() -> dict:
    """Return what an output says of the software that wrote it: name, version, commit, libraries."""
    return {"software": SOFTWARE, "version": __version__, "commit": commit(), "libraries": dict(libraries())}
