"""The page for exploring and trying the contract. All of it comes from this server: it works offline."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, send_from_directory

from app.core.reading.job_json import PREFIX
from app.web.auth import public

DIST = Path(flask_swagger_ui.__file__).parent / "dist"
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="contract"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
START = f"""SwaggerUIBundle({{
  url: "{PREFIX}/openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  validatorUrl: null  // it would be asked on the internet
}});
"""

blp = Blueprint("docs", __name__, url_prefix="/docs")


@blp.get("", strict_slashes=False)
@public()
def show_page() -> Response:
    """The page."""
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
