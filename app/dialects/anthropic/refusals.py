"""Refusals as Anthropic's clients understand them: which status, and whether to try again."""

from flask import Response

from app.errors import Refused, TooMany
from app.web.errors import refused

BAD_REQUEST, NOT_FOUND = 400, 404
# Statuses that the clients do not know, or take for something else.
STATUSES = {422: BAD_REQUEST, 410: NOT_FOUND}
SHOULD_RETRY = "x-should-retry"


def refuse(error: Refused) -> Response:
    """The response to a refusal.

    The clients try a 409 and a 429 again by themselves. Where that is useless they are told: a 409 that time
    does not change becomes a 400, and a quota lasts for hours.
    """
    status = STATUSES.get(error.status, error.status)
    if error.status == 409 and error.retry_after is None:
        status = BAD_REQUEST
    response = refused(error, status)
    if isinstance(error, TooMany):
        response.headers[SHOULD_RETRY] = "false"
    return response
