"""Breast masses with their labels: from CBIS-DDSM, DDSM, or a table of boxes."""
