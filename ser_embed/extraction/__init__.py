"""Extraction of corpora into a store, chunk by chunk; a killed extraction continues with its unfinished chunks."""
