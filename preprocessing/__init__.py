"""From mammograms (DICOM, DDSM, CBIS-DDSM, film scans, phantoms) to HDF5 shards and batches."""

import os

# What TensorFlow and OpenCV read once, while they are imported; a variable that the user has set wins.
# Convolutions by oneDNN: twice as fast at 512×256. On CPUs without AVX512-VNNI TensorFlow leaves them off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# It bounds files of kinds whose headers are not read here.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
