"""The Helm chart, as it renders: valid for Kubernetes, in step with the settings and docker-compose.yml."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import HelmError, lint

from app.stack import family
from config import settings
from config.settings import Settings
from tests.support import chart
from tests.support.chart import SECRETS

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OLDEST, NEWEST = "1.29", "1.37"  # of Kubernetes; the oldest one is in Chart.yaml
# Kinds that others define; what matters in them is asserted one by one.
CUSTOM = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule", "HTTPRoute"}
PROCESSES = ("migrate", "web", "worker", "control", "beat", "flower")
WITH_SECRET = {"secrets": {"existingSecret": "penstock"}}
EXTERNAL = chart.external(SECRETS)
GIVEN = {"secrets": {"values": EXTERNAL}}
BAD_PASSWORD = {**EXTERNAL, "REDIS_PASSWORD": "a/b"}
# Variables that are no `config`: the chart sets them, or they are secret, or not for a service.
ELSEWHERE = {
    *(
        "PENSTOCK_DATA",
        "DATABASE_URL",
        "REDIS_URL",
        "CELERY_BROKER_URL",
        "OBJECT_STORE_URL",
        "S3_ENDPOINT_URL",
    ),
    *("PENSTOCK_PROVIDERS_FILE", "PENSTOCK_LIMITS_FILE", "PENSTOCK_WEB_THREADS"),
    *("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "API_KEYS", "PENSTOCK_SECRET_KEY", "WORKER_KEYS"),
    *("DATABASE_PASSWORD", "REDIS_PASSWORD"),
    *("API_HOST", "API_PORT", "API_WORKERS", "PENSTOCK_URL", "PENSTOCK_API_KEY", "PENSTOCK_ASK_ABOVE"),
    *("BATCH_PERSISTENCE_BACKEND", "BATCH_SQLITE_PATH", "BATCH_JOB_STORAGE_PATH"),
}


@pytest.mark.parametrize("name", chart.EXAMPLES)
def test_every_example_is_valid_for_the_oldest_and_the_newest_kubernetes(name: str) -> None:
    manifests = chart.render(chart.example(name))

    assert f'">={OLDEST}.0-0"' in (chart.FOLDER / "Chart.yaml").read_text()
    for manifest in manifests:
        for version in () if manifest["kind"] in CUSTOM else (OLDEST, NEWEST):
            assert kubernetes_validate.validate(manifest, version, strict=True) == version
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names))
    assert set(chart.EXAMPLES) == {"laptop", "company", "large"}


def test_the_chart_is_of_this_release() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    about = yaml.safe_load((chart.FOLDER / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == config["metadata"]["version"]


def test_helms_own_lint_finds_nothing_but_a_missing_icon() -> None:
    found = lint(chart.FOLDER, WITH_SECRET, strict=True)
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_the_command_line_that_compose_gives_it(name: str) -> None:
    pod = chart.pods(chart.render(WITH_SECRET))[name]
    assert chart.container(pod)["command"] == composed(name)


def test_a_bundled_store_is_the_image_and_the_command_line_of_compose() -> None:
    pods = chart.pods(chart.render(chart.example("laptop")))
    postgresql, redis = chart.container(pods["postgresql"]), chart.container(pods["redis"])

    assert postgresql["image"] == COMPOSE["postgres"]["image"]
    assert postgresql["args"] == composed("postgres")
    assert redis["image"] == COMPOSE["redis"]["image"]
    script, _, _ = composed("redis")[2].partition("<<")  # the password follows there
    assert flags(redis["args"]) == flags(shlex.split(script.replace("\\\n", ""))[1:])

    # And each is ready by what shows that it answers, not by a server that is only being set up
    asked = COMPOSE["postgres"]["healthcheck"]["test"][1:]
    assert postgresql["readinessProbe"]["exec"]["command"] == asked
    asked = COMPOSE["redis"]["healthcheck"]["test"][1].partition(" ")[2]
    assert asked.endswith(redis["readinessProbe"]["exec"]["command"][2])


@pytest.mark.parametrize("name", ["worker", "control", "beat"])
def test_a_process_of_celerys_is_probed_by_its_name_and_not_restarted_while_redis_is_away(name: str) -> None:
    container = chart.container(chart.pods(chart.render(WITH_SECRET))[name])

    # Given what compose asks, in which a dollar is written twice
    asked = COMPOSE[name]["healthcheck"]["test"][1].replace("$$", "$")
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["sh", "-c", asked]

    # Then it is silent for longer than a call may take before it is restarted
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > settings.read({}).call_deadline
    assert "readinessProbe" not in container


@pytest.mark.parametrize("grace", [None, 300])
def test_nobody_is_killed_while_its_calls_may_end(grace: int | None) -> None:
    config = {} if grace is None else {"PENSTOCK_GRACE_SECONDS": grace}
    pods = chart.pods(chart.render({**WITH_SECRET, "config": config}))

    # Given the grace period that the workers read
    allowed = settings.read({name: str(value) for name, value in config.items()}).grace
    for name in ("worker", "control"):
        assert pods[name]["spec"]["terminationGracePeriodSeconds"] >= allowed + family.MARGIN

    # And the web's: first the endpoint goes, then gunicorn waits for streams
    web = chart.container(pods["web"])
    left = int(web["lifecycle"]["preStop"]["exec"]["command"][1])
    waits = int(web["command"][web["command"].index("--graceful-timeout") + 1])
    assert pods["web"]["spec"]["terminationGracePeriodSeconds"] > left + waits


@pytest.mark.parametrize("name", chart.EXAMPLES)
def test_every_selector_finds_the_pods_of_one_process_and_no_others(name: str) -> None:
    manifests = chart.render(chart.example(name))
    pods = chart.pods(manifests)

    for manifest in manifests:
        labels = selected(manifest)
        if labels is not None and not manifest["metadata"]["name"].endswith("-default"):
            role = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
            assert found_by(labels, pods) == {role}, manifest["metadata"]["name"]
    budgets = chart.of_kind(manifests, "PodDisruptionBudget")
    assert set(budgets) in (set(), {f"penstock-{role}" for role in ("web", "worker", "control")})
    assert all(budget["spec"]["maxUnavailable"] for budget in budgets.values())


def test_of_two_beats_only_one_would_be_heard_so_there_is_one_at_a_time() -> None:
    beat = chart.of_kind(chart.render(chart.example("large")), "Deployment")["penstock-beat"]["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("values", [WITH_SECRET, GIVEN])
def test_the_migration_runs_before_all_else_and_needs_nothing_that_comes_later(values) -> None:
    # Given a PostgreSQL of somebody's own, and a Secret of theirs or of the chart
    manifests = chart.render(values)

    # When Helm takes the hooks of an installation or an upgrade, by their weight
    weights = {named(one): weight(one) for one in manifests if hook(one)}
    (job,) = chart.of_kind(manifests, "Job").values()
    assert {hook(one) for one in manifests if hook(one)} == {"pre-install,pre-upgrade"}

    # Then the job comes last, and all of the chart that it names has come before
    ours = {named(one) for one in manifests}
    before = {name for name, its_weight in weights.items() if its_weight < weight(job)}
    assert before == set(weights) - {named(job)}
    assert set(references(job["spec"]["template"])) & ours <= before
    assert ("NetworkPolicy", "penstock-migrate") in before  # without it an upgrade's job reaches no database
    assert "hook-succeeded" in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_with_a_bundled_postgresql_the_migration_runs_beside_it_and_again_when_it_changes() -> None:
    # Given a database that is there no sooner than the rest
    def migration(**more: Any) -> str:
        manifests = chart.render({**chart.example("laptop"), **more})
        assert not any(hook(one) for one in manifests)
        (name,) = chart.of_kind(manifests, "Job")
        return name

    # Then a job that may not change has another name where it would, and else the same
    assert migration() == migration(web={"replicas": 1, "threads": 64})
    assert migration() != migration(image={"tag": "next"})


@pytest.mark.parametrize("name", chart.EXAMPLES)
def test_every_process_can_read_its_settings(name: str, tmp_path: Path) -> None:
    manifests = chart.render(chart.example(name))
    config = chart.of_kind(manifests, "ConfigMap")["penstock"]["data"]

    # Given each process's variables, its secrets, and the files that it finds
    for kept in chart.of_kind(manifests, "ConfigMap").values():
        for file, content in kept["data"].items():
            (tmp_path / file).write_text(content)
    for role in set(PROCESSES) & set(chart.pods(manifests)):
        container = chart.container(chart.pods(manifests)[role])
        given = config if container.get("envFrom") else {}
        own = {one["name"]: one.get("value") or SECRETS.get(one["name"], "") for one in container["env"]}
        files = {key: str(value).replace("/etc/penstock", str(tmp_path)) for key, value in own.items()}

        # Then none of them is refused
        chosen = settings.read({**given, **files})
        assert chosen.endpoints or name != "large" or role not in ("web", "worker")


def test_a_changed_setting_or_secret_starts_new_pods() -> None:
    def sums(values: Mapping[str, Any]) -> dict[str, str]:
        pods = chart.pods(chart.render(values))
        annotations = {role: pods[role]["metadata"].get("annotations", {}) for role in PROCESSES}
        return {role: json.dumps(annotations[role]) for role in PROCESSES if role != "migrate"}

    before = sums(GIVEN)
    rotated = {"values": {**EXTERNAL, "PENSTOCK_SECRET_KEY": "another one"}}
    for changed in ({"config": {"MAX_RECORDS": 5}}, {"secrets": rotated}):
        after = sums({**GIVEN, **changed})
        assert all(before[role] != after[role] for role in before)


def test_slice_workers_are_scaled_by_the_query_over_what_a_worker_can_do() -> None:
    manifests = chart.render(chart.example("company"))
    (scaled,) = chart.of_kind(manifests, "ScaledObject").values()
    (access,) = chart.of_kind(manifests, "TriggerAuthentication").values()
    (trigger,) = scaled["spec"]["triggers"]

    # Then KEDA asks by a Secret, and its number is that of workers, which nothing else sets
    assert trigger["type"] == "postgresql"
    assert trigger["authenticationRef"]["name"] == access["metadata"]["name"]
    assert access["spec"]["secretTargetRef"] == [
        {"parameter": "connection", "name": "penstock", "key": "DATABASE_URL"}
    ]
    assert (trigger["metricType"], trigger["metadata"]["targetQueryValue"]) == ("AverageValue", "1")
    workers = chart.of_kind(manifests, "Deployment")[scaled["spec"]["scaleTargetRef"]["name"]]
    assert chart.role_of(workers["spec"]["template"]) == "worker"
    assert "replicas" not in workers["spec"]

    # And the query reckons as the page on scaling does
    page = (ROOT / "docs" / "scaling.md").read_text()
    said = r"a process holds ([\d,]+) of one job .*?makes (\d+) calls per second per core"
    ((held, per_core),) = re.findall(said, page, re.DOTALL)
    assert f"least({per_core}, {held.replace(',', '')} / seconds)" in chart.query()


def test_rules_and_boards_are_taken_from_files_as_they_are(tmp_path: Path) -> None:
    # Given a chart with a file of each
    folder = tmp_path / "penstock"
    shutil.copytree(chart.FOLDER, folder)
    alert = {
        "alert": "Held",
        "expr": "penstock_group_held == 1",
        "annotations": {"is": "{{ $labels.group }}"},
    }
    groups = {"groups": [{"name": "penstock", "rules": [alert]}]}
    board = json.dumps({"title": "Penstock {{ group }}", "text": "a\nb"})
    (folder / "files" / "rules" / "penstock.yml").write_text(yaml.safe_dump(groups))
    (folder / "files" / "dashboards" / "penstock.json").write_text(board)

    # Then they are there, unchanged, and selected by the labels that were asked for
    manifests = chart.render(chart.example("large"), folder)
    rule = chart.of_kind(manifests, "PrometheusRule")["penstock-penstock"]
    shown = chart.of_kind(manifests, "ConfigMap")["penstock-dashboard-penstock"]
    assert rule["spec"] == groups
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert shown["data"] == {"penstock.json": board}
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_prometheus_and_the_ways_in_reach_the_webs_port() -> None:
    ports = {}
    for name in ("company", "large"):
        manifests = chart.render(chart.example(name))
        service = chart.of_kind(manifests, "Service")["penstock-web"]
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        (monitor,) = chart.of_kind(manifests, "ServiceMonitor").values()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert (endpoint["port"] in ports, endpoint["path"]) == (True, "/metrics")
        # Its address is one of those of proxies, from which nothing is let in without a key
        assert chart.example(name)["config"]["TRUSTED_PROXIES"]
        assert endpoint["authorization"]["credentials"] == {"name": "penstock-metrics", "key": "METRICS_KEY"}
        assert selected(monitor) == service["spec"]["selector"]
        for way in chart.of_kind(manifests, "Ingress", "HTTPRoute").values():
            assert '"penstock-web"' in json.dumps(way)

    # And none of them buffers a stream, or ends it
    (ingress,) = chart.of_kind(chart.render(chart.example("large")), "Ingress").values()
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    (route,) = chart.of_kind(chart.render(chart.example("company")), "HTTPRoute").values()
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "penstock-web", "port": ports["http"]}]


def test_what_an_operator_adds_reaches_every_process() -> None:
    digest = "sha256:" + "0" * 64
    added = {
        "image": {"repository": "registry.example.com/penstock", "tag": "next", "digest": digest},
        "imagePullSecrets": [{"name": "registry"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "pod": {"labels": {"team": "data"}, "priorityClassName": "batch", "nodeSelector": {"pool": "spot"}},
    }
    pods = chart.pods(chart.render({**WITH_SECRET, **added}))

    for role in PROCESSES:
        spec, container = pods[role]["spec"], chart.container(pods[role])
        assert container["image"] == f"registry.example.com/penstock@{digest}"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert {"name": "ca", "mountPath": "/ca"} in container["volumeMounts"]
        assert {"name": "ca", "configMap": {"name": "ca"}} in spec["volumes"]
        assert (spec["priorityClassName"], spec["nodeSelector"]) == ("batch", {"pool": "spot"})
        assert pods[role]["metadata"]["labels"]["team"] == "data"
        has_proxy = "HTTPS_PROXY" in {one["name"] for one in container["env"]}
        assert has_proxy == (role in ("web", "worker", "control"))


def test_a_folder_for_one_node_brings_its_pods_there() -> None:
    pods = chart.pods(chart.render(chart.example("laptop")))
    for name in ("web", "worker", "control"):
        (term,) = pods[name]["spec"]["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert pods[name]["metadata"]["labels"]["app.kubernetes.io/component"] in str(term["labelSelector"])
    assert "affinity" not in pods["beat"]["spec"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"wrokers": 3}, "'wrokers' not allowed"),
        ({"config": {"DEFUALT_MODEL": "simulated"}}, "'DEFUALT_MODEL' not allowed"),
        ({"config": {"ANTHROPIC_API_KEY": "sk"}}, "'ANTHROPIC_API_KEY' not allowed"),
        ({"web": {"replicas": 0}}, "/web/replicas"),
        ({"control": {"replicas": 0}}, "/control/replicas"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"redis": {"image": "redis:8"}}, "/redis/image"),
        ({"objectStore": {"url": "gs://bucket"}}, "/objectStore/url"),
        ({"objectStore": {"persistence": {"accessMode": "ReadWriteOnce"}}}, "which one node alone can mount"),
        ({"autoscaling": {"enabled": True, "minReplicas": 20}}, "the least must not be more than the most"),
        ({"ingress": {"enabled": True}}, "name at least one host"),
        ({"gateway": {"enabled": True}}, "name the Gateway"),
        ({"secrets": {}}, "secrets.values.DATABASE_URL is missing"),
        ({"secrets": {"existingSecret": "mine", "values": {"API_KEYS": "x"}}}, "are both given"),
        ({"secrets": {"values": {**EXTERNAL, "ANTROPIC_API_KEY": "x"}}}, "would reach no process"),
        ({"secrets": {"values": BAD_PASSWORD}, "redis": {"bundled": True}}, "letters and digits alone"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(values, sentence: str) -> None:
    with pytest.raises(HelmError, match=re.escape(sentence)):
        chart.render({**WITH_SECRET, **values})


def test_the_schema_describes_every_value_and_every_setting_that_a_service_reads() -> None:
    schema = json.loads((chart.FOLDER / "values.schema.json").read_text())
    undescribed = [
        path for path, one in properties("", schema) if "description" not in {**one, **target(schema, one)}
    ]
    open_ones = [
        path for path, one in properties("", schema) if "properties" in one and one["additionalProperties"]
    ]
    read = {field.metadata["variable"].name for field in fields(Settings) if "variable" in field.metadata}

    assert undescribed == []
    assert open_ones == []
    assert set(schema["properties"]["config"]["properties"]) == read - ELSEWHERE


def test_the_readme_has_every_value_with_its_default() -> None:
    assert chart.table_in_readme() == chart.table(), "run `python -m tests.support.chart`"


def composed(name: str) -> list[str]:
    """A service's command line in docker-compose.yml, its variables at their defaults."""
    return [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in COMPOSE[name]["command"]]


def flags(command: list[str]) -> list[str]:
    """Without the program and its file."""
    return command[2:]


def hook(manifest: chart.Manifest) -> str | None:
    found: str | None = manifest["metadata"].get("annotations", {}).get("helm.sh/hook")
    return found


def weight(manifest: chart.Manifest) -> int:
    return int(manifest["metadata"]["annotations"]["helm.sh/hook-weight"])


def named(manifest: chart.Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def references(template: chart.Manifest) -> Iterator[tuple[str, str]]:
    """What a pod needs to be there before it starts."""
    spec, container = template["spec"], chart.container(template)
    yield "ServiceAccount", spec.get("serviceAccountName", "default")
    for one in container.get("envFrom", []):
        yield "ConfigMap", one["configMapRef"]["name"]
    for one in container["env"]:
        if "valueFrom" in one:
            yield "Secret", one["valueFrom"]["secretKeyRef"]["name"]
    for volume in spec["volumes"]:
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]


def selected(manifest: chart.Manifest) -> Mapping[str, str] | None:
    """The labels by which a manifest finds pods; None: it looks for none."""
    spec = manifest.get("spec", {})
    selector = spec.get("podSelector" if manifest["kind"] == "NetworkPolicy" else "selector")
    if selector is None:
        return None
    labels: Mapping[str, str] = selector if manifest["kind"] == "Service" else selector["matchLabels"]
    return labels


def found_by(labels: Mapping[str, str], pods: Mapping[str, chart.Manifest]) -> set[str]:
    return {role for role, pod in pods.items() if labels.items() <= pod["metadata"]["labels"].items()}


def properties(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, one in schema.get("properties", {}).items():
        yield f"{path}.{name}", one
        yield from properties(f"{path}.{name}", one)


def target(schema: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a property refers to."""
    name = one.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = schema["$defs"].get(name, {})
    return found
