"""Phantoms: drawn mammograms and masses, for tests and for trying the commands."""
