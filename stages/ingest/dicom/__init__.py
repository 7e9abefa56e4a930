"""DICOM files: pixels for display, de-identification, pseudonyms."""
