"""``make bench``: every budget as a ratio within one run; exit status 1 where one is missed."""

from __future__ import annotations

import sys

from local.bench import core, fanout


def main() -> int:
    """Run all benchmarks, one after the other, and say whether every budget held."""
    failures = [bench.__name__ for bench in (core, fanout) if bench.main()]
    print("over budget: " + ", ".join(failures) if failures else "every budget held")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
