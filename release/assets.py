"""Fetches the files of others that the page is made with, and writes down what came (`make assets`).

The manifest says what is wanted: packages, their versions, which of their files. The rest is written here.
"""

import json
import sys
import tempfile
from pathlib import Path

from release import npm
from release.manifest import MANIFEST, Package, read, sha256

SPDX = {"BSD-0-Clause": "0BSD"}  # how htmx spells it


def renew(folder: Path) -> None:
    """Fetch every file of the manifest again, and write its hash into it."""
    packages = read(folder)
    with tempfile.TemporaryDirectory() as scratch:
        for package in packages:
            archive = npm.fetch(package["name"], package["version"], Path(scratch))
            _copy(package, npm.unpack(archive, Path(scratch, package["name"])), folder)
    _write(packages, folder / MANIFEST)


def _copy(package: Package, source: Path, folder: Path) -> None:
    declared = json.loads((source / "package.json").read_text(encoding="utf-8"))["license"]
    package["licence"] = SPDX.get(declared, declared)
    for name, file in package["files"].items():
        (folder / name).write_bytes((source / file["path"]).read_bytes())
        file["sha256"] = sha256(folder / name)


def _write(packages: list[Package], manifest: Path) -> None:
    """What was found, under the comment that the manifest begins with."""
    lines = [line for line in manifest.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    for package in packages:
        lines += ["", "[[package]]", *(f'{key} = "{package[key]}"' for key in ("name", "version", "licence"))]
        lines += ["", "[package.files]"]
        lines += [f'"{name}" = {_inline(file)}' for name, file in package["files"].items()]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _inline(file: dict[str, str]) -> str:
    return f'{{ path = "{file["path"]}", sha256 = "{file["sha256"]}" }}'


if __name__ == "__main__":
    for name in sys.argv[1:]:
        renew(Path(name))
