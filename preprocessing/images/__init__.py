"""One image from any file: DICOM, PNG, PGM, TIFF, JPEG; and the writers of PNG and DICOM."""
