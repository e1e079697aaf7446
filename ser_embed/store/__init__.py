"""Store of vectors in one HDF5 file: reader, writer, part files, cache of extracted clips, merging, verification."""
