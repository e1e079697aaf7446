"""The corpora this library knows by name, and any folder with a `manifest.csv`."""
