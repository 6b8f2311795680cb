"""deploy/systemd/, as far as it can be judged without being root of a machine that runs systemd."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.stack import commands
from config import settings

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
COMMON = UNITS / "penstock-.service.d" / "common.conf"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
AS_COMPOSE = {
    "web": "web",
    "slices@": "worker",
    "control": "control",
    "flower": "flower",
    "migrate": "migrate",
}
MOST_EXPOSED = 20  # tenths, of systemd's own scale from 0 to 100

each_unit = pytest.mark.parametrize("name", AS_COMPOSE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as they are installed, but for the program, which is not on this machine."""
    if shutil.which("systemd-analyze") is None and "CI" not in os.environ:
        pytest.skip("this machine has no systemd-analyze")
    folder = tmp_path_factory.mktemp("systemd") / "units"
    shutil.copytree(UNITS, folder)
    for file in folder.glob("*.service"):
        file.write_text(re.sub(r"/opt/penstock/bin/\w+", sys.executable, file.read_text()))
    template = folder / "penstock-slices@.service"
    template.rename(folder / "penstock-slices@1.service")
    return folder


def test_systemd_finds_no_fault_in_the_units(installed: Path) -> None:
    names = sorted(path for path in installed.iterdir() if path.suffix in (".service", ".target"))
    assert len(names) == len(AS_COMPOSE) + 1
    done = analyze(installed, "verify", "--man=no", *map(str, names))
    ours = [line for line in done.stderr.splitlines() if "penstock" in line]
    assert (done.returncode, ours) == (0, [])


@each_unit
def test_a_unit_is_hardly_exposed(installed: Path, name: str) -> None:
    unit = installed / f"penstock-{name.replace('@', '@1')}.service"
    done = analyze(installed, "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("web", commands.web(3, settings.read({}).api_workers, settings.read({}).web_threads)),
        ("slices@", commands.slice_worker(1)),
        ("control", commands.control_worker()),
        ("flower", ["python", *SERVICES["flower"]["command"][1:]]),
        ("migrate", SERVICES["migrate"]["command"]),
    ],
)
def test_a_unit_runs_the_command_line_that_the_others_run(name: str, ours: list[str]) -> None:
    # Given the command line of the unit, at the defaults of its variables
    told = of_unit(name)
    line = re.sub(r"\$\{(\w+)\}", lambda found: environment(told)[found[1]], told["ExecStart"][0])
    words = shlex.split(line.replace("%%", "%").replace("%i", "1"))
    assert words[0].startswith("/opt/penstock/bin/")

    # Then all is the same but the socket, which is open to this machine alone
    assert without_socket(words[1:]) == without_socket(ours[1:])
    assert not any("0.0.0.0" in word for word in words)


@each_unit
def test_a_unit_gets_the_secrets_that_its_container_gets(name: str) -> None:
    # Given the credentials of the unit, and of all of them
    loaded = {line.partition(":")[0] for line in of_unit(name)["LoadCredential"]}
    of_all = {line.partition(":")[0] for line in parsed(COMMON)["LoadCredential"]}
    wanted = set(SERVICES[AS_COMPOSE[name]]["secrets"])

    # Then they are those of the container, without an object store's: that is a folder here
    assert of_all == {"redis_password"}
    assert loaded == wanted - of_all - {"object_store"}

    # And each is named by the variable that the container has for it
    told = environment(of_unit(name)) | environment(parsed(COMMON))
    variables = SERVICES[AS_COMPOSE[name]]["environment"]
    for secret in loaded | (wanted & of_all):
        named = [variable for variable, value in variables.items() if value == f"/run/secrets/{secret}"]
        assert [told[variable] for variable in named] == [f"%d/{secret}"], secret


@each_unit
def test_a_unit_has_the_bounds_of_its_container(name: str) -> None:
    told, service = of_unit(name), SERVICES[AS_COMPOSE[name]]
    assert told["MemoryMax"] == [service["mem_limit"].upper()]
    assert told["Restart"] == ["on-failure" if name == "migrate" else "always"]
    if "stop_grace_period" in service:
        assert told["TimeoutStopSec"] == [service["stop_grace_period"].removesuffix("s")]


@pytest.mark.parametrize("name", ["web", "slices@", "control"])
def test_a_migration_that_fails_at_first_keeps_nobody_from_starting_later(name: str) -> None:
    # Given a machine that starts before its database does: the migration is tried again, and what requires a
    # unit that has failed is not (systemd's issue 18856); what only wants it waits for its end, and starts
    told = of_unit(name)
    assert (told["Wants"], told["After"]) == (["penstock-migrate.service"],) * 2
    assert "Requires" not in told


def test_nothing_is_started_that_would_keep_jobs_in_another_database() -> None:
    # Given that Penstock takes a file of its own where no database is named
    assert settings.read({}).database_url.startswith("sqlite")

    # Then the file that names it has to be there, and the page writes it before it starts anything
    assert parsed(COMMON)["EnvironmentFile"] == ["/etc/penstock/penstock.env"]
    page = (ROOT / "docs" / "deployment.md").read_text()
    written = page.index("/etc/penstock/penstock.env <<END")
    assert (
        written
        < page.index("\nDATABASE_URL=postgresql://", written)
        < page.index("enable --now penstock.target")
    )


def test_the_script_makes_every_secret_that_a_unit_loads(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run(["sh", ROOT / "deploy" / "secrets.sh", folder], check=True, capture_output=True)
    for file in (COMMON, *UNITS.glob("*.service")):
        for line in parsed(file)["LoadCredential"]:
            name, _, path = line.partition(":")
            assert path == f"/etc/penstock/secrets/{name}"
            assert (folder / name).exists()


def analyze(folder: Path, verb: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        ["systemd-analyze", verb, *words], env=environ, capture_output=True, text=True, check=False
    )


def of_unit(name: str) -> dict[str, list[str]]:
    return parsed(UNITS / f"penstock-{name}.service")


def parsed(file: Path) -> dict[str, list[str]]:
    """The settings of a unit: each may be there several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text().replace("\\\n", " ").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(" ".join(value.split()))
    return found


def environment(told: dict[str, list[str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in told["Environment"] for pair in shlex.split(line))  # type: ignore[misc]


def without_socket(words: list[str]) -> list[str]:
    """The command line without the flag that says where it listens."""
    pairs = zip(["", *words], words, strict=False)
    return [
        word for before, word in pairs if "--bind" not in (before, word) and not word.startswith("--address")
    ]
