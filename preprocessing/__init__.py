"""From mammograms (DICOM, DDSM, CBIS-DDSM, film scans, phantoms) to HDF5 shards and batches."""

import os

from preprocessing.tensorflow_settings import make_settings

make_settings()
# Read once, while OpenCV is imported: it bounds files of kinds whose headers are not read here.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
