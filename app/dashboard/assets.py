"""Styles and scripts: served under names with their hash, so that browsers may keep them for good."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response

from app.errors import NotFound
from app.web.auth import public

FOLDER = Path(__file__).parent / "assets"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"
HASH = 12  # hexadecimal digits in a name

blp = Blueprint("assets", __name__)


@dataclass(frozen=True, slots=True)
class Asset:
    hashed: str  # its name on the wire
    type: str
    content: bytes


@blp.get("/assets/<path:name>")
@public()
def send_asset(name: str) -> Response:
    """One of the files, which never changes under its name."""
    found = _by_hashed().get(name)
    if found is None:
        raise NotFound(
            f"there is no file {name!r} here: load the page again, it may be of an earlier release"
        )
    return Response(
        found.content, content_type=f"{found.type}; charset=utf-8", headers={"Cache-Control": FOR_GOOD}
    )


def hashed_name(name: str) -> str:
    """The name under which the file `name`, such as `vendor/htmx.min.js`, is served."""
    return _all()[name].hashed


@cache
def _all() -> dict[str, Asset]:
    files = (path for path in FOLDER.rglob("*") if path.suffix in TYPES)
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in files}


@cache
def _by_hashed() -> dict[str, Asset]:
    return {asset.hashed: asset for asset in _all().values()}


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    name = PurePosixPath(path.relative_to(FOLDER).as_posix())
    digest = hashlib.sha256(content).hexdigest()[:HASH]
    return Asset(str(name.with_suffix(f".{digest}{name.suffix}")), TYPES[path.suffix], content)
