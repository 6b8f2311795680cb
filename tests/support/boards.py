"""The Grafana boards as they are checked in, and what they ask Prometheus for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring" / "grafana" / "dashboards"
CHOSEN = {"$job": "penstock", "$group": ".*", "$model": ".*"}


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def panels() -> list[dict[str, Any]]:
    return [panel for board in boards() for panel in board["panels"] if panel["type"] != "row"]


def queries(shown: dict[str, Any], *, window: str = "1m", whole: str = "1h") -> list[str]:
    """What a panel or an annotation asks for, each variable with a value; `whole` is the time shown."""
    asked = [target["expr"] for target in shown.get("targets", [])]
    asked += [shown["expr"]] if "expr" in shown else []
    values = {"$__rate_interval": window, "$__range": whole, **CHOSEN}
    return [_with(values, query) for query in asked]


def all_queries() -> Iterator[tuple[str, str]]:
    """Each query, with the title of what it is shown in."""
    for board in boards():
        for shown in [*board["panels"], *board["annotations"]["list"]]:
            yield from ((shown.get("title") or shown["name"], query) for query in queries(shown))


def _with(values: dict[str, str], query: str) -> str:
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query
