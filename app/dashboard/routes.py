"""The page: its places, each a blueprint of its own below `/ui`."""

from typing import cast

from flask import Flask, Response, redirect

from app.core.accounts import api_keys
from app.dashboard import (
    assets,
    blueprint,
    keys,
    limits,
    navigation,
    prompt_overrides,
    session,
    sign_in,
    usage,
)
from app.dashboard.blueprint import blp
from app.dashboard.job import actions, compare, course, downloads, errors, record, records, slow, summary
from app.dashboard.jobs import bulk
from app.dashboard.new_job import routes as new_job
from app.dashboard.webhooks import deliveries, endpoints
from app.errors import NotFound
from app.web.auth import caller, needs
from app.web.errors import SHAPES

SIGNED_IN = {blueprint.NAME: session.identify}  # how `app.web.auth` finds the caller of its requests

JOB = (summary, records, record, errors, course, slow, actions, downloads, compare)

OPERATIONS = (limits, usage, keys, endpoints, deliveries, prompt_overrides)

for _place in (assets, sign_in, new_job, bulk, *JOB, *OPERATIONS):
    blp.register_blueprint(_place.blp)


def register(app: Flask) -> None:
    """Add the page to `app`."""
    app.register_blueprint(blp)
    SHAPES[blueprint.PREFIX] = blueprint.write_error


@blp.get("", strict_slashes=False)
@needs(None)
def show_home() -> Response:
    """The first place that the key may see: the jobs, for nearly all."""
    me = caller()
    paths = [place.path for place in navigation.places(me)]
    if not paths:
        raise NotFound(
            f"the key {me.prefix} opens no page: it has {' '.join(sorted(me.scopes))}, and the pages need"
            f" {api_keys.READ} or another scope"
        )
    jobs = f"{blueprint.PREFIX}/jobs"
    return cast(Response, redirect(jobs if jobs in paths else paths[0], 303))


@blp.get("/<path:rest>")
@needs(None)
def show_nothing(rest: str) -> Response:
    """What is not there, as a page of ours."""
    raise NotFound(f"there is no page {blueprint.PREFIX}/{rest}: it may have been moved or deleted")
