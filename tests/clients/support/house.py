"""A whole Penstock as callers see it, and clients as programs that know its address and a key."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.support import environments
from tests.clients.support.outside import Outside, outside
from tests.support.shared_stack import Service
from tests.support.web_process import WebProcess

SCRIPTS = Path(__file__).parents[1] / "scripts"
SECONDS = 150  # for one client: importing some of them takes ten

# The hosts that a client asks for outside, before it has been asked for anything; docs/clients.md says why.
OUTSIDE = {
    "litellm": {"raw.githubusercontent.com"},
    "curator": {"raw.githubusercontent.com", "us.i.posthog.com"},
}

# What both of the tests' providers do with these words in a question.
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."


@dataclass
class House:
    """Penstock's web process, and what stands around it."""

    service: Service
    web: WebProcess
    folder: Path
    wanted: set[str] = field(default_factory=set)  # hosts that the last client asked for

    def python(self, client: str, script: str, **more: str) -> dict[str, Any]:
        """What `scripts/<script>.py` saw, run in the environment of `client`."""
        return self._script(environments.python(client), client, script, more)

    def here(self, script: str, **more: str) -> dict[str, Any]:
        """The same with the SDKs that Penstock itself is installed with."""
        return self._script(Path(sys.executable), "here", script, more)

    def node(self, script: str, **more: str) -> dict[str, Any]:
        """What `scripts/<script>.mjs` saw, run under Node."""
        modules = environments.node()
        for path in SCRIPTS.glob("*.mjs"):  # a module is looked for beside the script that imports it
            shutil.copy(path, modules)
        return self._seen([environments.NODE, modules / f"{script}.mjs"], modules, more)

    def command(self, client: str, *arguments: str | Path, keys: dict[str, str]) -> str:
        """What a command of `client` printed."""
        binary = environments.python(client).parent / arguments[0]
        return self._run([binary, *arguments[1:]], self._home(client), keys).stdout

    def tenant(self, **keys: Sequence[str]) -> dict[str, str]:
        """The key of a tenant of its own, and further keys of it with the scopes that are named."""
        door = self.service.door.other(f"tenant-{uuid.uuid4().hex[:12]}")
        more = {name: door.colleague(name.lower(), scopes).key for name, scopes in keys.items()}
        return {"ANTHROPIC_API_KEY": door.key, "OPENAI_API_KEY": door.key, **more}

    def _script(self, python: Path, client: str, script: str, more: dict[str, str]) -> dict[str, Any]:
        return self._seen([python, SCRIPTS / f"{script}.py"], self._home(client), more)

    def _home(self, client: str) -> Path:
        home = self.folder / client
        home.mkdir(exist_ok=True)
        return home

    def _seen(self, command: Sequence[str | Path], home: Path, more: dict[str, str]) -> dict[str, Any]:
        done = self._run(command, home, more)
        lines = done.stdout.splitlines()
        assert lines, done.stderr
        seen: dict[str, Any] = json.loads(lines[-1])
        return seen

    def _run(
        self, command: Sequence[str | Path], home: Path, more: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        with outside() as refused:
            environment = {**self.environment(home, refused), **more}
            done = subprocess.run(
                command,
                cwd=home,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        self.wanted = refused.wanted
        assert done.returncode == 0, f"{done.stdout[-4_000:]}\n{done.stderr[-8_000:]}"
        return done

    def environment(self, home: Path, refused: Outside) -> dict[str, str]:
        """All that a client is told: nothing of the shell that runs the tests."""
        return {
            "ANTHROPIC_BASE_URL": self.web.url,
            "ANTHROPIC_API_KEY": self.service.door.key,
            "OPENAI_BASE_URL": f"{self.web.url}/v1",
            "OPENAI_API_KEY": self.service.door.key,
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "COLUMNS": "250",  # a narrow table cuts ids off
            "HTTP_PROXY": refused.url,
            "HTTPS_PROXY": refused.url,
            "NO_PROXY": "127.0.0.1",
            "NODE_USE_ENV_PROXY": "1",
        }
