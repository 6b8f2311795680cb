"""The Helm chart as its templates render, by Helm's own code and without a cluster.

Run as a program it writes the table of values into the chart's README.md.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

FOLDER = Path(__file__).parents[2] / "deploy" / "helm" / "penstock"
README = FOLDER / "README.md"
EXAMPLES = {path.stem.removeprefix("values-"): path for path in sorted(FOLDER.glob("values-*.yaml"))}
NAMESPACE = "batch"
# The first line and the last one between which the table is.
MARKS = ("<!-- values: python -m tests.support.chart -->", "<!-- /values -->")

# One of each kind, for tests: none of them is anybody's.
SECRETS = {
    "DATABASE_URL": "postgresql://penstock:d1d1@db.example.com/penstock",
    "POSTGRES_PASSWORD": "a4a4",
    "REDIS_URL": "redis://:e2e2@redis.example.com:6379/0",
    "REDIS_PASSWORD": "f3f3",
    "CELERY_BROKER_URL": "amqp://penstock:9a9a@rabbitmq.example.com//",
    "PENSTOCK_SECRET_KEY": "0f8e5b0d7a61c2934e5f60718293a4b5c6d7e8f901",
    "FLOWER_BASIC_AUTH": "ops:b5b5",
    "ANTHROPIC_API_KEY": "sk-c6c6",
    "API_KEYS": "7b1d5f60718293a4b5c6d7e8f9010f8e5b0d7a61c2",
    "AWS_ACCESS_KEY_ID": "AKIA7777",
    "AWS_SECRET_ACCESS_KEY": "8d8d",
}
OF_BUNDLED = ("POSTGRES_PASSWORD", "REDIS_PASSWORD")

Manifest = Mapping[str, Any]


def external(secrets: Mapping[str, str]) -> dict[str, str]:
    """Those that are needed where neither PostgreSQL nor Redis is bundled."""
    return {name: value for name, value in secrets.items() if name not in OF_BUNDLED}


def example(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(EXAMPLES[name].read_text())
    return values


def render(values: Mapping[str, Any], folder: Path = FOLDER) -> list[Manifest]:
    """The manifests that an installation of the release `penstock` makes, hooks among them."""
    files = _loaded(folder).render(dict(values), name="penstock", namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if not path.endswith(".txt")]
    return [found for text in texts for found in yaml.load_all(text, yaml.CSafeLoader) if found]


@cache
def _loaded(folder: Path) -> Chart:
    return Chart.load(folder)


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """Those of these kinds, by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] in kinds}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each pod, by the process in it."""
    owners = of_kind(manifests, "Deployment", "StatefulSet", "Job").values()
    templates = [owner["spec"]["template"] for owner in owners]
    return {role_of(template): template for template in templates}


def role_of(template: Manifest) -> str:
    role: str = template["metadata"]["labels"]["app.kubernetes.io/component"]
    return role


def container(template: Manifest) -> Manifest:
    """The only one of a pod."""
    (only,) = template["spec"]["containers"]
    found: Manifest = only
    return found


def query() -> str:
    """What KEDA asks PostgreSQL, without any limit in the configuration."""
    values = {"secrets": {"existingSecret": "penstock"}, "autoscaling": {"enabled": True}}
    (scaled,) = of_kind(render(values), "ScaledObject").values()
    text: str = scaled["spec"]["triggers"][0]["metadata"]["query"]
    return text


def table() -> str:
    """Every value with its default and its meaning, as the schema says it."""
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    rows = [f"| `{path}` | {default} | {meaning} |" for path, default, meaning in _rows("", values, schema)]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])


def _rows(
    prefix: str, values: Mapping[str, Any], schema: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for name, value in values.items():
        described = schema["properties"][name]
        if described.get("properties") and "$ref" not in described and name != "config":
            yield f"{prefix}{name}", "", described["description"]
            yield from _rows(f"{prefix}{name}.", value, described)
        else:
            yield f"{prefix}{name}", _default(value), described["description"]


def _default(value: Any) -> str:
    if value in ("", [], {}):
        return ""
    text = json.dumps(value) if not isinstance(value, str) else value
    return f"`{text}`" if len(text) <= 70 else "see values.yaml"


def write_table() -> None:
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    README.write_text(f"{before}{MARKS[0]}\n\n{table()}\n\n{MARKS[1]}{after}")


def table_in_readme() -> str:
    (found,) = re.findall(f"{re.escape(MARKS[0])}(.*){re.escape(MARKS[1])}", README.read_text(), re.DOTALL)
    return str(found).strip()


if __name__ == "__main__":
    write_table()
