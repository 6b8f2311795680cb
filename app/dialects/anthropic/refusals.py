"""Refusals as Anthropic's clients understand them: with which status."""

from flask import Response

from app.errors import Refused
from app.web.errors import refused

BAD_REQUEST, NOT_FOUND = 400, 404
# Statuses that the clients do not know, or take for something else.
STATUSES = {422: BAD_REQUEST, 410: NOT_FOUND}


def refuse(error: Refused) -> Response:
    """The response to a refusal.

    The clients try a 409 again by themselves, so one that time does not change becomes a 400.
    """
    status = STATUSES.get(error.status, error.status)
    if error.status == 409 and error.retry_after is None:
        status = BAD_REQUEST
    return refused(error, status)
