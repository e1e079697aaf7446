"""Benchmarks: one script per question, which also measures a peer in the same run. `make bench` writes RESULTS.md.

Shared machines are noisy, so the result is a ratio: both sides are timed in turn, round after round, and the median of
the rounds is given with the smallest and the largest. `brown`, `encoders` and `scores` make tables of scores instead;
they share `score_tables` and are not part of `make bench`.
"""
