"""What the Helm chart's pods may do, know and reach, and that it is no more than they need."""

import json
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from config import settings
from tests.support import chart
from tests.support.chart import SECRETS, Manifest

WORK = {"web", "worker", "control"}
OURS = WORK | {"beat", "flower"}
NEEDED_BY = {
    "DATABASE_URL": WORK | {"migrate"},
    "REDIS_URL": OURS,
    "CELERY_BROKER_URL": OURS,
    "PENSTOCK_SECRET_KEY": {"web", "control"},
    "FLOWER_BASIC_AUTH": {"flower"},
    "ANTHROPIC_API_KEY": {"worker"},
    "API_KEYS": {"web"},
    "AWS_ACCESS_KEY_ID": WORK,
    "AWS_SECRET_ACCESS_KEY": WORK,
}
NEEDED_WHERE_BUNDLED = {
    **{
        name: roles for name, roles in NEEDED_BY.items() if not name.startswith(("AWS_", "DATABASE", "REDIS"))
    },
    "POSTGRES_PASSWORD": WORK | {"migrate", "postgresql"},
    "REDIS_PASSWORD": OURS | {"redis"},
}
# Who may open a connection to whom, where everything is in the cluster.
PAIRS = {
    *((role, "postgresql", 5432) for role in WORK | {"migrate"}),
    *((role, "redis", 6379) for role in OURS),
}
# The ways out of the release, each by a port that tells it from the others.
WAYS = {"provider": 1, "webhooks": 2, "objectStore": 3, "postgresql": 4, "redis": 5}
DNS = 53
LEADING_OUT = {
    "web": {DNS, 3, 4, 5},
    "worker": {DNS, 1, 3, 4, 5},
    "control": {DNS, 2, 3, 4, 5},
    "beat": {DNS, 5},
    "flower": {DNS, 5},
    "migrate": {DNS, 4},
}


def external() -> dict[str, Any]:
    return {"secrets": {"values": chart.external(SECRETS)}, "objectStore": {"url": "s3://documents"}}


def bundled() -> dict[str, Any]:
    """Everything in the cluster, with all that can be switched on."""
    on = {
        "providerKeys": ["ANTHROPIC_API_KEY"],
        "flower": {"enabled": True},
        "autoscaling": {"enabled": True},
    }
    return {**chart.example("laptop"), "objectStore": {}, **on}


@pytest.mark.parametrize("values", [external(), bundled()], ids=["external", "bundled"])
def test_no_pod_is_root_or_can_become_it_or_write_to_its_image(values) -> None:
    for role, pod in chart.pods(chart.render(values)).items():
        spec, container = pod["spec"], chart.container(pod)
        assert spec["securityContext"]["runAsNonRoot"], role
        assert spec["securityContext"]["runAsUser"] == (999 if role in ("postgresql", "redis") else 10_001), (
            role
        )
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, role
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }, role
        assert "memory" in container["resources"]["limits"], role
        # It has no token of the cluster, and no variables about Services: ours begin as those would.
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False), role
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), role
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), role


@pytest.mark.parametrize(
    ("values", "needed"),
    [(external(), NEEDED_BY), (bundled(), NEEDED_WHERE_BUNDLED)],
    ids=["external", "bundled"],
)
def test_a_secret_reaches_the_processes_that_need_it_and_no_other(values, needed) -> None:
    pods = chart.pods(chart.render(values))
    found = {name: {role for role, pod in pods.items() if name in secrets_of(pod)} for name in needed}
    assert found == needed
    assert set().union(*map(secrets_of, pods.values())) == set(needed)


def test_the_web_takes_jobs_for_a_provider_whose_key_it_does_not_know() -> None:
    for role in ("web", "control"):
        pod = chart.pods(chart.render(external()))[role]
        environment = {one["name"]: one for one in chart.container(pod)["env"]}
        assert "ANTHROPIC_API_KEY" not in environment
        assert settings.read({"WORKER_KEYS": environment["WORKER_KEYS"]["value"]}).worker_keys


def test_a_secret_stands_in_secrets_alone_and_in_the_migrations_only_its_own() -> None:
    manifests = chart.render(external())
    secrets = chart.of_kind(manifests, "Secret")
    rest = json.dumps([one for one in manifests if one["kind"] != "Secret"])

    assert not [name for name, value in SECRETS.items() if value in rest]
    assert secrets["penstock"]["stringData"] == chart.external(SECRETS)
    assert set(secrets["penstock-migrate"]["stringData"]) == {"DATABASE_URL"}


def test_whoever_must_talk_may_and_nobody_else() -> None:
    manifests = chart.render(bundled())
    pods = chart.pods(manifests)
    policies = [one["spec"] for one in chart.of_kind(manifests, "NetworkPolicy").values()]

    # Given that each pod is chosen by a policy for what it sends and one for what it hears
    for pod in pods.values():
        assert {kind for policy in choosing(policies, pod) for kind in policy["policyTypes"]} == {
            "Ingress",
            "Egress",
        }

    # Then of all pairs these are open
    ports = {
        role: [port["containerPort"] for port in chart.container(pod).get("ports", [])]
        for role, pod in pods.items()
    }
    assert {
        (sender, hearer, port)
        for sender in pods
        for hearer in pods
        for port in ports[hearer]
        if allows(policies, pods[sender], pods[hearer], port)
    } == PAIRS


def test_who_may_come_in_from_elsewhere() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}
    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}

    def coming_in(policy: Mapping[str, Any], **more: Any) -> dict[str, list[Any]]:
        manifests = chart.render({**bundled(), "networkPolicy": policy, **more})
        policies = chart.of_kind(manifests, "NetworkPolicy")
        return {
            name.removeprefix("penstock-"): [
                other
                for rule in one["spec"].get("ingress", [])
                for other in rule.get("from", ["everybody"])
                if "podSelector" not in other
            ]
            for name, one in policies.items()
        }

    closed = {"default": [], "worker": [], "control": [], "beat": [], "migrate": [], "redis": []}
    assert coming_in({}) == {**closed, "web": ["everybody"], "flower": [], "postgresql": [keda]}
    named = {"webFrom": [peer], "flowerFrom": [peer]}
    assert coming_in(named, autoscaling={"enabled": False}) == {
        **closed,
        "web": [peer],
        "flower": [peer],
        "postgresql": [],
    }


def test_every_process_has_the_ways_out_that_it_needs_and_no_others() -> None:
    # Given a port of its own for each way
    values = {**external(), "networkPolicy": {name: {"ports": [port]} for name, port in WAYS.items()}}
    policies = chart.of_kind(chart.render(values), "NetworkPolicy")

    found = {
        name.removeprefix("penstock-"): {
            port["port"] for rule in one["spec"].get("egress", []) for port in rule["ports"]
        }
        for name, one in policies.items()
    }
    assert found == {**LEADING_OUT, "default": set()}


def test_names_are_asked_where_a_node_answers_and_nothing_else_is() -> None:
    # Given name servers that are no pods: NodeLocal DNSCache, and GKE's Cloud DNS, where credentials are, too
    for policy in chart.of_kind(chart.render(bundled()), "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", []):
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            ports = {port["port"] for port in rule["ports"]}
            for address in ("169.254.20.10", "169.254.169.254"):
                assert any(within(block, address) for block in blocks) == (ports == {DNS}), address


def test_providers_and_receivers_of_webhooks_are_public_addresses() -> None:
    policies = chart.of_kind(chart.render(bundled()), "NetworkPolicy")
    for name in ("worker", "control"):
        blocks = [
            peer["ipBlock"]
            for rule in policies[f"penstock-{name}"]["spec"]["egress"]
            for peer in rule.get("to", [])
            if "ipBlock" in peer and rule["ports"][0]["port"] != DNS
        ]
        for address in ("10.1.2.3", "169.254.169.254", "192.168.1.1", "172.20.0.1", "100.64.1.1", "fd00::1"):
            assert not any(within(block, address) for block in blocks), (name, address)
        for address in ("160.79.104.10", "2607:6bc0::10"):
            assert any(within(block, address) for block in blocks), (name, address)


def secrets_of(pod: Manifest) -> set[str]:
    """The keys of Secrets that a pod gets."""
    environment = chart.container(pod)["env"]
    return {one["valueFrom"]["secretKeyRef"]["key"] for one in environment if "valueFrom" in one}


def matches(selector: Mapping[str, Any], pod: Manifest) -> bool:
    assert set(selector) == {"matchLabels"}
    labels: Mapping[str, str] = selector["matchLabels"]
    return labels.items() <= pod["metadata"]["labels"].items()


def choosing(policies: list[Mapping[str, Any]], pod: Manifest) -> list[Mapping[str, Any]]:
    return [policy for policy in policies if matches(policy["podSelector"], pod)]


def allows(policies: list[Mapping[str, Any]], sender: Manifest, hearer: Manifest, port: int) -> bool:
    """Whether both sides let a connection between two pods of the release pass, as Kubernetes decides it."""
    out = [rule for policy in choosing(policies, sender) for rule in policy.get("egress", [])]
    into = [rule for policy in choosing(policies, hearer) for rule in policy.get("ingress", [])]
    lets_out = any(opens(rule, "to", hearer, port) for rule in out)
    return lets_out and any(opens(rule, "from", sender, port) for rule in into)


def ports_of(pod: Manifest) -> list[int]:
    return [port["containerPort"] for port in chart.container(pod).get("ports", [])]


def opens(rule: Mapping[str, Any], side: str, pod: Manifest, port: int) -> bool:
    if port not in {one["port"] for one in rule.get("ports", [])}:
        return False
    pods = [peer["podSelector"] for peer in rule.get(side, []) if "podSelector" in peer]
    return side not in rule or any(matches(selector, pod) for selector in pods)


def within(block: Mapping[str, Any], address: str) -> bool:
    def holds(network: str) -> bool:
        return ip_address(address) in ip_network(network)

    return holds(block["cidr"]) and not any(map(holds, block.get("except", [])))
