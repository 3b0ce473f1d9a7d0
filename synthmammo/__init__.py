"""The console command `synthmammo`, which brings the commands of `train_scripts/` under one name."""

from preprocessing.version import __version__

__all__ = ["__version__"]
