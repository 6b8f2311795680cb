"""The front page, and the page for exploring and trying the contract, which works offline."""

import json
from importlib.metadata import version
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, jsonify, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from app.core.reading.job_json import PREFIX
from app.web.auth import public
from app.web.openapi import OTHERS

DIST = Path(flask_swagger_ui.__file__).parent / "dist"
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<p style="font-family: sans-serif; margin: 1em 2em"><a href="/docs">Penstock's contract</a> ·
<a href="/docs/contracts">other teams' contracts</a> · <a href="/openapi.json">OpenAPI</a></p>
<div id="contract"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
# One document has all contracts; each page shows its share of it.
START = f"""const showsOthers = location.pathname.endsWith("/contracts");

function shown(document) {{
  const others = new Set(
    document.tags.filter((tag) => tag.description.startsWith({json.dumps(OTHERS)})).map((tag) => tag.name)
  );
  const isShown = (tag) => others.has(tag) === showsOthers;
  const paths = {{}};
  for (const [path, item] of Object.entries(document.paths)) {{
    const kept = Object.entries(item).filter(([, part]) => !part.tags || part.tags.some(isShown));
    if (kept.some(([, part]) => part.tags)) paths[path] = Object.fromEntries(kept);
  }}
  return {{ ...document, tags: document.tags.filter((tag) => isShown(tag.name)), paths }};
}}

fetch("{PREFIX}/openapi.json")
  .then((response) => response.json())
  .then((document) =>
    SwaggerUIBundle({{
      spec: shown(document),
      dom_id: "#contract",
      deepLinking: true,
      validatorUrl: null  // it would be asked on the internet
    }})
  );
"""

# Where somebody who opens the address in a browser is led.
HOME = "/ui"
# Where a program that asks for it can go on.
LINKS = {
    "ui": "/ui",
    "docs": "/docs",
    "openapi": "/openapi.json",
    "jobs": f"{PREFIX}/jobs",
    "models": f"{PREFIX}/models",
    "me": f"{PREFIX}/me",
    "health": "/health",
    "ready": "/ready",
}

home = Blueprint("home", __name__)
blp = Blueprint("docs", __name__, url_prefix="/docs")


@home.get("/")
@public()
def show_home() -> AnyResponse:
    """A page for a browser, links for anything else."""
    kinds = ("application/json", "text/html")  # the first for a program that accepts everything alike
    if request.accept_mimetypes.best_match(kinds) == "text/html":
        response: AnyResponse = redirect(HOME)
    else:
        response = jsonify({"name": "Penstock", "version": version("penstock"), "links": LINKS})
    response.vary.add("Accept")
    return response


@blp.get("", strict_slashes=False)
@blp.get("/contracts")
@public()
def show_page() -> Response:
    """The native contract, or the others."""
    return Response(PAGE, mimetype="text/html", headers={"Content-Security-Policy": POLICY})


@blp.get("/start.js")
@public()
def show_start() -> Response:
    """The page's script; inline scripts are blocked."""
    return Response(START, mimetype="text/javascript")


@blp.get("/<path:name>")
@public()
def show_file(name: str) -> Response:
    """One of Swagger UI's files."""
    return send_from_directory(DIST, name, max_age=3_600)
