"""Data: the labelled clips of a store, how they are standardised, split and audited for leakage."""
