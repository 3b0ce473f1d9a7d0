"""From mammograms (DICOM, DDSM, CBIS-DDSM, film scans, phantoms) to HDF5 shards and batches."""
