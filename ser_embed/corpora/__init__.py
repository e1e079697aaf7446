"""Corpora: what each data set is, where its clips lie, and the manifest made of them."""
