"""Extraction: corpora in, store out, chunk by chunk, resumable after any crash."""
