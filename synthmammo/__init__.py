"""What a user imports: `from synthmammo import open_dataset, generate`.

Each name loads its module when it is first used, so that importing this package, as the console command does, imports
neither TensorFlow nor NumPy.
"""

from importlib import import_module

from preprocessing.version import __version__

# The module that defines each name, in the order of the work.
PLACES = {
    "convert_mammograms": "preprocessing.mammograms.convert",
    "MammogramOptions": "preprocessing.mammograms.options",
    "read_cbis": "preprocessing.masses.cbis_ddsm",
    "read_ddsm": "preprocessing.masses.ddsm",
    "read_rois": "preprocessing.masses.rois",
    "convert_masses": "preprocessing.masses.convert",
    "MassOptions": "preprocessing.masses.options",
    "make_phantoms": "preprocessing.phantoms.mammogram",
    "make_mass_phantoms": "preprocessing.phantoms.mass",
    "open_dataset": "preprocessing.shards.reader",
    "Dataset": "preprocessing.shards.reader",
    "DataError": "preprocessing.shards.format",
    "mammogram_batches": "preprocessing.batches",
    "mass_batches": "preprocessing.batches",
    "load_generator": "generation.generate",
    "generate": "generation.generate",
    "Samples": "evaluation.image_set",
    "evaluate": "evaluation.evaluate",
}

__all__ = ["__version__", *PLACES]


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PLACES])
