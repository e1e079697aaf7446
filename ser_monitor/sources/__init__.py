"""Sources: where live audio comes from, as recordings of blocks of samples."""
