"""How much of each room the last run with coverage executed: `python -m tests.support.coverage_report`.

Only the tests' own processes are measured. Workers, stacks and commands are hundreds of separate processes,
which would start and end more slowly.
"""

from collections import Counter
from pathlib import Path

import coverage

from tests.support.house_rules import ROOMS

ROOT = Path(__file__).parents[2]
TOTAL = "total"


def main() -> None:
    measured = coverage.Coverage()
    measured.load()
    lines, executed = Counter[str](), Counter[str]()
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        _, statements, _, missing, _ = measured.analysis2(str(path))
        for room in (str(path.parent.relative_to(ROOT)), TOTAL):
            lines[room] += len(statements)
            executed[room] += len(statements) - len(missing)
    print("Executed by the tests' own processes; workers, stacks and commands are not measured:")
    for room in sorted(filter(lines.get, lines), key=lambda room: (room == TOTAL, room)):
        print(f"  {room:28} {executed[room] / lines[room]:4.0%} of {lines[room]:6,} lines")


if __name__ == "__main__":
    main()
