"""Benchmark runner: measures speed and memory, and writes RESULTS.md beside this file (`make bench`).

python -m benchmarks [--quick]
"""

import argparse
import datetime
from pathlib import Path

from benchmarks import growth, heads, large_store, stages, throughput
from benchmarks.measure import describe_machine, markdown_table

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run the benchmarks, write the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a few minutes instead of half an hour")
    quick = parser.parse_args().quick
    rows = [
        *throughput.run(*((8, 1) if quick else (24, 3))),
        *stages.run(*((6, 1) if quick else (16, 3))),
        *growth.run((1_000, 10_000) if quick else (1_000, 10_000, 100_000)),
        *large_store.run(100_000 if quick else 1_000_000),
        *heads.run(),
    ]
    heading = f"Measured on {datetime.date.today()} with `make bench`: {describe_machine()}."
    RESULTS.write_text(f"# Benchmarks\n\n{heading}\n\n{markdown_table(rows)}\n", "utf-8")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
