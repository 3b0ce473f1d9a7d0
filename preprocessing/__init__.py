"""From mammograms (DICOM, DDSM, CBIS-DDSM, film scans, phantoms) to HDF5 shards and batches."""

from preprocessing.tensorflow_settings import make_settings

make_settings()
