"""Reporting: what a run found, in words, tables, plots and html."""
