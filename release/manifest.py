"""What a folder holds of others: packages of npm, their versions and licences, and the hash of each file."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

MANIFEST = "manifest.toml"

Package = dict[str, Any]


def read(folder: Path) -> list[Package]:
    """The packages whose files are in the folder."""
    found: list[Package] = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))["package"]
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
