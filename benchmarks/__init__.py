"""One script per question, each with its peer in the same run. `make bench` runs them all and writes RESULTS.md.

These machines are noisy, so what counts is the ratio: both sides are timed in turn, round after round, and the median
of the rounds is told with the smallest and largest.
"""
