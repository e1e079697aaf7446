"""The corpora this library knows by name, and any folder with a `manifest.csv`.

>>> scan = scan_data("data")  # doctest: +SKIP
"""

from ser_embed.corpora.base import Corpus
from ser_embed.corpora.registry import CORPORA
from ser_embed.corpora.scan import Scan, scan_data

__all__ = ["CORPORA", "Corpus", "Scan", "scan_data"]
