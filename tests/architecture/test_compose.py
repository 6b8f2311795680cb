"""docker-compose.yml and the Dockerfile, as far as they can be judged without Docker."""

import json
import re
import shlex
import socket
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.beat import BeatPidbox, PersistentScheduler, Scheduler, Service
from kombu.utils.imports import symbol_by_name

import celeryconfig
from app.stack import commands, family
from config import settings
from tasks.celery import app
from tests.support.published_schemas import faults

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
LASTING = {name: service for name, service in OURS.items() if name != "migrate"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NEEDED_BY = {
    "POSTGRES_PASSWORD": {"postgres", "migrate", "web", "worker", "control"},
    "REDIS_PASSWORD": {"redis", "web", "worker", "control", "beat", "flower"},
    "FLOWER_BASIC_AUTH": {"flower"},
    "ANTHROPIC_API_KEY": {"web", "worker"},  # the web refuses a job whose provider has none
    "API_KEYS": {"web"},
    "PENSTOCK_API_KEY": set(),
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
    assert not any("--schedule" in word for name in LASTING for word in command_of(name))


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
    assert f"--destination {worker}$$(hostname)" in SERVICES[name]["healthcheck"]["test"][1]


def test_the_beats_probe_asks_it_by_celerys_name_for_it() -> None:
    named = BeatPidbox(Service(app)).hostname.removesuffix(socket.gethostname())
    assert f"--destination {named}$$(hostname)" in SERVICES["beat"]["healthcheck"]["test"][1]
    assert app.conf.beat_enable_remote_control


def test_flower_is_behind_a_password() -> None:
    assert SERVICES["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")


def test_no_secret_has_a_value_in_the_files() -> None:
    # Then every variable that holds a secret must be given, and the image is told none
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", COMPOSE.read_text()):
        assert rest.startswith(":?") or not re.search("PASSWORD|KEY|AUTH|SECRET", name), name
    assert not re.search("PASSWORD|_KEY|AUTH|SECRET", DOCKERFILE)


def test_a_secret_reaches_the_services_that_need_it_and_no_other() -> None:
    # Given an .env with all of them, and what each service sees of it
    dotenv = {name: f"value-of-{name}" for name in NEEDED_BY}
    seen = {name: " ".join(environment_of(service, dotenv).values()) for name, service in SERVICES.items()}

    # Then it is in the environment of these alone, and on no command line
    for secret, value in dotenv.items():
        assert {name for name, values in seen.items() if value in values} == NEEDED_BY[secret], secret
        for name, service in SERVICES.items():
            lines = json.dumps([service.get("command"), service.get("healthcheck")])
            assert value not in given(lines, dotenv), name


def test_redis_wants_its_password_from_a_file() -> None:
    [config] = SERVICES["redis"]["configs"]
    content = yaml.safe_load(COMPOSE.read_text())["configs"][config["source"]]["content"]
    assert content.startswith("requirepass ${REDIS_PASSWORD:?")
    assert config["target"] in command_of("redis")
    assert "REDISCLI_AUTH" in SERVICES["redis"]["environment"]


def test_every_service_is_bounded() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] <= 1024, name


def test_no_document_puts_a_password_on_a_command_line() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob(".github/**/*.yml")]
    for path in (*texts, COMPOSE, ROOT / "Makefile", ROOT / "Dockerfile"):
        assert not re.search(r"--(basic-auth|requirepass|password|pass|auth)\b", path.read_text()), path


def test_services_are_restarted_probed_and_started_after_the_migration() -> None:
    for name, service in LASTING.items():
        assert service["restart"] == "unless-stopped", name
        assert "test" in service["healthcheck"], name
        if name not in ("beat", "flower"):  # they never look at the database
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    assert OURS["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", ["worker", "control"])
def test_a_worker_is_not_killed_while_its_calls_may_end(name: str) -> None:
    patience = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert patience >= settings.read({}).grace + family.MARGIN


def test_the_broker_evicts_nothing_and_keeps_its_queues() -> None:
    command = command_of("redis")
    assert flag(command, "--maxmemory-policy") == "noeviction"
    assert flag(command, "--appendonly") == "yes"
    assert flag(command, "--appendfsync") == "everysec"


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_image_is_a_version_and_the_bytes_behind_it() -> None:
    # Given what is built upon, and what is run as it is
    built_upon = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    run = [service["image"] for name, service in SERVICES.items() if name not in OURS]

    # Then each is named by its tag and by its digest, and one name has one digest
    assert len(built_upon) == 2
    assert len(run) == 2
    for image in (*built_upon, *run):
        assert re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image
    assert len(set(built_upon)) == 1


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
        return dotenv.get(found[1], found[2] or "")

    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", value, text)


def environment_of(service: dict[str, Any], dotenv: dict[str, str]) -> dict[str, str]:
    """What a service sees: the .env, where it is handed on, under what is set for it."""
    handed_on = dotenv if service.get("env_file") else {}
    return handed_on | {name: given(value, dotenv) for name, value in service.get("environment", {}).items()}


def command_of(name: str) -> list[str]:
    """The command line, its variables at their defaults."""
    return [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in SERVICES[name]["command"]]


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def without(flags: set[str], command: list[str]) -> list[str]:
    """The command line without these flags and their values."""
    return [
        word
        for before, word in zip(["", *command], command, strict=False)
        if word not in flags and before not in flags
    ]
