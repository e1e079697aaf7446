"""Fuzzing: thousands of damaged and hostile inputs, and one table of what came of them.

python -m tests.fuzz [--count 10000] [--seed 0] [--only audio,stores]
"""

import argparse
import sys

from tests.fuzz.harness import SHARES, run_target

HEADER = "| target | tried | right | refused | wrong | slowest | peak memory |\n|---|---|---|---|---|---|---|"


def main() -> int:
    """Run the targets and print the table; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="cases over all targets (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws (default: 0)")
    parser.add_argument("--only", default=",".join(SHARES), help="targets, separated by commas")
    args = parser.parse_args()
    names = args.only.split(",")
    whole = sum(SHARES[name] for name in names)
    print(
        "| target | tried | right | refused | wrong | slowest | peak memory |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    problems: list[str] = []
    for name in names:
        tally = run_target(name, round(args.count * SHARES[name] / whole), args.seed)
        counts = [sum(tally.outcomes.values()), *(tally.outcomes[kind] for kind in ("right", "refused", "wrong"))]
        print(
            f"| {name} | {' | '.join(map(str, counts))} | {tally.slowest_s:.2f} s | {tally.peak_mb:.0f} MB |",
            flush=True,
        )
        problems += tally.problems
    print(*problems[:50], sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
