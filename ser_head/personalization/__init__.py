"""Personalisation: what a few unlabelled clips of a speaker, seen in training or never heard, can do for a head."""
