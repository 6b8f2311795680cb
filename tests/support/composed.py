"""docker-compose.yml without Docker: its services as processes on this machine.

Commands, environments, users, secrets, health checks, their order and their time to stop are the file's own.
What differs is what a container brings: `NAME:PORT` of a service is a free port of 127.0.0.1, a path is one
in a folder, and the programs of other people's images are those that the tests have.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import composed_images
from tests.support.composed_images import as_user
from tests.support.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
OURS = 10001  # the user of the Dockerfile
NOBODY = 65534  # PostgreSQL refuses to run as a user without a name
DEFAULT_PATIENCE = "10s"  # that Compose gives a service to stop
VARIABLE = re.compile(r"\$\{(\w+)(:?-)([^}]*)\}")


class Container:
    """One process of a service; `name` is its host name."""

    def __init__(self, name: str, service: str, composed: "Composed") -> None:
        self.name, self.service, self._composed = name, service, composed
        self.spec: dict[str, Any] = composed.services[service]
        self.user = _user(self.spec)
        self.home = composed.folder / "containers" / name
        self.log = self.home / "log"
        (self.home / "tmp").mkdir(parents=True)
        (self.home / "tmp").chmod(0o1777)
        self.image = composed_images.of(self.spec)
        composed_images.write_programs(self, self.image)
        self.process: subprocess.Popen[bytes] | None = None
        self.was_healthy = False

    def start(self) -> None:
        workdir = self.volume(self.image.workdir)
        for folder in (workdir, *map(self.volume, self._mounted())):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in map(self.volume, self._mounted()):
            if self.user is not None:  # all else stays root's: the root of a container is read-only
                os.chown(folder, self.user, self.user)
        self.image.prepare(self)
        command = [*self.spec.get("entrypoint", []), *self.spec.get("command", self.image.command)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._words(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._inside(workdir),
            )

    def run(self, *command: str) -> str:
        """What a command prints in it, as under `docker compose exec`."""
        words = self._words(list(command))
        return subprocess.run(
            words, check=True, capture_output=True, text=True, **self._inside(self.home)
        ).stdout

    def is_healthy(self) -> bool:
        kind, *words = self.spec["healthcheck"]["test"]
        words = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        with (self.home / "health").open("ab") as log:
            done = subprocess.run(
                self._words(words), stdout=log, stderr=log, check=False, **self._inside(self.home)
            )
        return done.returncode == 0

    def wait_until_healthy(self) -> None:
        """Once is enough, as for Compose."""
        if self.was_healthy:
            return
        wait_until(lambda: self.lives() and self.is_healthy(), seconds=60, what=f"{self.name} is healthy")
        self.was_healthy = True

    def lives(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.said}"
        return True

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self) -> None:
        """Fails where it takes longer than the time that it has."""
        assert self.process is not None
        patience = float(self.spec.get("stop_grace_period", DEFAULT_PATIENCE).removesuffix("s"))
        self.process.send_signal(self.image.stop_signal)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {patience:g} s:\n{self.said}") from None

    def port(self, inside: int) -> int:
        return self._composed.port(self.service, inside)

    def volume(self, target: str) -> Path:
        """The folder that is mounted there; one of its own where the image has it."""
        if source := self._mounted().get(target):
            return self._composed.folder / "volumes" / source
        return self.home / (target.strip("/") or "root")

    def _mounted(self) -> dict[str, str]:
        """The volumes by where they are mounted; files of the project are none."""
        mounts = (mount.split(":")[:2] for mount in self.spec.get("volumes", []))
        return {target: source for source, target in mounts if not source.startswith(".")}

    def local(self, text: str) -> str:
        """A text of the file with the paths and the addresses of this machine."""
        places = {
            "/data": self.volume("/data"),
            "/config": self.home / "config",
            "/tmp": self.home / "tmp",
            "/etc/caddy/Caddyfile": self.home / "Caddyfile",
            "/usr/bin/weed": "weed",
        }
        text = text.replace("/run/secrets/", f"{self._composed.folder}/secrets/")
        return str(places[text]) if text in places else self._composed.addressed(text, self.service)

    def _words(self, command: list[str]) -> list[str]:
        words = [self.local(word).replace("%h", self.name) for word in command]
        return [*as_user(self.user), "/usr/bin/env", *words]

    def _inside(self, folder: Path) -> dict[str, Any]:
        return {"env": self.environment(), "cwd": folder, "umask": 0o022}

    def environment(self) -> dict[str, str]:
        """The image's, what .env hands on, and the service's own; nothing of ours."""
        path = [self.home / "bin", Path(sys.executable).parent, "/usr/bin", "/bin"]
        always = {"PATH": ":".join(map(str, path)), "TMPDIR": "/tmp", "HOME": "/nonexistent"}
        handed_on = self._composed.dotenv if self.spec.get("env_file") else {}
        own = {**self.image.environment, **self.spec.get("environment", {})}
        local = {name: self.local(str(value)) for name, value in {**always, **own}.items()}
        return {**local, **{name: value for name, value in handed_on.items() if name not in own}}


class Composed:
    """The whole file; `dotenv` is its .env."""

    def __init__(self, folder: Path, dotenv: Mapping[str, str]) -> None:
        self.folder, self.dotenv = folder, dict(dotenv)
        content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        self.services: dict[str, dict[str, Any]] = self._filled_in(content["services"])
        self.containers: list[Container] = []
        self._ports: dict[tuple[str, int], int] = {}

    def up(self, service: str, scale: int = 1) -> None:
        """Start a service as soon as what it depends on is as it is to be."""
        for other, wanted in self.services[service].get("depends_on", {}).items():
            self._await(other, wanted["condition"])
        started = [Container(f"{service}-{number}", service, self) for number in range(1, scale + 1)]
        self.containers += started
        for container in started:
            container.start()

    def await_all(self) -> None:
        """Every service that lasts is healthy, by its own check."""
        lasting = [each for each in self.containers if "healthcheck" in each.spec]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Container.wait_until_healthy, lasting))

    def down(self) -> None:
        """Stop all, those first that depend on others."""
        running = [each for each in self.containers if each.process and each.process.poll() is None]
        for group in (
            [each for each in running if "depends_on" in each.spec],
            [each for each in running if "depends_on" not in each.spec],
        ):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(Container.stop, group))

    def kill(self) -> None:
        for each in self.containers:
            if each.process and each.process.poll() is None:
                os.killpg(each.process.pid, signal.SIGKILL)
                each.process.wait()

    def of(self, service: str) -> list[Container]:
        return [each for each in self.containers if each.service == service]

    def port(self, service: str, inside: int) -> int:
        return self._ports.setdefault((service, inside), free_port())

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def addressed(self, text: str, own: str) -> str:
        """The text with the addresses of services, and of `own` itself, as they are on this machine."""

        def here(found: re.Match[str]) -> str:
            service = found[1] if found[1] in self.services else own
            return f"127.0.0.1:{self.port(service, int(found[2]))}"

        names = "|".join(map(re.escape, [*self.services, "0.0.0.0", "127.0.0.1"]))
        text = re.sub(rf"(?<![\w.-])({names}):(\d+)", here, text)
        return re.sub(r"(--port=)(\d+)", lambda found: f"{found[1]}{self.port(own, int(found[2]))}", text)

    def make_secrets(self, **given: str) -> None:
        (self.folder / "deploy").mkdir()
        script = self.folder / "deploy" / "secrets.sh"
        script.write_bytes((ROOT / "deploy" / "secrets.sh").read_bytes())
        subprocess.run(["sh", script], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **given})
        (self.folder / "secrets").chmod(0o755)  # containers get a file of it past the closed folder

    def _await(self, service: str, condition: str) -> None:
        if not self.of(service):
            self.up(service)
        for container in self.of(service):
            assert container.process is not None
            if condition == "service_completed_successfully":
                assert container.process.wait(60) == 0, container.said
            else:
                container.wait_until_healthy()

    def _filled_in(self, content: Any) -> Any:
        """The content with the variables of .env, as Compose fills them in: in texts, once they are read."""
        if isinstance(content, str):
            return VARIABLE.sub(self._given, content).replace("$$", "$")
        if isinstance(content, list):
            return [self._filled_in(item) for item in content]
        if isinstance(content, dict):
            return {name: self._filled_in(item) for name, item in content.items()}
        return content

    def _given(self, found: re.Match[str]) -> str:
        said = self.dotenv.get(found[1])
        return said if said or (said is not None and found[2] == "-") else found[3]


def _user(spec: Mapping[str, Any]) -> int | None:
    """Whom a container runs as; None: as whoever runs the test. Only root can be somebody else."""
    is_ours = composed_images.is_ours(spec)
    if os.geteuid() != 0 or not (is_ours or "user" in spec):
        return None
    return OURS if is_ours else NOBODY


@contextmanager
def composed(folder: Path, **dotenv: str) -> Iterator[Composed]:
    made = Composed(folder, dotenv)
    try:
        yield made
    finally:
        made.kill()
