"""Writes the Grafana boards, and the chart's copies of boards and rules: `make boards`.

All are checked in, for those who only copy them. A packaged chart can have no links to files outside of it.
"""

from pathlib import Path

from release.boards import overview
from release.boards.encoding import to_json

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
CHART = ROOT / "deploy" / "helm" / "penstock" / "files"


def files() -> dict[Path, str]:
    """What is to be written, by its path."""
    boards = {"penstock.json": to_json(overview.board())}
    rules = {path.name: path.read_text(encoding="utf-8") for path in (MONITORING / "rules").glob("*.yml")}
    return {
        **{MONITORING / "grafana" / "dashboards" / name: text for name, text in boards.items()},
        **{CHART / "dashboards" / name: text for name, text in boards.items()},
        **{CHART / "rules" / name: text for name, text in rules.items()},
    }


def main() -> None:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
