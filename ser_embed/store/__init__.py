"""Store: the HDF5 file of vectors; reading, writing, part files, merging and verification."""
