"""Servers in OpenAI's manner that nobody here wrote, each run in an environment of its own pinned packages.

Environments are built once, under `build/servers`; their names end in the hash of their pins.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.servers import free_port, wait_until

HERE = Path(__file__).parent
BUILT = Path(__file__).parents[3] / "build" / "servers"


@contextmanager
def litellm(folder: Path) -> Iterator[str]:
    """A LiteLLM proxy whose answers are mocked, with the key `sk-ours`; yields its address."""
    port = free_port()
    command = [_environment("litellm") / "bin" / "litellm", "--config", HERE / "litellm.yaml"]
    with _running([*command, "--host", "127.0.0.1", "--port", port], port, "/health/liveliness", folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def llama_cpp(folder: Path) -> Iterator[str]:
    """llama.cpp's server with a tiny model of chance; yields its address."""
    port = free_port()
    command = [_environment("llama_cpp") / "bin" / "python", HERE / "llama_cpp.py", folder, port]
    with _running(command, port, "/health", folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(command: list[object], port: int, path: str, folder: Path) -> Iterator[None]:
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(port, path), seconds=90, what=f"the server {command[0]} answers")
            yield
        finally:
            process.terminate()
            process.wait(30)


def _answers(port: int, path: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _environment(server: str) -> Path:
    """The environment of a server; raises `RuntimeError` with the installer's words if it cannot be built."""
    pins = HERE / f"{server}.txt"
    digest = hashlib.sha256(sys.version.encode() + pins.read_bytes()).hexdigest()[:12]
    folder = BUILT / f"{server}-{digest}"
    whole = folder / ".is-installed"  # the last file to appear
    if not whole.exists():
        _run([sys.executable, "-m", "venv", "--clear", folder])
        _run([folder / "bin" / "pip", "install", "--quiet", "--no-deps", "-r", pins])
        whole.touch()
    return folder


def _run(command: list[object]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
