"""docker-compose.yml and the Dockerfile, as far as they can be judged without Docker."""

import ipaddress
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.beat import BeatPidbox, PersistentScheduler, Scheduler, Service
from kombu.utils.imports import symbol_by_name
from sqlalchemy import QueuePool

import celeryconfig
from app.providers import registry
from app.stack import commands, family
from config import settings
from models.session import make_engine
from tasks.celery import app
from tests.support.published_schemas import faults

ROOT = Path(__file__).parents[2]
HADOLINT = Path(sys.executable).with_name("hadolint")
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "penstock"}
ONCE = {"migrate", "bucket"}  # run, and exit
PATH = {"PATH": os.environ["PATH"]}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
AS_SECRETS = {
    "postgres_password": {"postgres", "migrate", "web", "worker", "control"},
    "redis_password": {"redis", "web", "worker", "control", "beat", "flower"},
    "object_store": {"bucket", "web", "worker", "control"},
    "object_store_identities": {"object-store"},
    "penstock_secret_key": {"web", "control"},
    "flower_login": {"flower"},
    "grafana_password": {"grafana"},
    "anthropic_api_key": {"worker"},
    "openai_api_key": {"worker"},
    "api_keys": {"web"},
}
IN_DOTENV = {  # what a laptop has in its .env, and who may see it of those that read one
    "ANTHROPIC_API_KEY": {"worker"},
    "OPENAI_API_KEY": {"worker"},
    "PENSTOCK_SECRET_KEY": {"web", "control"},
    "API_KEYS": {"web"},
    "PENSTOCK_API_KEY": set(),
    "FLOWER_BASIC_AUTH": set(),
}
MAY_TALK = {  # to whom, by the networks that they share
    "postgres": {"migrate", "web", "worker", "control"},
    "redis": {"web", "worker", "control", "beat", "flower"},
    "object-store": {"bucket", "web", "worker", "control"},
    "proxy": {"web", "flower", "grafana"},
}


def test_the_file_is_a_compose_file() -> None:
    assert faults("compose-spec", COMPOSE) == ""


def test_every_queue_has_a_service_that_consumes_it() -> None:
    # Given the queues that messages go to
    queues = {celeryconfig.task_default_queue} | {
        route["queue"] for route in celeryconfig.task_routes.values()
    }

    # Then each of them is consumed, and no worker waits at one that nothing is sent to
    assert {flag(command_of(name), "--queues") for name in ("worker", "control")} == queues


def test_one_service_runs_the_beat_and_keeps_no_schedule_that_another_could_write() -> None:
    # Given the default scheduler of Celery, which reads a pickle from a file
    assert issubclass(PersistentScheduler, Scheduler)

    # Then ours is the one below it
    assert [name for name in OURS if {"beat", "--beat"} & set(command_of(name))] == ["beat"]
    assert symbol_by_name(celeryconfig.beat_scheduler) is Scheduler
    assert not any("--schedule" in word for name in OURS for word in command_of(name))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("web", commands.web(3, settings.read({}).api_workers, settings.read({}).web_threads)),
        ("worker", commands.slice_worker(1)),
        ("control", commands.control_worker()),
    ],
)
def test_a_service_runs_the_command_line_that_penstock_up_runs(name: str, ours: list[str]) -> None:
    # Given what differs by its nature: the interpreter, the socket, the worker's name, and where beat runs
    own = {"--bind", "--hostname"}
    ours = [word for word in ours if word != "--beat"]

    # Then all else is the same, word for word
    assert without(own, command_of(name)[1:]) == without(own, ours[1:])


@pytest.mark.parametrize("name", ["web", "worker", "control", "beat"])
def test_the_readme_starts_a_process_as_compose_does(name: str) -> None:
    # Given the command lines of the README, without those flags that are not for everybody
    own = {"--bind", "--hostname"}
    block = (ROOT / "README.md").read_text().replace("\\\n", "")
    lines = [
        shlex.split(line, comments=True)
        for line in re.findall(r"^(?:gunicorn|celery) .*$", block, re.MULTILINE)
    ]

    # Then one of them is this
    assert without(own, command_of(name)[2:]) in [without(own, line) for line in lines]


@pytest.mark.parametrize("name", ["worker", "control"])
def test_a_probe_asks_the_worker_by_the_name_that_it_has(name: str) -> None:
    worker = flag(command_of(name), "--hostname").removesuffix("%h")
    assert f"--destination {worker}$$(uname -n)" in SERVICES[name]["healthcheck"]["test"][1]


def test_the_beats_probe_asks_it_by_celerys_name_for_it() -> None:
    named = BeatPidbox(Service(app)).hostname.removesuffix(socket.gethostname())
    assert f"--destination {named}$$(uname -n)" in SERVICES["beat"]["healthcheck"]["test"][1]
    assert app.conf.beat_enable_remote_control


def test_no_secret_has_a_value_in_the_files() -> None:
    # Then what a variable holds comes from outside, and the image is told none
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE.read_text()):
        assert rest == ":-" or name == "WORKER_KEYS" or not re.search("PASSWORD|KEY|AUTH|SECRET", name), name
    assert not re.search("PASSWORD|_KEY|AUTH|SECRET", DOCKERFILE)


def test_a_secret_is_a_file_of_the_services_that_need_it_and_of_no_other() -> None:
    # Given the files, and who mounts them
    files = yaml.safe_load(COMPOSE.read_text())["secrets"]
    assert files == {name: {"file": f"secrets/{name}"} for name in AS_SECRETS}

    # Then each is where it is needed, and who has one is told where it lies
    for secret, services in AS_SECRETS.items():
        assert {name for name in SERVICES if secret in SERVICES[name].get("secrets", [])} == services, secret
        for name in services:
            told = json.dumps([SERVICES[name].get(part) for part in ("environment", "command")])
            assert re.search(rf"/run/secrets/{secret}\b", told), (secret, name)
    for name, service in SERVICES.items():
        told = set(re.findall(r"/run/secrets/(\w+)", json.dumps(service)))
        assert told == set(service.get("secrets", [])), name


def test_a_secret_in_dotenv_reaches_the_services_that_need_it_and_no_other() -> None:
    # Given an .env with all of them, and what each service sees of it
    dotenv = {name: f"value-of-{name}" for name in IN_DOTENV}
    seen = {name: " ".join(environment_of(service, dotenv).values()) for name, service in SERVICES.items()}

    # Then it is in the environment of these alone, and on no command line
    for secret, value in dotenv.items():
        assert {name for name, values in seen.items() if value in values} == IN_DOTENV[secret], secret
        for name, service in SERVICES.items():
            lines = json.dumps([service.get("command"), service.get("healthcheck")])
            assert value not in given(lines, dotenv), name


def test_whoever_has_no_key_is_told_that_the_workers_have_it() -> None:
    # Given what web and control see, and an operator who has put a key into the workers' file
    for name in ("web", "control"):
        seen = seen_by(name)

        # Then a job for Claude is taken, though its key is not here
        assert seen.anthropic_api_key is None
        registry.require("claude-haiku-4-5", seen)


def test_only_those_share_a_network_who_talk() -> None:
    for name, others in MAY_TALK.items():
        of_its = set(SERVICES[name]["networks"])
        assert {other for other in SERVICES if of_its & set(SERVICES[other]["networks"])} == others | {name}
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert {name for name, network in networks.items() if not (network or {}).get("internal")} == {
        "front",
        "edge",
    }


def test_the_web_believes_the_proxy_and_nobody_else() -> None:
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    address = ipaddress.ip_address(SERVICES["proxy"]["networks"]["edge"]["ipv4_address"])
    [edge] = networks["edge"]["ipam"]["config"]

    [trusted] = seen_by("web").trusted_proxies
    assert trusted == ipaddress.ip_network(address)

    # And no container that starts before the proxy is given its address: Docker takes the first that is free
    others = [name for name, service in SERVICES.items() if "edge" in service["networks"] and name != "proxy"]
    given_out = ipaddress.ip_network(edge["ip_range"])
    assert given_out.subnet_of(ipaddress.ip_network(edge["subnet"]))
    assert address in ipaddress.ip_network(edge["subnet"])
    assert not {address, ipaddress.ip_address(edge["gateway"])} & set(given_out)
    assert address != ipaddress.ip_address(edge["gateway"])
    assert len(list(given_out.hosts())) >= len(others)


def test_prometheus_reads_services_that_it_reaches_and_grafana_asks_prometheus() -> None:
    # Given whom Prometheus shares a network with
    monitoring, networks = ROOT / "deploy" / "monitoring", set(SERVICES["prometheus"]["networks"])
    near = {name for name, service in SERVICES.items() if networks & set(service["networks"])}

    # Then it is those that it reads, and the web answers to the name by which it is asked
    content = yaml.safe_load((monitoring / "prometheus.yml").read_text())
    told = [job["static_configs"][0]["targets"] for job in content["scrape_configs"]]
    assert told == [["web:8000"], ["flower:5555"], ["127.0.0.1:9090"]]
    assert {"web", "flower", "grafana"} <= near
    assert "web" in seen_by("web").allowed_hosts

    # And Grafana finds it, and the folder of its boards
    [source] = yaml.safe_load(
        (monitoring / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    [provider] = yaml.safe_load(
        (monitoring / "grafana" / "provisioning" / "dashboards" / "penstock.yml").read_text()
    )["providers"]
    mounted = {mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted


def test_what_is_mounted_from_the_project_is_in_it() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    ours = [mount.split(":") for mount in mounts if mount.startswith(".")]
    assert len(ours) == 6
    for source, _, mode in ours:
        assert (ROOT / source).exists(), source
        assert mode == "ro"


def test_secrets_are_made_once_and_closed_to_other_users(tmp_path: Path) -> None:
    # Given the script in a new folder
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "secrets.sh", tmp_path / "deploy")
    made = tmp_path / "secrets"

    # When it runs, then every secret of the compose file is there, in a folder that is closed
    make_secrets(tmp_path, POSTGRES_PASSWORD="of an earlier time")
    first = {path.name: path.read_text() for path in made.iterdir()}
    assert first.keys() == AS_SECRETS.keys()
    assert first["postgres_password"] == "of an earlier time"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {name for name, value in first.items() if not value} == {
        *("anthropic_api_key", "openai_api_key", "api_keys"),
    }
    settings.read({"PENSTOCK_SECRET_KEY": first["penstock_secret_key"]})
    pair = json.loads(first["object_store_identities"])["identities"][0]["credentials"][0]
    assert set(pair.values()) <= set(first["object_store"].split())

    # And another run changes nothing
    make_secrets(tmp_path)
    assert {path.name: path.read_text() for path in made.iterdir()} == first

    # And keys of a store elsewhere stay, and do not become those of ours
    (made / "object_store").write_text("[default]\naws_access_key_id = mine\n")
    (made / "object_store_identities").unlink()
    make_secrets(tmp_path)
    assert "mine" in (made / "object_store").read_text()
    assert json.loads((made / "object_store_identities").read_text())["identities"]
    assert "mine" not in (made / "object_store_identities").read_text()


def test_every_service_is_bounded_and_has_no_more_rights_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] <= 1024, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"], name
        assert "/tmp" in service.get("tmpfs", []) or name == "redis", name
        if name == "proxy":
            assert service["cap_add"] == ["NET_BIND_SERVICE"]
        else:
            assert "cap_add" not in service, name
            assert name in OURS or service["user"].split(":")[0] not in ("root", "0"), name


def test_the_database_has_room_for_eight_workers_web_and_control() -> None:
    [most] = re.findall(r"max_connections=(\d+)", " ".join(command_of("postgres")))
    pool = make_engine("postgresql+psycopg://postgres").pool
    assert isinstance(pool, QueuePool)
    assert int(most) >= (8 + 1 + 1) * (pool.size() + pool._max_overflow)


def test_a_lost_scale_is_that_of_dotenv() -> None:
    assert given(SERVICES["worker"]["scale"], {"WORKERS": "8"}) == "8"
    assert given(SERVICES["worker"]["scale"], {}) == "1"


def test_no_document_puts_a_password_on_a_command_line() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob(".github/**/*.yml")]
    for path in (*texts, COMPOSE, ROOT / "Makefile", ROOT / "Dockerfile"):
        assert not re.search(r"--(basic-auth|requirepass|password|pass|auth)\b", path.read_text()), path


def test_services_are_restarted_probed_and_started_after_the_migration() -> None:
    for name in SERVICES.keys() - ONCE:
        assert SERVICES[name]["restart"] == "unless-stopped", name
        assert "test" in SERVICES[name]["healthcheck"], name
    for name in ("web", "worker", "control"):  # the others never look at the database
        for first in ONCE:
            assert OURS[name]["depends_on"][first] == {"condition": "service_completed_successfully"}, name
    assert {OURS[name]["restart"] for name in ONCE} == {"no"}


@pytest.mark.parametrize("name", ["worker", "control"])
def test_a_worker_is_not_killed_while_its_calls_may_end(name: str) -> None:
    patience = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert patience >= settings.read({}).grace + family.MARGIN


def test_the_broker_evicts_nothing_and_keeps_its_queues() -> None:
    command = command_of("redis")
    [line] = [line for line in command if "redis-server" in line]
    for wanted in ("--maxmemory-policy noeviction", "--appendonly yes", "--appendfsync everysec"):
        assert wanted in line


def test_only_the_proxys_ports_are_open_to_other_machines() -> None:
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert ports.pop("proxy") == ["80:80", "443:443", "443:443/udp"]
    assert {name for name, open_ones in ports.items() if open_ones} == {"web", "flower", "grafana"}
    assert all(port.startswith("127.0.0.1:") for open_ones in ports.values() for port in open_ones)


def test_every_image_is_a_version_and_the_bytes_behind_it() -> None:
    # Given what is built upon, and what is run as it is
    built_upon = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    run = [service["image"] for name, service in SERVICES.items() if name not in OURS]

    # Then each is named by its tag and by its digest, and one name has one digest
    assert len(built_upon) == 2
    assert len(run) == 6
    for image in (*built_upon, *run):
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image
    assert len(set(built_upon)) == 1


def test_our_image_is_built_once_and_never_looked_for_elsewhere() -> None:
    # Given that Compose builds at the same time whatever has `build`: a name that is there already is refused
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_change_of_the_code_installs_no_dependency_again() -> None:
    pins = DOCKERFILE.index("COPY constraints.txt .")
    assert pins < DOCKERFILE.index("--requirement constraints.txt") < DOCKERFILE.index("COPY . .")
    assert "HEALTHCHECK" not in DOCKERFILE  # every role has another one


def test_the_image_runs_as_an_ordinary_user_on_pinned_versions() -> None:
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE)[-1] not in ("root", "0")
    assert "--require-hashes --only-binary :all: --requirement constraints.txt" in DOCKERFILE


def test_the_build_sees_the_code_and_nothing_else() -> None:
    # Given the list of what goes to the build
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]

    # Then it is a list of what is let in, and all of it is there
    assert first == "*"
    for name in (line[1:] for line in rest if line.startswith("!")):
        assert (ROOT / name).exists(), name


def test_an_installed_penstock_has_every_file_of_the_code() -> None:
    # Given the packages and the kinds of files that setup.cfg names
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    kinds = {kind.strip() for kind in config["options.package_data"]["*"].split(",")} | {"*.py"}
    needs_init = config["options"]["packages"] == "find:"  # `find_namespace:` takes every directory

    # Then no file of them is left out
    for path in (path for top in ("app", "config", "models", "tasks") for path in (ROOT / top).rglob("*.*")):
        if path.is_file() and path.suffix != ".pyc":
            assert f"*{path.suffix}" in kinds, path
            assert path.with_name("__init__.py").exists() or not needs_init, path


def given(text: str, dotenv: dict[str, str]) -> str:
    """The text with the variables of an .env, at their defaults where it has none."""

    def value(found: re.Match[str]) -> str:
        said = dotenv.get(found[1])
        return said if said or (said is not None and found[2] == "-") else found[3]

    return re.sub(r"\$\{(\w+)(:?-)([^}]*)\}", value, text)


def seen_by(name: str) -> settings.Settings:
    """What a service makes of its environment, with an empty .env and none of its secrets."""
    told = environment_of(SERVICES[name], {})
    return settings.read(
        {variable: value for variable, value in told.items() if not variable.endswith("_FILE")}
    )


def make_secrets(folder: Path, **environment: str) -> None:
    subprocess.run(["sh", folder / "deploy" / "secrets.sh"], env=PATH | environment, check=True)


def environment_of(service: dict[str, Any], dotenv: dict[str, str]) -> dict[str, str]:
    """What a service sees: the .env, where it is handed on, under what is set for it."""
    handed_on = dotenv if service.get("env_file") else {}
    return handed_on | {name: given(value, dotenv) for name, value in service.get("environment", {}).items()}


def command_of(name: str) -> list[str]:
    """The command line, its variables at their defaults."""
    return [given(word, {}) for word in SERVICES[name]["command"]]


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def without(flags: set[str], command: list[str]) -> list[str]:
    """The command line without these flags and their values."""
    return [
        word
        for before, word in zip(["", *command], command, strict=False)
        if word not in flags and before not in flags
    ]
