"""Reporting: the results of runs as text, tables, plots and html pages."""
