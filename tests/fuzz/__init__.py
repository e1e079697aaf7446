"""Fuzz targets: damaged and hostile files, each tried in this process; refusing one has to take one line."""
